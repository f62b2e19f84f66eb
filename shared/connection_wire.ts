// What the gateway of targets asks the broker at each new connection, and what it is told. Members that are not known are ignored.

import { isCount, isId } from './gateway_events.ts';
import { isLeasedLimits, isSessionFacts, type LeasedLimits } from './gateway_wire.ts';
import type { SessionFacts } from './session.ts';
import { isTargetKind, type TargetKind } from './targets.ts';
import { isSeconds, type Seconds } from './time.ts';
import { isObject, isText, isTexts, optional } from './wire.ts';

/** `POST /v1/gateway/connections`. A refusal is a 403 with `code` and `message`, the latter for the person. */
export interface ConnectionRequest {
  /** As it was presented. */
  readonly token: string;
  /** The one of the path. */
  readonly target: string;
  /** The client's. */
  readonly address: string;
  /** Of the DPoP proof that the gateway verified (RFC 9449 4.3): the broker consumes it. */
  readonly proof: { readonly jti: string; readonly jkt: string; readonly iat: Seconds };
}

/** The connection may be made: by now that is on disk. */
export interface ConnectionReply {
  /** What events name it. */
  readonly connection: string;
  /** Of the token; and the session that judges in its place, where that has been replaced. */
  readonly sid: string;
  readonly judged_sid: string;
  readonly username: string;
  readonly groups: readonly string[];
  readonly facts: SessionFacts;
  readonly limits: LeasedLimits;
  readonly target: string;
  readonly kind: TargetKind;
  readonly account?: string | undefined;
  /** Of the target, as the gateway reaches it. */
  readonly address: { readonly host: string; readonly port: number };
  /** As in a lease. */
  readonly broker_time: Seconds;
}

/** Larger than any token, with all that goes with it. */
const LONGEST_TOKEN = 16_384;

export function isConnectionRequest(value: unknown): value is ConnectionRequest {
  if (!isObject(value)) return false;
  const { token, target, address, proof } = value;
  return (
    isText(token) &&
    token.length <= LONGEST_TOKEN &&
    isId(target) &&
    isId(address) &&
    isObject(proof) &&
    isId(proof.jti) &&
    isId(proof.jkt) &&
    isSeconds(proof.iat)
  );
}

export function isConnectionReply(value: unknown): value is ConnectionReply {
  if (!isObject(value)) return false;
  const { address } = value;
  return (
    isId(value.connection) &&
    isId(value.sid) &&
    isId(value.judged_sid) &&
    isText(value.username) &&
    isTexts(value.groups) &&
    isSessionFacts(value.facts) &&
    isLeasedLimits(value.limits) &&
    isId(value.target) &&
    isTargetKind(value.kind) &&
    optional(value.account, isId) &&
    isObject(address) &&
    isText(address.host) &&
    isCount(address.port) &&
    address.port > 0 &&
    address.port < 65_536 &&
    isSeconds(value.broker_time)
  );
}
