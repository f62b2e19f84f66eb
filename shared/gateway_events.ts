// What a gateway tells the broker of streams that it opened, closed or cut, for the audit log. Names, shapes, and the parsers for the side
// that reads. Members that are not known are ignored.

import { isTargetKind, TARGET_KINDS, type TargetKind } from './targets.ts';
import { isSeconds, type Seconds } from './time.ts';
import { isObject, isText, optional } from './wire.ts';

/** In one report. */
export const MOST_EVENTS = 500;

/** At a cluster: by the subresource that is asked for, and `watch`. */
export const CLUSTER_STREAM_KINDS = ['exec', 'attach', 'portforward', 'proxy', 'log', 'watch'] as const;
export type ClusterStreamKind = (typeof CLUSTER_STREAM_KINDS)[number];

/** With connections to targets, by the kind of these. */
export const STREAM_KINDS = [...CLUSTER_STREAM_KINDS, ...TARGET_KINDS] as const;
export type StreamKind = (typeof STREAM_KINDS)[number];

/** A stream, in each event about it. */
export type Stream = ClusterStream | TargetStream;

export interface ClusterStream {
  /** What the gateway knows it by. */
  readonly stream: string;
  readonly sid: string;
  readonly kind: ClusterStreamKind;
  readonly namespace?: string | undefined;
  /** With its subresource: `pods/exec`. */
  readonly resource: string;
  /** Of the pod, or of whatever the resource is. */
  readonly name?: string | undefined;
}

/** A connection to a target. */
export interface TargetStream {
  /** The `connection` that the broker named it. */
  readonly stream: string;
  readonly sid: string;
  readonly kind: TargetKind;
  readonly target: string;
  readonly account?: string | undefined;
}

/** What went through, and for how long. */
export interface StreamSum {
  /** Whole seconds that it was open. */
  readonly seconds: Seconds;
  /** Bytes from the person, and to them. */
  readonly bytes_sent: number;
  readonly bytes_received: number;
}

export type GatewayEvent = {
  /** How long ago it was when this was sent, in milliseconds. */
  readonly age_ms: number;
} & (
  | ({ readonly type: 'opened' } & Stream)
  | ({ readonly type: 'closed' } & Stream & StreamSum)
  /** `reason`: an `EndReason`, a `Code`, or `lost_broker` */
  | ({ readonly type: 'cut'; readonly reason: string } & Stream & StreamSum)
  /** Events that were dropped, as too many waited. */
  | { readonly type: 'lost'; readonly count: number }
);

/**
 * `POST /v1/gateway/events`: sent again, with all that is not acknowledged, until it is. The events of one gateway process are numbered
 * without gaps, so that none is recorded twice.
 */
export interface EventsReport {
  /** Of this process: of a random part that is made at its start, and the host's name for whoever reads the audit log. */
  readonly instance: string;
  /** The number of the first event here: 1 for the first of the process. */
  readonly first: number;
  readonly events: readonly GatewayEvent[];
}

export interface EventsReply {
  /** All up to this number are on disk: they need not be sent again. */
  readonly acknowledged: number;
}

/** The longest id and name that is taken, in characters. */
const LONGEST_ID = 256;

/** Names and ids go into the audit log: nothing in them may hide what is there. */
const HIDES = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;

export const isId = (value: unknown): value is string =>
  isText(value) && value.length <= LONGEST_ID && !HIDES.test(value);
export const isCount = (value: unknown): value is number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
export const listOf = (value: unknown, most: number, is: (item: unknown) => boolean): boolean =>
  Array.isArray(value) && value.length <= most && value.every(is);

export function isStreamKind(value: unknown): value is StreamKind {
  return STREAM_KINDS.some((kind) => kind === value);
}

export function isClusterStreamKind(value: unknown): value is ClusterStreamKind {
  return CLUSTER_STREAM_KINDS.some((kind) => kind === value);
}

export function isEventsReport(value: unknown): value is EventsReport {
  return (
    isObject(value) &&
    isId(value.instance) &&
    isCount(value.first) &&
    value.first > 0 &&
    listOf(value.events, MOST_EVENTS, isGatewayEvent)
  );
}

function isGatewayEvent(value: unknown): value is GatewayEvent {
  if (!isObject(value) || !isCount(value.age_ms)) return false;
  switch (value.type) {
    case 'opened':
      return isStream(value);
    case 'closed':
      return isStream(value) && isSum(value);
    case 'cut':
      return isStream(value) && isSum(value) && isId(value.reason);
    case 'lost':
      return isCount(value.count);
    default:
      return false;
  }
}

function isStream(value: Readonly<Record<string, unknown>>): boolean {
  return (
    isId(value.stream) &&
    isId(value.sid) &&
    (isClusterStreamKind(value.kind)
      ? optional(value.namespace, isId) && isId(value.resource) && optional(value.name, isId)
      : isTargetKind(value.kind) && isId(value.target) && optional(value.account, isId))
  );
}

function isSum(value: Readonly<Record<string, unknown>>): boolean {
  return isSeconds(value.seconds) && isCount(value.bytes_sent) && isCount(value.bytes_received);
}

export function isEventsReply(value: unknown): value is EventsReply {
  return isObject(value) && isCount(value.acknowledged);
}
