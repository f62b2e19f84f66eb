// The tables as TypeScript sees them, and the migrations that make them. Instants are whole seconds.

import type { Generated, Selectable } from 'kysely';
import type { EndReason } from '../../shared/session.ts';
import type { Seconds } from '../../shared/time.ts';
import type { FeedHeadTable, FeedTable, GatewayPlaceTable, LeaseTable } from './replica_tables.ts';
import type { SessionRoleTable } from './session_role_table.ts';
import type { ConnectionTable } from './target_tables.ts';

/** A person is the pair (`iss`, `sub`); the username is a label that one person holds. */
export interface PersonTable {
  iss: string;
  sub: string;
  username: string;
}

/** Names that persons had before: events of the identity provider may still use them. Kept by the database itself. */
export interface PastNameTable {
  iss: string;
  username: string;
  sub: string;
}

/** Since when a person, or whoever logs in with a session of the IdP, must have authenticated. */
export interface LoginAfterTable {
  iss: string;
  kind: 'sub' | 'idp_sid';
  id: string;
  /** A login with an earlier `auth_time` opens no session. */
  instant: Seconds;
}

/** Logins of which the IdP's clock was ahead: since when they count. */
export interface CountedLoginTable {
  iss: string;
  sub: string;
  /** The `auth_time` of the ID token. */
  raw: Seconds;
  auth_time: Seconds;
}

/** Names that were somebody's, whose tokens still bear them: nobody else's until then. */
export interface RestingNameTable {
  username: string;
  iss: string;
  sub: string;
  free_at: Seconds;
}

/** Times without use that sessions left behind. */
export interface IdleGapTable {
  iss: string;
  sub: string;
  /** The last use before it. */
  start: Seconds;
  /** Null while nobody has logged in since. */
  length: Seconds | null;
}

export interface SessionTable {
  sid: string;
  iss: string;
  sub: string;
  username: string;
  /** JSON array: names as Kubernetes sees them. */
  groups: string;
  /** JSON array: names as the IdP gave them. */
  idp_groups: string;
  /** Thumbprint of the key that holds the session (RFC 7638). */
  jkt: string;
  /** SHA-256 of the session handle. */
  handle_hash: Uint8Array;
  /** The ID token's own `sid`. */
  idp_sid: string | null;
  auth_time: Seconds;
  /** As the IdP said it, by its own clock. Null where 0.4.0 opened the session. */
  raw_auth_time: Seconds | null;
  /** When the IdP last confirmed the account. */
  revalidated_at: Seconds;
  acr: string | null;
  /** JSON array. */
  amr: string | null;
  end_at_most: Seconds;
  last_used: Seconds;
  /** The longest time between two uses so far. */
  longest_idle: Seconds;
  /** JSON array of `[start, length]`: the times between two uses so far, as far as they matter. */
  gaps: string;
  /** JSON array likewise: of the person's other sessions, from after the login of this one, as of when it opened. */
  idle_before: string;
  /** When session-wide limits end it if it is not used again, as of its last use. May only be moved by a use. */
  over_at: Seconds;
  opened_at: Seconds;
  /** The socket's address at login. */
  address: string;
  user_agent: string | null;
  /** JSON array of what rules have yielded, as of the last exchange or renewal. */
  yields: string;
  /** Until when a token of it may be taken, by the token's own `exp`. */
  token_exp: Seconds;
  /** Set when its next renewal is to end it, with this reason. */
  end_at_renewal: EndReason | null;
  ended_at: Seconds | null;
  end_reason: EndReason | null;
  replaced_by: string | null;
}

/** ID tokens that were exchanged, until they could not be exchanged anyway. */
export interface IdTokenUseTable {
  /** SHA-256 of `header.payload`. */
  hash: string;
  jkt: string;
  /** SHA-256 of `nonce_random`. */
  nonce_hash: string;
  sid: string;
  used_at: Seconds;
  expires_at: Seconds;
}

/** DPoP proofs that were used, by the minute they speak of (RFC 9449 11.1). */
export interface ProofTable {
  minute: number;
  hash: Uint8Array;
}

export interface SigningKeyTable {
  kid: string;
  /** JSON of the public JWK. */
  public_jwk: string;
  /** The private key, AES-256-GCM under the configured key. */
  sealed: Uint8Array;
  created_at: Seconds;
  /** When it begins to sign: published before that. */
  sign_from: Seconds;
  /** Seconds for which what it signs can be taken, at most. */
  longest_token: Seconds;
}

/** Keys that certify people's SSH keys. */
export interface SshCaKeyTable {
  /** Its fingerprint. */
  kid: string;
  /** As in `TrustedUserCAKeys`. */
  public_key: string;
  /** The private key, AES-256-GCM under the configured key. */
  sealed: Uint8Array;
  created_at: Seconds;
  /** JSON array of `[target, instant]`: since when it has been in print for whose host. */
  printed: string;
}

