// What is on the wire between gateway and broker: leases of sessions, and the feed of ends. Names, shapes, and the parsers for the side
// that reads. Members that are not known are ignored.

import { type Code, isCode } from './errors.ts';
import { isCount, isId, isStreamKind, listOf, type StreamKind } from './gateway_events.ts';
import { parseJson } from './json.ts';
import type { AccessTarget, ResolvedLimits } from './policy.ts';
import type { SessionFacts } from './session.ts';
import { isSeconds, type Seconds } from './time.ts';
import { isEndReason, isObject, isResolvedLimits, isText, optional } from './wire.ts';

/** Below the broker's issuer. All are asked with the gateway's bearer token (RFC 6750 2.1). */
export const GATEWAY_PATHS = {
  sessions: '/v1/gateway/sessions',
  ends: '/v1/gateway/ends',
  events: '/v1/gateway/events',
  /** Of the gateway of targets: see connection_wire.ts. */
  connections: '/v1/gateway/connections',
  /** The grant of a gateway there is a token exchange (RFC 8693) of a token for it alone: `subject_token_type` is a JWT's. */
  token: '/token',
} as const;

/** For how many seconds a lease may be relied on after it was asked for. */
export const LEASE_SECONDS = 10;
/** Milliseconds between two lines of the feed, at most, while the broker knows that it has missed nothing. */
export const HEARTBEAT_MS = 1_000;
/** How long ago a use may be that is reported, in milliseconds: what is older is ignored. */
export const OLDEST_USE_MS = 10_000;

/** What one report may hold. */
export const MOST_ASKS = 1_000;
/** Of one ask, and of all together. */
export const MOST_TARGETS = 100;
export const MOST_TARGETS_IN_ALL = 5_000;
export const MOST_USES = 2_000;
/** Of one request, in bytes. */
export const LARGEST_REPORT_BYTES = 1024 * 1024;

/** What is touched: of the gateway's cluster, as `reachOf...` of reach.ts gives it; or a target, where it is the gateway of targets. */
export type GatewayTarget = GatewayReach | AccessTarget;

export interface GatewayReach {
  readonly namespace?: string | undefined;
  readonly resource?: string | undefined;
  readonly target?: undefined;
}

/** A session, by its id; where the cluster's own tokens are used, by the uid of the Secret that they are bound to. */
export type Asked =
  | { readonly sid: string; readonly secret_uid?: undefined }
  | { readonly secret_uid: string; readonly sid?: undefined };

/** A lease that is wanted. Without targets the session's own is. */
export type Ask = Asked & { readonly targets: readonly GatewayTarget[] };

/** A use of a session, by a request that the API server has let in. */
export interface Use {
  readonly sid: string;
  /** How long ago it was when this was sent, in milliseconds: 0 to 10,000. */
  readonly age_ms: number;
}

/** `POST /v1/gateway/sessions` */
export interface LeaseRequest {
  readonly asks: readonly Ask[];
  readonly uses: readonly Use[];
}

/** What the gateway judges a session by, for `LEASE_SECONDS` since it asked. Ended ones too: `facts.ended` says so. */
export type Lease = Asked & {
  readonly denied?: undefined;
  /** The session that judges: the one that was asked for, or the one that has replaced it. Ends and uses are told by this id. */
  readonly judged_sid: string;
  /** The person, as Kubernetes sees them. */
  readonly username: string;
  readonly groups: readonly string[];
  /** Whom tokens speak as, where the cluster's own are used: `system:serviceaccount:NAMESPACE:NAME`. Else they speak as `username`. */
  readonly acts_as?: string | undefined;
  readonly facts: SessionFacts;
  /** Of each target, in the order in which they were asked for. Of a cluster each has some. */
  readonly limits: readonly (LeasedLimits | NoLimits)[];
};

/** A target that the session may not use, or not as that account, while it may use others. */
export interface NoLimits {
  /** `not_admitted` */
  readonly denied: Code;
  /** For the person. */
  readonly message: string;
}

