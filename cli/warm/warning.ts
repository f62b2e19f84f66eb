// The word before a session ends: once, at a terminal, while there is time to log in without a break.
// Part of the warm path: loads nothing.

import { sayDuration } from '../../shared/duration.ts';
import { between, type Seconds, seconds } from '../../shared/time.ts';
import type { Entry } from './entry.ts';
import { sayInstant } from './instant.ts';
import type { Reader } from './machine.ts';
import { fileName } from './paths.ts';
import { type AskedBroker, sayLogin } from './refusal.ts';
import { strikesOf } from './strikes.ts';

/** Before the end by age: what inactivity would end is in use. */
const BEFORE = seconds(300);

/** How the names of those files begin. */
export const WARNED = 'warned';

export interface Warning {
  /** By our clock. */
  readonly end: Seconds;
  readonly now: Seconds;
  /** Whoever makes this file says it. */
  readonly file: string;
}

/** @returns the warning that is due; a limit that is hardly longer than the warning has none */
export function warningDue(
  reader: Pick<Reader, 'files'>,
  directory: string,
  entry: Entry,
  now: Seconds,
): Warning | undefined {
  const { broker, cluster, session, minted_local } = entry;
  if (!session) return undefined;
  const { target } = session.limits;
  const end = strikesOf(session, target, session.broker_time, minted_local).max_age;
  const left = between(now, end);
  if (left === 0 || left > BEFORE || target.max_age <= BEFORE) return undefined;
  // The end of the whole session is said once, that of one cluster's limit for each.
  const whole = end === strikesOf(session, session.limits.session, session.broker_time, minted_local).max_age;
  const file = `${directory}/${fileName(WARNED, broker, whole ? '' : cluster, session.sid)}`;
  return reader.files.lstat(file) ? undefined : { end, now, file };
}

export function sayWarning({ end, now }: Warning, broker: AskedBroker): string {
  const [left, until] = [sayDuration(between(now, end)), sayInstant(end, now)];
  return `your session ends in ${left} (${until}); to continue without interruption, run: ${sayLogin(broker)}`;
}
