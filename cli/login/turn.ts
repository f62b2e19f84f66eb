// Whose turn it is to ask the person: one process at a time. A login that a person begins comes before any that waits for
// somebody already, in a terminal that may be forgotten; and none waits on when nobody waits for it.

import { setTimeout as pause } from 'node:timers/promises';
import { CurfewError } from '../../shared/errors.ts';
import { parseJson } from '../../shared/json.ts';
import { isSeconds, over, plus, seconds } from '../../shared/time.ts';
import { isObject } from '../../shared/wire.ts';
import { countdown } from '../host/countdown.ts';
import { removeFile, writeWhole } from '../host/files.ts';
import { withLock } from '../host/lock.ts';
import type { Client } from '../session/client.ts';
import { fileName } from '../warm/paths.ts';
import { readOurs } from '../warm/read_cache.ts';
import { LOGIN_DEADLINE_MS } from './way.ts';

/** How long a call waits for another's login: its deadline, and the time for what comes around it. */
const LOGGING_IN = {
  longest_ms: LOGIN_DEADLINE_MS + 20_000,
  say: 'waiting for the login that another kubectl-curfew has begun',
  busy: 'another kubectl-curfew waits for a login for too long',
} as const;

/** Time between two looks of whoever waits for a person. */
const LOOK_MS = 250;
/** Time between two claims of a person who waits for their turn. */
const CLAIM_MS = 1_000;
/** How long a claim counts: whoever made it renews it while they wait. */
const CLAIMED = seconds(5);
/** How long a call steps back for a person's claim. */
const BACK_MS = 400;

/** Where those who wait for one broker's login meet. */
type Queue = Pick<Client, 'cache' | 'host' | 'url'>;

/** @param signal aborts when the login is to end; its reason is a CurfewError */
type Work<T> = (signal: AbortSignal) => Promise<T>;

/**
 * A login that a person began, as they see it at their terminal: another that waits for its person gives way.
 *
 * @throws CurfewError `busy`, also when a newer login took this one's place
 */
export async function withPersonsTurn<T>(client: Queue, work: Work<T>): Promise<T> {
  let untilNext = () => 0;
  const claim = () => {
    if (untilNext() > 0) return undefined;
    untilNext = countdown(CLAIM_MS, client.host);
    writeClaim(client);
    return undefined;
  };
  const begin = () => {
    removeClaim(client);
    return watch(client, work);
  };
  return await withLock(client.host, [client.url, 'login'], LOGGING_IN, begin, claim);
}

/**
 * A login that a call needs: it waits for one that is under way, and for one that a person begins meanwhile.
 *
 * @param work is told whether it had to wait
 * @param result what another's login may have brought
 */
export async function withTurn<T>(
  client: Queue,
  work: (signal: AbortSignal, waited: boolean) => Promise<T>,
  result: () => T | undefined,
): Promise<T> {
  const { host, url } = client;
  for (let back = false; ; back = true) {
    const begin = async (waited: boolean) => {
      if (isClaimed(client)) throw new GaveWay();
      return await watch(client, (signal) => work(signal, waited || back));
    };
    try {
      return await withLock(host, [url, 'login'], LOGGING_IN, begin, result);
    } catch (error) {
      if (!(error instanceof GaveWay)) throw error;
      // Whoever claimed the turn looks for it more often.
      await pause(BACK_MS);
      const found = result();
      if (found !== undefined) return found;
    }
  }
}

class GaveWay extends CurfewError {
  constructor() {
    super('busy', 'a login that was begun after this one took its place', { hint: 'log in there' });
  }
}

async function watch<T>(client: Queue, work: Work<T>): Promise<T> {
  const end = new AbortController();
  const look = () => {
    if (client.host.abandoned()) end.abort(new CurfewError('login_failed', 'nobody waits for this login any more'));
    else if (isClaimed(client)) end.abort(new GaveWay());
  };
  const timer = setInterval(look, LOOK_MS);
  try {
    return await work(end.signal);
  } finally {
    clearInterval(timer);
  }
}

function claimFile({ cache, url }: Pick<Client, 'cache' | 'url'>): string | undefined {
  return cache.directory && `${cache.directory}/${fileName('claimed', url)}`;
}

function writeClaim(client: Queue): void {
  const file = claimFile(client);
  try {
    if (file) writeWhole(file, JSON.stringify({ at: client.host.now() }), client.host);
  } catch {
    // Without it the other continues: this one waits for its end.
  }
}

function removeClaim(client: Pick<Client, 'cache' | 'url'>): void {
  const file = claimFile(client);
  if (file) removeFile(file);
}

function isClaimed(client: Queue): boolean {
  const file = claimFile(client);
  const text = file && readOurs(client.host, file)?.content;
  if (!text) return false;
  const value = parseJson(text);
  const now = client.host.now();
  return isObject(value) && isSeconds(value.at) && value.at <= now && !over(plus(value.at, CLAIMED), now);
}
