// When the limits of a session strike, told to a person. Only for words: what is allowed, the engine decides.

import { sayDuration } from '../../shared/duration.ts';
import type { WholeLimits } from '../../shared/limits.ts';
import { between, earliest, plus, type Seconds, seconds } from '../../shared/time.ts';
import type { WireSession } from '../../shared/wire.ts';
import { sayInstant } from './instant.ts';

/** Instants of our clock. */
export interface Strikes {
  readonly max_age: Seconds;
  readonly inactivity_timeout: Seconds;
  /** When the identity provider must have confirmed the account again. */
  readonly revalidate?: Seconds | undefined;
}

/**
 * @param limits those of the session or of one cluster
 * @param last_used by the broker's clock
 * @param minted_local our clock at `session.broker_time`
 */
export function strikesOf(
  session: WireSession,
  { max_age, inactivity_timeout, revalidate }: WholeLimits,
  last_used: Seconds,
  minted_local: Seconds,
): Strikes {
  const local = (instant: Seconds) =>
    plus(minted_local, instant >= session.broker_time ? between(session.broker_time, instant) : (0 as Seconds));
  return {
    max_age: local(earliest(plus(session.auth_time, max_age), session.end_at_most)),
    inactivity_timeout: local(plus(last_used, inactivity_timeout)),
    ...(revalidate !== undefined && {
      revalidate: local(plus(session.revalidated_at ?? session.auth_time, revalidate)),
    }),
  };
}

/** `for 15m, until 14:05`, by our clock; and what ends it earlier. */
export function sayUntil(session: WireSession, minted_local: Seconds): string {
  const limits = session.limits.target;
  const { max_age, inactivity_timeout } = strikesOf(session, limits, session.broker_time, minted_local);
  const rest = between(minted_local, max_age);
  // The second that the login itself took is not worth a `59m`.
  const round = rest < 120 ? rest : seconds(Math.round(rest / 60) * 60);
  const whole = `for ${sayDuration(round)}, until ${sayInstant(max_age, minted_local)}`;
  return inactivity_timeout < max_age
    ? `${whole}; ${sayDuration(limits.inactivity_timeout)} without use end it earlier`
    : whole;
}
