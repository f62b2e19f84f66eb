// A session's facts, as the engine judges them. Shapes only.

import type { Seconds } from './time.ts';

/** Why a session ended. Ended once, with one of these, never reopened. */
export const END_REASONS = [
  'max_age',
  'inactivity_timeout',
  'logout',
  'owner',
  'administrator',
  'replaced',
  'policy',
  'too_many_sessions',
  'renamed',
  // the identity provider's word: OpenID Connect Back-Channel Logout 1.0, CAEP 1.0, RISC 1.0
  'idp_logout',
  'session_revoked',
  'credential_change',
  'assurance_level_change',
  'device_compliance_change',
  'account_disabled',
  'account_purged',
  'risk_level_change',
  'token_claims_change',
  'account_credential_change_required',
  'credential_compromise',
  'identifier_changed',
  'identifier_recycled',
  'recovery_activated',
  'recovery_information_changed',
  'sessions_revoked',
  'tokens_revoked',
] as const;
export type EndReason = (typeof END_REASONS)[number];

/** Whether the person must authenticate again after such an end. After `max_age` the age itself decides. */
export function needsNewLogin(reason: EndReason): boolean {
  switch (reason) {
    case 'inactivity_timeout':
    case 'logout':
    case 'owner':
    case 'administrator':
    case 'policy':
    case 'idp_logout':
    case 'session_revoked':
    case 'credential_change':
    case 'assurance_level_change':
    case 'device_compliance_change':
    case 'account_disabled':
    case 'account_purged':
    case 'risk_level_change':
    case 'token_claims_change':
    case 'account_credential_change_required':
    case 'credential_compromise':
    case 'identifier_changed':
    case 'identifier_recycled':
    case 'recovery_activated':
    case 'recovery_information_changed':
    case 'sessions_revoked':
    case 'tokens_revoked':
      return true;
    case 'max_age':
    case 'replaced':
    case 'too_many_sessions':
    case 'renamed':
      return false;
  }
}

/** A time without use. */
export interface Gap {
  /** The last use before it. */
  readonly start: Seconds;
  readonly length: Seconds;
}

export interface SessionFacts {
  /** When the person last actively authenticated at the IdP (OIDC Core 2). Nothing else moves it. */
  readonly auth_time: Seconds;
  /** When the session was last used; at login its `auth_time` or later. */
  readonly last_used: Seconds;
  /** The session-wide end as stored at login (`auth_time + max_age`); may only be lowered. */
  readonly end_at_most?: Seconds | undefined;
  /**
   * The longest time without use since login. So a target that was denied for idleness stays denied until the next login,
   * whatever is used meanwhile elsewhere.
   */
  readonly longest_idle?: Seconds | undefined;
  /**
   * Times without use in other sessions of the person, as of when this one opened. One as long as a limit denies until a login
   * at `start` + that limit or later: the IdP's active single sign-on brings back no target that was denied for idleness.
   */
  readonly idle_before?: readonly Gap[] | undefined;
  /** When inactivity ends it, as stored at its last use: a looser policy counts from the next use on. */
  readonly idle_end?: Seconds | undefined;
  /** When the identity provider last confirmed the account: the `iat` of its newest ID token for this login. */
  readonly revalidated_at?: Seconds | undefined;
  /** How strongly the person authenticated (OIDC Core 2). */
  readonly acr?: string | undefined;
  /** Set once, when the session ended. */
  readonly ended?: { readonly at: Seconds; readonly reason: EndReason } | undefined;
}
