// The audit log: one event type for each thing that is to be told of. No secret has a place in its shape.

import type { Code } from '../../shared/errors.ts';
import type { StreamKind } from '../../shared/gateway_events.ts';
import type { WholeLimits } from '../../shared/limits.ts';
import type { EndReason } from '../../shared/session.ts';
import type { TargetKind } from '../../shared/targets.ts';
import type { Seconds } from '../../shared/time.ts';
import type { Common } from './common.ts';
import type { Action } from './signals.ts';
import type { AnchorEvent, KeysEvent, LaneOpenedEvent, StoreCopyEvent } from './store_events.ts';
import type { ConnectEvent, DisconnectEvent, RoleRemovedEvent } from './target_events.ts';

export type { AnchorEvent, KeysEvent, LaneOpenedEvent, NamedHead, StoreCopyEvent } from './store_events.ts';
export { type ConnectEvent, type DisconnectEvent, GATEWAY_LOST } from './target_events.ts';

export interface LoginEvent extends Common {
  readonly event: 'login';
  readonly auth_time: Seconds;
  readonly acr?: string | undefined;
  readonly groups: readonly string[];
  readonly session_end: Seconds;
  /** Names of the rules whose limits apply. */
  readonly rules?: readonly string[] | undefined;
  /** Set when this was the holder's own retry of a login whose reply was lost. */
  readonly retry?: true | undefined;
  readonly replaces?: string | undefined;
}

/** A token for a cluster or a target. */
export interface MintEvent extends Common {
  readonly event: 'mint';
  readonly cluster?: string | undefined;
  readonly target?: string | undefined;
  /** At the target. */
  readonly account?: string | undefined;
  readonly segment?: string | undefined;
  readonly rules?: readonly string[] | undefined;
  readonly jti: string;
  readonly exp: Seconds;
  readonly session_end: Seconds;
  readonly limits: WholeLimits;
  /** Where the cluster's own tokens are used: whom it speaks as (`namespace/name`), and the Secret that it is bound to. */
  readonly service_account?: string | undefined;
  readonly secret?: string | undefined;
  /** Where a gateway got it in place of a person's: the `jti` of that. */
  readonly swapped_from?: string | undefined;
}

/** A session was given what is presented at a target itself. No secret is in it. */
export interface CredentialEvent extends Common {
  readonly event: 'credential';
  readonly target: string;
  readonly kind: TargetKind;
  readonly account: string;
  /** In a database, by its name there. */
  readonly role?: string | undefined;
  /** Of an SSH certificate, as sshd writes them into its log. */
  readonly serial?: string | undefined;
  readonly key_id?: string | undefined;
  readonly principal?: string | undefined;
  /** The key of the ssh-ca that signs it. */
  readonly ca?: string | undefined;
  readonly valid_until: Seconds;
}

/** The identity provider confirmed the account again. */
export interface RevalidationEvent extends Common {
  readonly event: 'revalidation';
  /** The `iat` of its ID token. */
  readonly revalidated_at: Seconds;
  readonly groups: readonly string[];
}

/** A word of the identity provider: a logout token, or a security event. */
export interface SignalEvent extends Common {
  readonly event: 'signal';
  readonly source: SignalSource;
  /** Who sent it: the identity provider, or a transmitter. */
  readonly issuer: string;
  /** The event's type, a URI. */
  readonly type: string;
  readonly jti?: string | undefined;
  /** The session at the identity provider that it names. */
  readonly idp_sid?: string | undefined;
  /** What the policy makes of it; for an event about no session, or of no meaning here, nothing. */
  readonly action: Action;
  /** How many active sessions it was about. */
  readonly sessions: number;
  /** Set where the name that it uses is not written as the person's is, or is an old one of theirs. */
  readonly matched_by?: MatchedBy | undefined;
  /** Set where nobody here, or no session, is known by what it names. */
  readonly unmatched?: true | undefined;
}

/** How a signal came. */
export const SIGNAL_SOURCES = ['backchannel_logout', 'push', 'poll'] as const;
export type SignalSource = (typeof SIGNAL_SOURCES)[number];

/** A Secret that tokens of a session were bound to is gone from its cluster: none of those tokens is taken any more. */
export interface SecretDeletedEvent extends Common {
  readonly event: 'secret_deleted';
  readonly cluster: string;
  readonly namespace: string;
  readonly secret: string;
  /** Since when it was to go. */
  readonly due_at: Seconds;
}

/** What was asked for when something was refused. */
export type Asking =
  | 'exchange'
  | 'renewal'
  | 'revocation'
  | 'sessions'
  | 'introspection'
  | 'authorization'
  | 'authentication'
  | 'gateway'
  | 'connection'
  | SignalSource;

interface Denying extends Common {
  readonly reason: Code;
  readonly cluster?: string | undefined;
  readonly segment?: string | undefined;
  readonly end_reason?: EndReason | undefined;
  readonly limits?: WholeLimits | undefined;
  /** How many more like it since the row before it, which have no row of their own. Refusals: of callers that are not known. */
  readonly repeated?: number | undefined;
}

