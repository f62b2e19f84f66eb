// Takes roles away at the server of one target, and records what is gone.

import { pauseAfter } from '../../serving/background.ts';
import type { CurfewError } from '../../shared/errors.ts';
import { over, plus, seconds } from '../../shared/time.ts';
import type { Broker } from '../broker.ts';
import type { Place } from '../databases/databases.ts';
import { type Removed, removeRoles } from '../databases/remove.ts';
import type { Turn } from '../leases/turn.ts';
import { findBySid } from '../sessions/find.ts';
import { forgetRole, mayBeMade, postponeRole, type SessionRole } from '../sessions/session_roles.ts';
import { requireLease } from '../store/lease.ts';

/** What it takes to look after roles. */
export type Looking = Pick<Broker, 'store' | 'config' | 'databases' | 'touches' | 'log' | 'now'> & {
  readonly metrics?: Pick<Broker['metrics'], 'roleNotRemoved'>;
  /** Of one replica at a time; a command of an administrator does not wait for its turn. */
  readonly turn?: Pick<Turn, 'mine'>;
};

/** The longest pause between two tries, and that where nobody knows how to get there. */
const LONGEST_PAUSE_SECONDS = 10;
const NOWHERE_PAUSE = seconds(60);
/** How often is tried where the configuration has the target no longer. */
const MOST_ATTEMPTS_THERE = 60;
/** For so long the rows of a target are kept that nobody knows any more. */
const KEEP_UNKNOWN = seconds(30 * 86_400);

/** @param roles of one target, that are to go */
export async function removeAt(broker: Looking, target: string, roles: readonly SessionRole[]): Promise<void> {
  const { config, databases, store, turn, now } = broker;
  const known = databases.of(config, target);
  if (known.length === 0) return leaveUnknown(broker, target, roles);
  const lease = await turn?.mine();
  if (turn && !lease) return;
  const outcomes = await Promise.all(
    known.map(async (place) => [place, await removeRoles(place.connections, roles)] as const),
  );
  const gone: SessionRole[] = [];
  for (const role of roles) {
    const failure = failureOf(outcomes, role);
    if (failure) await postpone(broker, role, failure);
    // Not there yet: whoever makes it has until then.
    else if (!outcomes.some(([, { found }]) => found.has(role.name)) && mayBeMade(role, now()))
      await store.transaction((transaction) =>
        postponeRole(transaction, role.name, { ...role, next_at: role.made_by }),
      );
    else gone.push(role);
  }
  if (gone.length === 0) return;
  await store.transaction(async (transaction) => {
    if (lease) await requireLease(transaction, lease);
    for (const role of gone) await recordGone(transaction, role, now());
  });
}

type Outcomes = readonly (readonly [Place, Removed])[];

function failureOf(outcomes: Outcomes, { name, attempts }: SessionRole): CurfewError | undefined {
  for (const [{ current }, { failures }] of outcomes) {
    const failure = failures.get(name);
    if (failure && (current || attempts < MOST_ATTEMPTS_THERE)) return failure;
  }
  return undefined;
}

async function recordGone(
  transaction: Parameters<typeof forgetRole>[0],
  { name, target, account, sid, over_at }: SessionRole,
  at: SessionRole['over_at'],
): Promise<void> {
  const session = sid === '' ? undefined : await findBySid(transaction.db, sid);
  const who = session && { iss: session.iss, sub: session.sub, username: session.username };
  await forgetRole(transaction, name);
  await transaction.audit({
    ...{ event: 'role_removed', at, ...(sid !== '' && { sid }), ...who },
    ...{ target, account, role: name, due_at: over_at < at ? over_at : at },
  });
}

/** Nobody can use it any more, where the server was reached; it is tried until it is gone. */
async function postpone({ store, metrics, log, now }: Looking, role: SessionRole, failure: CurfewError): Promise<void> {
  const { name, target, attempts } = role;
  metrics?.roleNotRemoved(target);
  log.error(
    { target, role: name, reason: failure.message, attempts: attempts + 1 },
    'a role of an ended session could not be removed: trying again',
  );
  const next_at = plus(now(), pauseAfter(attempts, LONGEST_PAUSE_SECONDS));
  await store.transaction((transaction) => postponeRole(transaction, name, { next_at, attempts: attempts + 1 }));
}

/** Of a target that is not in the configuration any more, and was not since this process began. They let nobody in any more. */
async function leaveUnknown(broker: Looking, target: string, roles: readonly SessionRole[]): Promise<void> {
  const { store, log, now } = broker;
  log.error(
    { target, roles: roles.length },
    'roles are left at a target that is not in the configuration any more: name it again, or drop them there',
  );
  await store.transaction(async (transaction) => {
    for (const { name, attempts, valid_until } of roles) {
      if (over(plus(valid_until, KEEP_UNKNOWN), now())) await forgetRole(transaction, name);
      else await postponeRole(transaction, name, { next_at: plus(now(), NOWHERE_PAUSE), attempts });
    }
  });
}
