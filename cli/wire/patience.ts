// How long a call waits for a broker, or an identity provider, that says when it has room again: `Retry-After` of 429 (RFC 6585 section 4) and 503
// (RFC 9110 section 15.6.4). Those who were sent away together must not come back together.

import { setTimeout as pause } from 'node:timers/promises';
import { chance } from '../host/chance.ts';
import type { Host } from '../host/host.ts';
import type { HttpAnswer, Send } from './http.ts';

/** Of all requests of a call together: kubectl waits for it, and others for its lock. */
export const CALL_PATIENCE_MS = 5_000;
/** Of a login that was made: given up, a person would have to make it again. */
export const LOGIN_PATIENCE_MS = 20_000;

/** Where `0` is said. */
const SHORTEST_MS = 500;

/** What is left of it is for all that asks with it. */
export class Patience {
  #left: number;
  readonly #host: Pick<Host, 'random'>;

  /** @param milliseconds of waiting in all; none: nothing is asked again */
  constructor(milliseconds: number, host: Pick<Host, 'random'>) {
    this.#left = milliseconds;
    this.#host = host;
  }

  /**
   * Never sooner than was said, later at each try, and by chance up to twice as late.
   *
   * @param tries that were answered so
   * @param left milliseconds that the caller has itself
   * @returns milliseconds until it is asked again; none where it is not
   */
  waits(answer: Pick<HttpAnswer, 'status' | 'headers'>, tries: number, left: number): number | undefined {
    const said = retryAfter(answer);
    if (said === undefined) return undefined;
    const least = Math.max(said * 1000, SHORTEST_MS) * tries;
    const most = Math.min(this.#left, left);
    if (least > most) return undefined;
    const wait = least + Math.min(least, most - least) * chance(this.#host);
    this.#left -= wait;
    return wait;
  }
}

/** Asks, and again where the broker says when. @param left milliseconds for all of it */
export async function patiently(
  patience: Patience,
  left: () => number,
  ask: () => Promise<HttpAnswer>,
): Promise<HttpAnswer> {
  for (let tries = 1; ; tries++) {
    const answer = await ask();
    const wait = patience.waits(answer, tries, left());
    if (wait === undefined) return answer;
    await pause(wait);
  }
}

/**
 * The same for whoever is not ours: what changes something is asked again after 429 alone, as 503 does not say that nothing was done, and
 * a refresh token or a code that was used is not used twice.
 */
export function sendPatiently(send: Send, patience: Patience, left: () => number): Send {
  return async (url, request) => {
    for (let tries = 1; ; tries++) {
      const answer = await send(url, request);
      const is_undone = request.method === 'GET' || answer.status === 429;
      const wait = is_undone ? patience.waits(answer, tries, left()) : undefined;
      if (wait === undefined) return answer;
      await pause(wait);
    }
  };
}

/** @returns seconds; none where it is not said, or as a date: that would be by another's clock */
export function retryAfter({ status, headers }: Pick<HttpAnswer, 'status' | 'headers'>): number | undefined {
  const said = headers['retry-after'];
  if ((status !== 429 && status !== 503) || said === undefined || !/^\d{1,6}$/.test(said)) return undefined;
  return Number(said);
}
