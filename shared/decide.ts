// The one engine: is this session allowed now, and until when. Pure; the only place that compares time with a limit.

import type { WholeLimits } from './limits.ts';
import type { ResolvedLimits } from './policy.ts';
import type { EndReason, SessionFacts } from './session.ts';
import { between, earliest, over, plus, type Seconds } from './time.ts';

/** Why the engine denies. */
export const REASONS = ['session_ended', 'login_too_old', 'idle_too_long', 'revalidation_due', 'acr_too_low'] as const;
export type Reason = (typeof REASONS)[number];

export interface Allowed {
  readonly allow: true;
  /** When a token minted now is over: tokens copy this. */
  readonly exp: Seconds;
  /** When this session is over for this target: what outlives a token copies this. */
  readonly session_end: Seconds;
}

export interface Denied {
  readonly allow: false;
  readonly reason: Reason;
  /**
   * Set when a session-wide limit struck: the session is to be ended, with this reason, as of `since`.
   * Absent when only a target's limit struck, or when the session has ended already: then nothing ends.
   */
  readonly ends?: 'max_age' | 'inactivity_timeout' | undefined;
  /** How the session ended before, for `session_ended`. */
  readonly end_reason?: EndReason | undefined;
  /** Since when it is over: the end that struck, for the record and for messages. */
  readonly since: Seconds;
  /** The age or idle time that was found, and the limit it broke, in seconds. */
  readonly found?: Seconds | undefined;
  readonly limit?: Seconds | undefined;
  /** For `acr_too_low`: the values of which one is required. */
  readonly acr_values?: readonly string[] | undefined;
}

export type Verdict = Allowed | Denied;

type Struck = Denied & { readonly reason: 'login_too_old' | 'idle_too_long' };

/**
 * Decides on one session for one target at one instant.
 *
 * Session-wide limits come first and end the session; a target's limits only deny that target. All ends are exclusive.
 *
 * @param limits from `resolveLimits`
 * @param now in the clock of whoever minted the session's times: the broker's
 */
export function decide(limits: ResolvedLimits, session: SessionFacts, now: Seconds): Verdict {
  if (session.ended) {
    return { allow: false, reason: 'session_ended', end_reason: session.ended.reason, since: session.ended.at };
  }
  const wide = struck(limits.session, session, now);
  if (wide) return { ...wide, ends: wide.reason === 'login_too_old' ? 'max_age' : 'inactivity_timeout' };
  return (
    struck(limits.target, session, now) ??
    unconfirmed(limits, session, now) ??
    weak(limits, session, now) ??
    allowed(limits, session, now)
  );
}

/** The limit of time that struck, the earlier one when both did: that is when it was over. */
function struck(limits: WholeLimits, session: SessionFacts, now: Seconds): Struck | undefined {
  const age_end = ageEnd(limits.max_age, session);
  const idle_end = idleEnd(limits.inactivity_timeout, session);
  const idle = idleSinceLogin(limits.inactivity_timeout, session);
  if (idle !== undefined && !over(age_end, now)) {
    return { allow: false, reason: 'idle_too_long', since: now, found: idle, limit: limits.inactivity_timeout };
  }
  if (over(age_end, now) && age_end <= idle_end) {
    const found = between(session.auth_time, now);
    return { allow: false, reason: 'login_too_old', since: age_end, found, limit: between(session.auth_time, age_end) };
  }
  if (!over(idle_end, now)) return undefined;
  const found = between(session.last_used, now);
  return { allow: false, reason: 'idle_too_long', since: idle_end, found, limit: between(session.last_used, idle_end) };
}

/** The time without use that only a newer login makes good, whatever was used since; `undefined` where there was none. */
function idleSinceLogin(limit: Seconds, { auth_time, longest_idle, idle_before = [] }: SessionFacts) {
  if (longest_idle !== undefined && over(limit, longest_idle)) return longest_idle;
  return idle_before.find(({ start, length }) => over(limit, length) && auth_time < plus(start, limit))?.length;
}

/** Ends nothing: a newer ID token of the same login is all that is missing. */
function unconfirmed(
  { target: { revalidate } }: ResolvedLimits,
  session: SessionFacts,
  now: Seconds,
): Denied | undefined {
  if (revalidate === undefined) return undefined;
  const since = plus(confirmedAt(session), revalidate);
  if (!over(since, now)) return undefined;
  return {
    allow: false,
    reason: 'revalidation_due',
    since,
    found: between(confirmedAt(session), now),
    limit: revalidate,
  };
}

function weak(limits: ResolvedLimits, session: SessionFacts, now: Seconds): Denied | undefined {
  const required = limits.target.acr;
  if (required === undefined || (session.acr !== undefined && required.includes(session.acr))) return undefined;
  return { allow: false, reason: 'acr_too_low', since: now, acr_values: required };
}

function allowed(limits: ResolvedLimits, session: SessionFacts, now: Seconds): Allowed {
  const session_end = earliest(
    ageEnd(limits.target.max_age, session),
    idleEnd(limits.target.inactivity_timeout, session),
    ...(limits.target.revalidate === undefined ? [] : [plus(confirmedAt(session), limits.target.revalidate)]),
  );
  return { allow: true, session_end, exp: earliest(plus(now, limits.target.token_ttl), session_end) };
}

/** `auth_time + max_age`, and never past the end stored at login: a looser policy lengthens no active session. */
function ageEnd(max_age: Seconds, session: SessionFacts): Seconds {
  const end = plus(session.auth_time, max_age);
  return session.end_at_most === undefined ? end : earliest(end, session.end_at_most);
}

/** The login itself, where nothing newer is known. */
function confirmedAt({ revalidated_at, auth_time }: SessionFacts): Seconds {
  return revalidated_at ?? auth_time;
}

function idleEnd(inactivity_timeout: Seconds, session: SessionFacts): Seconds {
  const end = plus(session.last_used, inactivity_timeout);
  return session.idle_end === undefined ? end : earliest(end, session.idle_end);
}
