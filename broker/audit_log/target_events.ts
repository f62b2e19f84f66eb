// Events of what is reached through the gateway of targets.

import type { TargetKind } from '../../shared/targets.ts';
import type { Seconds } from '../../shared/time.ts';
import type { Common } from './common.ts';

interface OfConnection extends Common {
  /** The id of the connection: the same in both rows about it. */
  readonly connection: string;
  readonly target: string;
  readonly kind: TargetKind;
  /** At the target; absent where its kind has none. */
  readonly account?: string | undefined;
}

/** A connection to a target was allowed: the row is there before the connection is. */
export interface ConnectEvent extends OfConnection {
  readonly event: 'connect';
  /** Of the token that it was asked for with. */
  readonly jti: string;
  readonly segment?: string | undefined;
  /** When it is cut at the latest, unless the session is used. */
  readonly session_end: Seconds;
}

/** A connection to a target is over: closed by either side or cut, as its gateway tells, or not heard of any more. */
export interface DisconnectEvent extends OfConnection {
  readonly event: 'disconnect';
  /** When it was, or when its gateway was heard of last; `at` is when that was known. */
  readonly happened_at: Seconds;
  /** The process of the gateway that told it. */
  readonly gateway?: string | undefined;
  /** How long it was open. */
  readonly seconds?: Seconds | undefined;
  /** From the person, and to them. */
  readonly bytes_sent?: number | undefined;
  readonly bytes_received?: number | undefined;
  /** Of a cut; `gateway_lost` where nothing was heard of it for 10 min. */
  readonly reason?: string | undefined;
}

/** The reason where nothing was heard of a connection any more. */
export const GATEWAY_LOST = 'gateway_lost';

/** A role of a session is gone from its database, and no connection with it is left. */
export interface RoleRemovedEvent extends Common {
  readonly event: 'role_removed';
  readonly target: string;
  readonly account: string;
  readonly role: string;
  /** Since when it was to go. */
  readonly due_at: Seconds;
}
