// The record: one event for each login, mint, refusal and end. No secret has a place in its shape.

import type { Code } from '../shared/errors.ts';
import type { WholeLimits } from '../shared/limits.ts';
import type { EndReason } from '../shared/session.ts';
import type { Seconds } from '../shared/time.ts';

interface Who {
  readonly iss?: string | undefined;
  readonly sub?: string | undefined;
  readonly username?: string | undefined;
}

interface Common extends Who {
  readonly at: Seconds;
  readonly sid?: string | undefined;
  /** The socket's address, or the client's where a trusted proxy tells it. */
  readonly address?: string | undefined;
  readonly jkt?: string | undefined;
}

export interface LoginEvent extends Common {
  readonly event: 'login';
  readonly auth_time: Seconds;
  readonly acr?: string | undefined;
  readonly groups: readonly string[];
  readonly session_end: Seconds;
  /** Set when this was the holder's own retry of a login whose reply was lost. */
  readonly retry?: true | undefined;
  readonly replaces?: string | undefined;
}

export interface MintEvent extends Common {
  readonly event: 'mint';
  readonly cluster: string;
  readonly segment?: string | undefined;
  readonly jti: string;
  readonly exp: Seconds;
  readonly session_end: Seconds;
  readonly limits: WholeLimits;
}

export interface RefusalEvent extends Common {
  readonly event: 'refusal';
  readonly grant: 'exchange' | 'renewal' | 'revocation';
  readonly reason: Code;
  readonly cluster?: string | undefined;
  readonly segment?: string | undefined;
  readonly end_reason?: EndReason | undefined;
  readonly limits?: WholeLimits | undefined;
}

export interface EndEvent extends Common {
  readonly event: 'end';
  readonly reason: EndReason;
  /** Since when it was over, which may be before it was noticed. */
  readonly ended_at: Seconds;
  readonly replaced_by?: string | undefined;
}

export type AuditEvent = LoginEvent | MintEvent | RefusalEvent | EndEvent;

export function auditRow(event: AuditEvent) {
  return { at: event.at, event: event.event, sid: event.sid ?? null, data: JSON.stringify(event) };
}
