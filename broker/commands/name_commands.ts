// `curfew-broker names free`: an administrator says that a name is no longer whose it was, as where a person has a new `sub` at the
// IdP. It is the next one's who logs in with it, once no token of before bears it.

import { sayDuration } from '../../shared/duration.ts';
import { CurfewError } from '../../shared/errors.ts';
import { between, type Clock, type Seconds } from '../../shared/time.ts';
import type { Config } from '../config/settings.ts';
import { endSession } from '../sessions/ending.ts';
import { activeOfPerson } from '../sessions/find.ts';
import { anyHolders, giveUpName, holderOf, type Named } from '../sessions/usernames.ts';
import type { Store, Transaction } from '../store/store.ts';
import { administer, requireTime } from './administration.ts';

/** Whose names: these, as Kubernetes sees them or as the IdP gives them, or everybody's. */
export type Wish = ({ readonly names: readonly string[] } | { readonly all: true }) & {
  readonly note?: string | undefined;
};

export interface Around {
  readonly now: Clock;
  /** Who runs the command, for the audit log. */
  readonly by: string;
}

/** How many persons one transaction frees the names of at most: requests wait no longer than that. */
const AT_ONCE = 200;

/**
 * Ends the sessions of whoever holds these names. Works beside a broker that runs.
 *
 * @returns what was done, in lines
 * @throws CurfewError `usage` when nobody holds one of them: then nothing was done; `configuration`, `store`, `clock`
 */
export async function freeNames(config: Config, wish: Wish, around: Around): Promise<readonly string[]> {
  return administer(config, async (store) => {
    await requireTime(store, around.now());
    if ('all' in wish) return freeAll(store, wish, around);
    return store.transaction(async (transaction) => {
      const holders = await Promise.all([...new Set(wish.names)].map((name) => holderNamed(transaction, config, name)));
      return freeEach(transaction, holders, wish, around);
    });
  });
}

async function freeAll(store: Store, wish: Wish, around: Around): Promise<readonly string[]> {
  const lines: string[] = [];
  for (let more = true; more; ) {
    const freed = await store.transaction(async (transaction) => {
      const holders = await anyHolders(transaction, AT_ONCE);
      return freeEach(transaction, holders, wish, around);
    });
    lines.push(...freed);
    more = freed.length === AT_ONCE;
  }
  return lines.length > 0 ? lines : ['ok: nobody holds a name'];
}

async function freeEach(
  transaction: Transaction,
  holders: readonly Named[],
  { note }: Wish,
  { now: clock, by }: Around,
): Promise<readonly string[]> {
  const now = clock();
  const lines: string[] = [];
  for (const { iss, sub, username } of holders) {
    const active = await activeOfPerson(transaction, { iss, sub });
    for (const session of active) {
      await endSession(transaction, session, { reason: 'administrator', since: now, now, by, note });
    }
    const free_at = await giveUpName(transaction, { iss, sub, username }, now);
    const sessions = active.length;
    await transaction.audit({
      event: 'administration',
      at: now,
      command: 'names free',
      by,
      iss,
      sub,
      username,
      sessions,
      note,
    });
    lines.push(say(username, sessions, between(now, free_at)));
  }
  return lines;
}

function say(username: string, sessions: number, wait: Seconds): string {
  const ended = `${sessions} active ${sessions === 1 ? 'session' : 'sessions'} ended`;
  if (wait === 0) return `ok: ${username} is free: ${ended}`;
  return `ok: ${username} is free in ${sayDuration(wait)}, when no token bears it any more: ${ended}`;
}

/** @throws CurfewError `usage` */
async function holderNamed(transaction: Transaction, config: Config, name: string): Promise<Named> {
  const { username_prefix } = config.identity_provider;
  const holder = await holderOf(transaction, [name, username_prefix + name]);
  if (holder) return holder;
  throw new CurfewError('usage', `nobody holds the username ${JSON.stringify(name)}: nothing was done`, {
    hint: 'give it as kubectl auth whoami shows it, or as the identity provider gives it, in the same case',
  });
}
