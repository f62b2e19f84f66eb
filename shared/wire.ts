// What is on the wire between plugin and broker: names, shapes, and the parsers for the side that reads.

import type { WholeLimits } from './limits.ts';
import type { ResolvedLimits } from './policy.ts';
import { END_REASONS, type EndReason, type SessionFacts } from './session.ts';
import { isSeconds, type Seconds } from './time.ts';

export const GRANT = {
  /** RFC 8693 2.1 */
  exchange: 'urn:ietf:params:oauth:grant-type:token-exchange',
  /** RFC 6749 6 */
  renewal: 'refresh_token',
} as const;

/** Token type identifiers, RFC 8693 3. */
export const TOKEN_TYPE = {
  id_token: 'urn:ietf:params:oauth:token-type:id_token',
  jwt: 'urn:ietf:params:oauth:token-type:jwt',
  refresh_token: 'urn:ietf:params:oauth:token-type:refresh_token',
} as const;

/** What the broker tells of a session to the holder of its key. Instants by the broker's clock. */
export interface WireSession {
  readonly sid: string;
  readonly username: string;
  readonly groups: readonly string[];
  readonly auth_time: Seconds;
  readonly acr?: string | undefined;
  /** When the identity provider last confirmed the account. */
  readonly revalidated_at?: Seconds | undefined;
  /** When the session is over for this target, as of now. */
  readonly session_end: Seconds;
  /** The session-wide end by age as stored at login. */
  readonly end_at_most: Seconds;
  readonly limits: ResolvedLimits;
  /** The broker's clock when it answered; also `last_used`, as a renewal is a use. */
  readonly broker_time: Seconds;
}

/** The reply of `POST /token` (RFC 8693 2.2.1). */
export interface TokenReply {
  readonly access_token: string;
  readonly issued_token_type: string;
  readonly token_type: 'N_A';
  /** Seconds. */
  readonly expires_in: Seconds;
  /** The session handle; in the reply to an exchange only. */
  readonly refresh_token?: string | undefined;
  readonly session: WireSession;
  /** Clusters that do not admit the person, by the configuration and the groups of now. */
  readonly not_admitted?: readonly string[] | undefined;
}

/** One session as `GET /v1/sessions` tells of it. Instants by the broker's clock. */
export interface SessionInfo {
  readonly sid: string;
  readonly username: string;
  readonly groups: readonly string[];
  readonly opened_at: Seconds;
  readonly auth_time: Seconds;
  readonly acr?: string | undefined;
  readonly last_used: Seconds;
  /** When session-wide limits end it if it is not used again; when it ended. */
  readonly session_end: Seconds;
  /** Where the person logged in from. */
  readonly address: string;
  readonly user_agent?: string | undefined;
  /** Set when it is over. */
  readonly end_reason?: EndReason | undefined;
  /** Whether it is the one that asks. */
  readonly current: boolean;
  /** To targets, as far as the broker knows of them: the oldest hundred. Absent where there are none. */
  readonly connections?: readonly ConnectionInfo[] | undefined;
}

/** A connection to a target that is open. */
export interface ConnectionInfo {
  readonly target: string;
  readonly account?: string | undefined;
  /** A `TargetKind`, or one of a later version. */
  readonly kind: string;
  readonly since: Seconds;
  /** Where the person connected from. */
  readonly address: string;
}

/** The reply of `GET /v1/sessions`. */
export interface SessionList {
  readonly sessions: readonly SessionInfo[];
  readonly broker_time: Seconds;
  /** Give it back as `after` to get the rest. */
  readonly next?: string | undefined;
}

/** The reply of `DELETE /v1/sessions[/SID]`: what this request ended, durably. */
export interface SessionsEnded {
  readonly ended: readonly { readonly sid: string; readonly username: string }[];
}

/** A refusal (RFC 6749 5.2) with our `reason`; RFC 9470 3 adds `acr_values` and `max_age`. */
export interface Refusal {
  readonly error: string;
  readonly error_description: string;
  readonly reason: string;
  readonly acr_values?: string | undefined;
  readonly max_age?: Seconds | undefined;
  readonly end_reason?: EndReason | undefined;
  /** As in `Retry-After`: for `login_after`, when a login is new enough at the earliest. */
  readonly retry_after?: Seconds | undefined;
  /** The session that was judged, told to the holder of its key only. */
  readonly session?: WireSession | undefined;
}

