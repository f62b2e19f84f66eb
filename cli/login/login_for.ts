// A login at the terminal because a call needs one: one process asks the person, the others wait and use what it brings.

import { CurfewError, isCode } from '../../shared/errors.ts';
import { parseJson } from '../../shared/json.ts';
import { needsNewLogin } from '../../shared/session.ts';
import { isSeconds, over, plus, type Seconds, seconds } from '../../shared/time.ts';
import { isEndReason, isObject } from '../../shared/wire.ts';
import { writeWhole } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import type { Client } from '../session/client.ts';
import { outcomeInCache, renew } from '../session/renew.ts';
import type { Entry, Key, Remembered } from '../warm/entry.ts';
import { fileName } from '../warm/paths.ts';
import { readOurs } from '../warm/read_cache.ts';
import { asError } from '../warm/refusal.ts';
import { type LoginOutcome, login } from './login.ts';
import { withTurn } from './turn.ts';
import type { Wish } from './way.ts';

/** What a call needs, and only a login may bring. */
export interface Need<T> {
  readonly refuse: (refused: Remembered) => CurfewError;
  /** What another's login has brought, found without asking anybody. */
  readonly found: () => T | undefined;
  readonly ask: () => Promise<{ readonly granted: T; readonly refused?: undefined } | { readonly refused: Remembered }>;
  /** @param why it was refused */
  readonly wish: (why: Remembered) => Wish;
  /** What the login itself brings along, where it does. */
  readonly brought: (outcome: LoginOutcome) => T | undefined;
}

/**
 * Logs in for a cluster, or finds that another process just did.
 *
 * @throws CurfewError when that brings no token
 */
export async function loginFor(client: Client, key: Key): Promise<Entry> {
  return await loginThatBrings(client, {
    refuse: (refused) => asError(client, refused, key.cluster),
    // A refusal that is there is of before the login.
    found: () => outcomeInCache(client, key)?.entry,
    ask: async () => {
      const { entry, refused } = await renew(client, key);
      return entry ? { granted: entry } : { refused };
    },
    wish: (why) => ({ ...key, acr_values: why.acr_values }),
    brought: ({ entry }) => entry,
  });
}

/**
 * The same for whatever is needed.
 *
 * @throws CurfewError when the login does not bring it
 */
export async function loginThatBrings<T>(client: Client, need: Need<T>): Promise<T> {
  const { host } = client;
  const since = host.now();
  const throwFailure = (waited: boolean) => {
    const failure = readFailure(client);
    if (failure && concerns(failure, host, waited ? since : undefined)) throw need.refuse(failure);
  };
  const brought = () => {
    throwFailure(true);
    return need.found();
  };
  const work = async (signal: AbortSignal, waited: boolean) => {
    throwFailure(waited);
    const asked = await need.ask();
    if (!asked.refused) return asked.granted;
    host.say(`${asked.refused.message}: logging in`);
    return await loginOrRemember(client, need, asked.refused, signal);
  };
  return await withTurn(client, work, brought);
}

/**
 * Whether a login that failed is this call's answer too: it waited for that one, or it was called by the same kubectl, which
 * calls again for each of its requests. Who calls kubectl again is asked again.
 */
function concerns(
  { at, parent }: Failure,
  { now, parent: ours }: Pick<Host, 'now' | 'parent'>,
  since: Seconds | undefined,
): boolean {
  if (since !== undefined && at >= since) return true;
  return parent === ours && !over(plus(at, SAME_CALLER), now());
}

/** kubectl calls again at once; a client that runs for long (k9s) may ask its person again after a while. */
const SAME_CALLER = seconds(30);

async function loginOrRemember<T>(client: Client, need: Need<T>, why: Remembered, signal: AbortSignal): Promise<T> {
  try {
    const outcome = await login(client, { ...need.wish(why), in_person: needsPerson(why) }, signal);
    if (outcome.refused) throw need.refuse(outcome.refused);
    const brought = need.brought(outcome);
    if (brought !== undefined) return brought;
    // The session is open, and brought nothing along: now it does, or says why not.
    const asked = await need.ask();
    if (!asked.refused) return asked.granted;
    throw need.refuse(asked.refused);
  } catch (error) {
    // That it gave way is no answer to those who wait: one of them asks, or a person has begun to.
    if (error instanceof CurfewError && !signal.aborted)
      writeFailure(client, { reason: error.code, message: error.message, hint: error.hint });
    throw error;
  }
}

function needsPerson({ reason, end_reason }: Remembered): boolean {
  if (reason === 'idle_too_long' || reason === 'login_after') return true;
  // The IdP's active single sign-on must not bring the session back: the broker would not have it.
  return isEndReason(end_reason) && needsNewLogin(end_reason);
}

interface Failure extends Remembered {
  readonly at: Seconds;
  /** Process id of the caller. */
  readonly parent: number;
}

function failureFile({ cache, url }: Pick<Client, 'cache' | 'url'>): string | undefined {
  return cache.directory && `${cache.directory}/${fileName('failed', url)}`;
}

/** Those who wait must not open a tab each for a login that just failed. */
function writeFailure(client: Pick<Client, 'cache' | 'host' | 'url'>, failure: Remembered): void {
  const file = failureFile(client);
  try {
    if (file)
      writeWhole(file, JSON.stringify({ ...failure, at: client.host.now(), parent: client.host.parent }), client.host);
  } catch {
    // Without it they only try for themselves.
  }
}

function readFailure(client: Pick<Client, 'cache' | 'host' | 'url'>): Failure | undefined {
  const file = failureFile(client);
  const text = file && readOurs(client.host, file);
  if (!text || text.content === undefined) return undefined;
  const value = parseJson(text.content);
  if (!isObject(value) || typeof value.message !== 'string' || !isCode(value.reason)) return undefined;
  const { reason, message, hint, at, parent } = value;
  if (!isSeconds(at) || typeof parent !== 'number') return undefined;
  return { reason, message, ...(typeof hint === 'string' && { hint }), at, parent };
}
