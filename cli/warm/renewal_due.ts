// Whether a token that has just been printed should be renewed in the background, so that no later call waits for it.
// Part of the warm path: loads nothing.

import { decide } from '../../shared/decide.ts';
import { between, plus, type Seconds, seconds } from '../../shared/time.ts';
import { factsOf } from '../../shared/wire.ts';
import { type Entry, type Key, MARGIN_SECONDS } from './entry.ts';
import type { Environment, OwnFiles } from './machine.ts';
import { fileName } from './paths.ts';
import { readOrThrow } from './settings.ts';

/** The word before those of `get-token`, in the program that renews. Nobody types it. */
export const RENEW_COMMAND = 'renew-in-background';

/** How long after its call a renewal may still begin: later it would be a use that nobody made. */
export const NO_LATER_THAN = seconds(10);

export interface Renewal {
  /** Says who renews, and when that was tried last. */
  readonly file: string;
  /** Of the full program. */
  readonly args: readonly string[];
}

/**
 * Whether less than a quarter of a token's life is left before it is served no more, and a new one would last longer: not where
 * the session ends with it.
 */
export function isNearlyOver({ session, token, expires_in, minted_local }: Entry, now: Seconds): boolean {
  if (!session || token === undefined || expires_in === undefined || now < minted_local) return false;
  const usable = expires_in - MARGIN_SECONDS;
  const quarter = Math.min(expires_in / 4, usable / 2);
  if (now - minted_local < usable - quarter) return false;
  const instant = plus(session.broker_time, between(minted_local, now));
  const next = decide(session.limits, { ...factsOf(session), last_used: instant }, instant);
  return next.allow && next.exp > plus(session.broker_time, expires_in);
}

/**
 * @param directory the cache's
 * @param args those of the call of `get-token`
 * @returns nothing where it is not due, or not wanted here
 */
export function renewalDue(
  machine: OwnFiles,
  directory: string,
  entry: Entry,
  now: Seconds,
  args: readonly string[],
): Renewal | undefined {
  if (!isNearlyOver(entry, now) || machine.uid === undefined || isUnattended(machine.env)) return undefined;
  try {
    if (readOrThrow(machine).background_renewal === false) return undefined;
  } catch {
    // The full program says what is wrong with the settings, once it is asked for something.
    return undefined;
  }
  return { file: renewalFile(directory, entry), args: [RENEW_COMMAND, String(now), ...args] };
}

export function renewalFile(directory: string, { broker, cluster, max_age }: Key): string {
  return `${directory}/${fileName('renewing', broker, cluster, max_age === undefined ? '' : String(max_age))}`;
}

/** A job that ends takes what it started with it, or waits for it. */
function isUnattended({ CI }: Environment): boolean {
  return CI !== undefined && CI !== '' && CI !== 'false' && CI !== '0';
}