export interface RefusalEvent extends Denying {
  readonly event: 'refusal';
  readonly grant: Asking;
  /** Where it was for a target, and as whom there. */
  readonly target?: string | undefined;
  readonly account?: string | undefined;
  /** For `rule_error`: the rule that could not be evaluated. */
  readonly rule?: string | undefined;
}

/** A request at an API server that the webhook denied. */
export interface DenialEvent extends Denying {
  readonly event: 'denial';
  readonly cluster: string;
  readonly verb?: string | undefined;
  readonly namespace?: string | undefined;
  readonly resource?: string | undefined;
  readonly jti?: string | undefined;
}

export interface EndEvent extends Common {
  readonly event: 'end';
  readonly reason: EndReason;
  /** Since when it was over, which may be before it was noticed. */
  readonly ended_at: Seconds;
  /** The session that judges what this one has minted. */
  readonly replaced_by?: string | undefined;
  /** Username of whoever ended it, when that was not its owner's own doing. */
  readonly by?: string | undefined;
  /** What they gave as their reason. */
  readonly note?: string | undefined;
}

/** An administrator looked at the sessions of others. */
export interface ListEvent extends Common {
  readonly event: 'list';
  readonly count: number;
}

/** Somebody failed to log in again and again. */
export interface FailedLoginsEvent extends Common {
  readonly event: 'failed_logins';
  readonly by: 'person' | 'address';
  readonly count: number;
  /** Seconds in which they happened. */
  readonly window: Seconds;
  /** Seconds for which further logins are refused. */
  readonly delay: Seconds;
  readonly reason: Code;
  /** How the person's last session ended, when that is known. */
  readonly end_reason?: EndReason | undefined;
}

/** A policy was put into force, or a changed one was refused and the old one stays. */
export interface PolicyEvent extends Common {
  readonly event: 'policy';
  readonly outcome: 'loaded' | 'reloaded' | 'refused';
  /** SHA-256 of the configuration file. */
  readonly digest: string;
  readonly faults?: readonly string[] | undefined;
}

/** An administrator changed the store by a command on the broker's machine. */
export interface AdministrationEvent extends Common {
  readonly event: 'administration';
  readonly command: AdministrationCommand;
  /** Who ran it: their name at the operating system. */
  readonly by: string;
  /** How many sessions it ended. */
  readonly sessions?: number | undefined;
  /** What they gave as their reason. */
  readonly note?: string | undefined;
}

/** A stream through a gateway was opened, closed by either side, or cut by the gateway, as that tells. */
export interface StreamEvent extends Common {
  readonly event: 'stream';
  readonly step: StreamStep;
  /** When it was; `at` is when it was told. */
  readonly happened_at: Seconds;
  readonly cluster: string;
  /** The process of the gateway. */
  readonly gateway: string;
  /** What the gateway knows it by: the same in all rows about it. */
  readonly stream: string;
  readonly kind: StreamKind;
  readonly namespace?: string | undefined;
  readonly resource: string;
  readonly name?: string | undefined;
  /** How long it was open. */
  readonly seconds?: Seconds | undefined;
  /** From the person, and to them. */
  readonly bytes_sent?: number | undefined;
  readonly bytes_received?: number | undefined;
  /** Of a cut. */
  readonly reason?: string | undefined;
}

export const STREAM_STEPS = ['opened', 'closed', 'cut'] as const;
export type StreamStep = (typeof STREAM_STEPS)[number];

/** Streams were opened, closed or cut of which there is no row: too many at once, or the broker was away for too long. */
export interface StreamsLostEvent extends Common {
  readonly event: 'streams_lost';
  /** Absent where they were connections to targets. */
  readonly cluster?: string | undefined;
  readonly gateway: string;
  /** How many rows are missing. */
  readonly count: number;
}

/** As they are typed. */
export const ADMINISTRATION_COMMANDS = ['store accept', 'clock accept', 'names free'] as const;
export type AdministrationCommand = (typeof ADMINISTRATION_COMMANDS)[number];

export type AuditEvent =
  | LoginEvent
  | MintEvent
  | CredentialEvent
  | RefusalEvent
  | DenialEvent
  | EndEvent
  | ListEvent
  | FailedLoginsEvent
  | RevalidationEvent
  | SignalEvent
  | SecretDeletedEvent
  | RoleRemovedEvent
  | PolicyEvent
  | AdministrationEvent
  | StreamEvent
  | StreamsLostEvent
  | ConnectEvent
  | DisconnectEvent
  | StoreCopyEvent
  | KeysEvent
  | LaneOpenedEvent
  | AnchorEvent;

/** One row of the audit log: the event, and its place in the chain. */
export interface AuditEntry {
  /** Of several chains, which one; absent where there is one. */
  readonly lane?: number | undefined;
  readonly seq: number;
  /** SHA-256 over the row before it and this one, hex. */
  readonly hash: string;
  readonly event: AuditEvent;
}

/** How it was found, where it was not found as it is written. */
export type MatchedBy = 'case' | 'old_name';
