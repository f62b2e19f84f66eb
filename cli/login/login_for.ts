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
import { login } from './login.ts';
import { withTurn } from './turn.ts';

/**
 * Logs in for a cluster, or finds that another process just did.
 *
 * @throws CurfewError when that brings no token
 */
export async function loginFor(client: Client, key: Key): Promise<Entry> {
  const { host } = client;
  const since = host.now();
  const throwFailure = (waited: boolean) => {
    const failure = readFailure(client);
    if (failure && concerns(failure, host, waited ? since : undefined)) throw asError(client, failure, key.cluster);
  };
  const brought = () => {
    throwFailure(true);
    const outcome = outcomeInCache(client, key);
    // A refusal that is there is of before the login.
    return outcome?.entry;
  };
  const work = async (signal: AbortSignal, waited: boolean) => {
    throwFailure(waited);
    const { entry, refused } = await renew(client, key);
    if (entry) return entry;
    host.say(`${refused.message}: logging in`);
    return await loginOrRemember(client, key, refused, signal);
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

async function loginOrRemember(client: Client, key: Key, why: Remembered, signal: AbortSignal): Promise<Entry> {
  try {
    const wish = { ...key, in_person: needsPerson(why), acr_values: why.acr_values };
    const { entry, refused } = await login(client, wish, signal);
    if (entry) return entry;
    if (refused) throw asError(client, refused, key.cluster);
    // The session is open, and the cluster gave no token for it: now it does, or says why not.
    const renewed = await renew(client, key);
    if (renewed.entry) return renewed.entry;
    throw asError(client, renewed.refused, key.cluster);
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