export interface AuditTable {
  /** PostgreSQL alone: which of the chains it is in; 0 is what was taken over from SQLite, where there is one chain. */
  lane: Generated<number>;
  seq: Generated<number>;
  at: Seconds;
  event: string;
  sid: string | null;
  /** JSON of the whole event. */
  data: string;
  /** SHA-256 over the row before it and this one, hex. */
  hash: string;
}

/** One row: the newest link of the audit log's chain, sealed with the encryption key. */
export interface AuditHeadTable {
  id: 1;
  seq: number;
  hash: string;
  seal: string;
}

/** PostgreSQL alone: a chain of the audit log for each connection that writes, each with its newest link, sealed. */
export interface AuditLaneTable {
  lane: number;
  seq: number;
  hash: string;
  seal: string;
  /** The newest instant that was committed at through it. */
  newest: Seconds;
}

/** Failed logins by person, in the window that runs. */
export interface FailedLoginTable {
  /** `person:` and a hash of whose. */
  key: string;
  count: number;
  first_at: Seconds;
  last_at: Seconds;
  /** Until when further logins are refused. */
  blocked_until: Seconds;
}

/** Reports that are to be delivered to a hook. */
export interface HookDeliveryTable {
  id: Generated<number>;
  url: string;
  /** JSON as it is sent and signed. */
  body: string;
  created_at: Seconds;
  attempts: number;
  next_at: Seconds;
}

/** Logout tokens and security events that were received, so that none acts twice. */
export interface SignalReceivedTable {
  kind: 'logout_token' | 'set';
  iss: string;
  jti: string;
  expires_at: Seconds;
}

/** Secrets in clusters with `credential: service-account`: each token of a session there is bound to one. */
export interface BoundSecretTable {
  /** Of the Secret; of no other, ever. */
  name: string;
  cluster: string;
  namespace: string;
  service_account: string;
  sid: string;
  /** As the API server gave it; null until it is known to be there. */
  uid: string | null;
  /** Whether it is to go, whatever its session does. */
  doomed: 0 | 1;
  /** When it is over, as of its last token: looked at again then. */
  over_at: Seconds;
  /** When it is looked at next. */
  next_at: Seconds;
  attempts: number;
}

/** One row: which store this is, and what holds for all that is in it. */
export interface StoreStateTable {
  id: 1;
  /** 128 random bits, hex: of this store, and of no other. */
  database_id: string;
  /** Whether a witness file has ever known it: then there must be one. */
  witnessed: 0 | 1;
  /** Raised when all that there is was declared over: signing keys are others from then on. */
  epoch: number;
  /** 128 random bits for each: of two stores that come from one, each may have been declared over. Null before the first. */
  epoch_id: Generated<string | null>;
  /** A login, and an ID token, from before opens no session: `login_after` for everybody. */
  over_before: Seconds;
  /** The newest instant that was committed at: the clock is never believed to be before it. */
  newest: Seconds;
  /** The oldest version of the tables whose programs may still use them (`version.ts`). */
  oldest_reader: Generated<number>;
  /** Of a store that was copied to another database, or from another: JSON (`moved.ts`). */
  moved: Generated<string | null>;
}

/** At most one row, in a store of 0.4.0: until when its tokens are judged though their ids prove nothing. */
export interface OldTokenIdsTable {
  id: 1;
  /** Both null until this version starts first. */
  since: Seconds | null;
  until: Seconds | null;
}

export interface Schema {
  store_state: StoreStateTable;
  old_token_ids: OldTokenIdsTable;
  person: PersonTable;
  past_name: PastNameTable;
  login_after: LoginAfterTable;
  counted_login: CountedLoginTable;
  resting_name: RestingNameTable;
  idle_gap: IdleGapTable;
  signal_received: SignalReceivedTable;
  bound_secret: BoundSecretTable;
  session_role: SessionRoleTable;
  session: SessionTable;
  id_token_use: IdTokenUseTable;
  proof: ProofTable;
  signing_key: SigningKeyTable;
  ssh_ca_key: SshCaKeyTable;
  audit: AuditTable;
  audit_head: AuditHeadTable;
  audit_lane: AuditLaneTable;
  failed_login: FailedLoginTable;
  hook_delivery: HookDeliveryTable;
  feed_head: FeedHeadTable;
  feed: FeedTable;
  lease: LeaseTable;
  gateway_place: GatewayPlaceTable;
  connection: ConnectionTable;
}

export type Session = Readonly<Selectable<SessionTable>>;