type Json = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export const isText = (value: unknown): value is string => typeof value === 'string' && value.length > 0;
export const isTexts = (value: unknown): value is readonly string[] => Array.isArray(value) && value.every(isText);
export const optional = (value: unknown, is: (value: unknown) => boolean): boolean => value === undefined || is(value);

export function isEndReason(value: unknown): value is EndReason {
  return END_REASONS.some((reason) => reason === value);
}

export function isWholeLimits(value: unknown): value is WholeLimits {
  return (
    isObject(value) &&
    isSeconds(value.max_age) &&
    isSeconds(value.inactivity_timeout) &&
    isSeconds(value.token_ttl) &&
    optional(value.revalidate, isSeconds) &&
    optional(value.acr, isTexts)
  );
}

export function isResolvedLimits(value: unknown): value is ResolvedLimits {
  return (
    isObject(value) && isWholeLimits(value.session) && isWholeLimits(value.target) && optional(value.segment, isText)
  );
}

export function isWireSession(value: unknown): value is WireSession {
  return (
    isObject(value) &&
    isText(value.sid) &&
    isText(value.username) &&
    Array.isArray(value.groups) &&
    value.groups.every(isText) &&
    isSeconds(value.auth_time) &&
    optional(value.acr, isText) &&
    optional(value.revalidated_at, isSeconds) &&
    isSeconds(value.session_end) &&
    isSeconds(value.end_at_most) &&
    isResolvedLimits(value.limits) &&
    isSeconds(value.broker_time)
  );
}

export function isTokenReply(value: unknown): value is TokenReply {
  return (
    isObject(value) &&
    isText(value.access_token) &&
    isText(value.issued_token_type) &&
    value.token_type === 'N_A' &&
    isSeconds(value.expires_in) &&
    optional(value.refresh_token, isText) &&
    isWireSession(value.session) &&
    optional(value.not_admitted, isTexts)
  );
}

export function isRefusal(value: unknown): value is Refusal {
  return (
    isObject(value) &&
    isText(value.error) &&
    isText(value.error_description) &&
    isText(value.reason) &&
    optional(value.acr_values, isText) &&
    optional(value.max_age, isSeconds) &&
    optional(value.end_reason, isEndReason) &&
    optional(value.retry_after, isSeconds) &&
    optional(value.session, isWireSession)
  );
}

export function isSessionInfo(value: unknown): value is SessionInfo {
  return (
    isObject(value) &&
    isText(value.sid) &&
    isText(value.username) &&
    Array.isArray(value.groups) &&
    value.groups.every(isText) &&
    isSeconds(value.opened_at) &&
    isSeconds(value.auth_time) &&
    optional(value.acr, isText) &&
    isSeconds(value.last_used) &&
    isSeconds(value.session_end) &&
    isText(value.address) &&
    optional(value.user_agent, isText) &&
    optional(value.end_reason, isEndReason) &&
    typeof value.current === 'boolean' &&
    optional(value.connections, (list) => Array.isArray(list) && list.every(isConnectionInfo))
  );
}

function isConnectionInfo(value: unknown): value is ConnectionInfo {
  return (
    isObject(value) &&
    isText(value.target) &&
    optional(value.account, isText) &&
    isText(value.kind) &&
    isSeconds(value.since) &&
    isText(value.address)
  );
}

export function isSessionList(value: unknown): value is SessionList {
  return (
    isObject(value) &&
    Array.isArray(value.sessions) &&
    value.sessions.every(isSessionInfo) &&
    isSeconds(value.broker_time) &&
    optional(value.next, isText)
  );
}

export function isSessionsEnded(value: unknown): value is SessionsEnded {
  return (
    isObject(value) &&
    Array.isArray(value.ended) &&
    value.ended.every((one) => isObject(one) && isText(one.sid) && isText(one.username))
  );
}

/** The facts on which the holder may judge by itself: its view of `last_used` is the broker's last answer. */
export function factsOf(session: WireSession): SessionFacts {
  const { auth_time, acr, end_at_most, revalidated_at, broker_time } = session;
  return { auth_time, acr, end_at_most, revalidated_at, last_used: broker_time };
}