export interface LeasedLimits extends ResolvedLimits {
  readonly denied?: undefined;
  /**
   * A stream of such a kind is not cut for idleness by the target's own limit while something arrives on it. That is not a use, of nothing
   * else, and puts off no end of the session.
   */
  readonly output_counts?: readonly StreamKind[] | undefined;
}

/** Nothing of it may pass. */
export type NoLease = Asked & {
  /** `unknown_session`, or `not_admitted`. */
  readonly denied: Code;
  /** For the person. */
  readonly message: string;
};

/** The reply: one entry for each ask, in the order of asks. */
export interface LeaseReply {
  /**
   * The broker's clock as it answered, rounded down: it may be up to a second later already. What is over is judged by this, and by the
   * time that passed since the answer came.
   */
  readonly broker_time: Seconds;
  readonly sessions: readonly (Lease | NoLease)[];
  /** Which kinds of streams are recorded: events about others are not wanted. */
  readonly record: readonly StreamKind[];
}

/**
 * One line of `GET /v1/gateway/ends?after=PLACE`. `place` is given back as `after`, as it is: all up to this line has been told. A line
 * without one is told again after a reconnect. Without `after` the feed begins with what comes next.
 *
 * A lease that was asked for before a line came may be older than what the line tells: an end stands against it, and where leases are void
 * it is void too.
 */
export type FeedLine =
  /** A session is over. Its streams are cut, unless `replaced_by` names the session that judges on: that is asked for at once. */
  | {
      readonly type: 'end';
      readonly place?: string | undefined;
      readonly sid: string;
      /** An `EndReason`, or one of a later version. */
      readonly reason: string;
      readonly since: Seconds;
      readonly replaced_by?: string | undefined;
    }
  /** Tighter limits may hold for a session: its lease is void, and asked for at once. */
  | { readonly type: 'lowered'; readonly place?: string | undefined; readonly sid: string }
  /** What this key has signed is not taken any more: streams that were opened with it are cut. */
  | { readonly type: 'key_revoked'; readonly place?: string | undefined; readonly kid: string }
  /** Another configuration is in force: all leases are void, and asked for at once. */
  | { readonly type: 'reload'; readonly place?: string | undefined }
  /** Something may have been missed: all leases are void, and nothing passes until they were asked for. The feed continues from here. */
  | { readonly type: 'reset'; readonly place: string }
  /** Nothing has been missed up to now. An empty line. */
  | { readonly type: 'heartbeat'; readonly place?: string | undefined }
  /** Of a later version: to be on the safe side all leases are asked for at once. */
  | { readonly type: 'unknown'; readonly place?: string | undefined };

/** The reply to a token exchange (RFC 8693 2.2.1): a token for the API server. */
export interface SwapReply {
  readonly access_token: string;
  readonly issued_token_type: string;
  readonly token_type: 'N_A';
  /** Seconds. */
  readonly expires_in: Seconds;
}

export function isSwapReply(value: unknown): value is SwapReply {
  return (
    isObject(value) &&
    isText(value.access_token) &&
    isText(value.issued_token_type) &&
    value.token_type === 'N_A' &&
    isSeconds(value.expires_in)
  );
}

export function isLeaseRequest(value: unknown): value is LeaseRequest {
  if (!isObject(value) || !listOf(value.asks, MOST_ASKS, isAsk) || !listOf(value.uses, MOST_USES, isUse)) return false;
  return (value.asks as readonly Ask[]).reduce((sum, { targets }) => sum + targets.length, 0) <= MOST_TARGETS_IN_ALL;
}

function isAsked(value: Readonly<Record<string, unknown>>): boolean {
  const { sid, secret_uid } = value;
  return sid === undefined ? isId(secret_uid) : isId(sid) && secret_uid === undefined;
}

function isAsk(value: unknown): value is Ask {
  return isObject(value) && isAsked(value) && listOf(value.targets, MOST_TARGETS, isTarget);
}

function isTarget(value: unknown): value is GatewayTarget {
  if (!isObject(value)) return false;
  if ((value.target ?? value.account) !== undefined) return isId(value.target) && optional(value.account, isId);
  return optional(value.namespace, isId) && optional(value.resource, isId);
}

function isUse(value: unknown): value is Use {
  return isObject(value) && isId(value.sid) && isCount(value.age_ms);
}

export function isLeaseReply(value: unknown): value is LeaseReply {
  return (
    isObject(value) &&
    isSeconds(value.broker_time) &&
    Array.isArray(value.sessions) &&
    value.sessions.every(isLeaseOrNone) &&
    Array.isArray(value.record) &&
    value.record.every(isStreamKind)
  );
}

function isLeaseOrNone(value: unknown): value is Lease | NoLease {
  if (!isObject(value) || !isAsked(value)) return false;
  if (value.denied !== undefined) return isCode(value.denied) && isText(value.message);
  return (
    isText(value.judged_sid) &&
    isText(value.username) &&
    Array.isArray(value.groups) &&
    value.groups.every(isText) &&
    optional(value.acts_as, isText) &&
    isSessionFacts(value.facts) &&
    Array.isArray(value.limits) &&
    value.limits.every((limits) => isLeasedLimits(limits) || isNoLimits(limits))
  );
}

function isNoLimits(value: unknown): value is NoLimits {
  return isObject(value) && isCode(value.denied) && isText(value.message);
}

export function isLeasedLimits(value: unknown): value is LeasedLimits {
  if (!isResolvedLimits(value) || (value as { readonly denied?: unknown }).denied !== undefined) return false;
  const { output_counts } = value as { readonly output_counts?: unknown };
  return optional(output_counts, (kinds) => Array.isArray(kinds) && kinds.every(isStreamKind));
}

export function isSessionFacts(value: unknown): value is SessionFacts {
  return (
    isObject(value) &&
    isSeconds(value.auth_time) &&
    isSeconds(value.last_used) &&
    optional(value.end_at_most, isSeconds) &&
    optional(value.longest_idle, isSeconds) &&
    optional(value.idle_before, (gaps) => Array.isArray(gaps) && gaps.every(isGap)) &&
    optional(value.idle_end, isSeconds) &&
    optional(value.revalidated_at, isSeconds) &&
    optional(value.acr, isText) &&
    optional(value.ended, (ended) => isObject(ended) && isSeconds(ended.at) && isEndReason(ended.reason))
  );
}

function isGap(value: unknown): boolean {
  return isObject(value) && isSeconds(value.start) && isSeconds(value.length);
}

/** @returns `undefined` for what is not a line of the feed: then what is known of it cannot be relied on */
export function parseFeedLine(line: string): FeedLine | undefined {
  if (line === '') return { type: 'heartbeat' };
  const value = parseJson(line);
  if (!isObject(value) || !isText(value.type) || !optional(value.place, isId)) return undefined;
  const { sid, reason, since, replaced_by, kid } = value;
  const place = value.place as string | undefined;
  const at = place === undefined ? {} : { place };
  switch (value.type) {
    case 'end':
      if (!isText(sid) || !isText(reason) || !isSeconds(since) || !optional(replaced_by, isText)) return undefined;
      return { type: 'end', ...at, sid, reason, since, ...(isText(replaced_by) && { replaced_by }) };
    case 'lowered':
      return isText(sid) ? { type: 'lowered', ...at, sid } : undefined;
    case 'key_revoked':
      return isText(kid) ? { type: 'key_revoked', ...at, kid } : undefined;
    case 'reset':
      return place === undefined ? undefined : { type: 'reset', place };
    case 'reload':
    case 'heartbeat':
      return { type: value.type, ...at };
    default:
      return { type: 'unknown', ...at };
  }
}

/** @returns the line as it is sent, with its end */
export function feedLine(line: FeedLine): string {
  return line.type === 'heartbeat' && line.place === undefined ? '\n' : `${JSON.stringify(line)}\n`;
}
