// The broker's configuration as a value: frozen, checked, with all that its files held.

import type { KeyObject } from 'node:crypto';
import type { TlsFiles } from '../../serving/config/tls.ts';
import type { ClusterStreamKind, StreamKind } from '../../shared/gateway_events.ts';
import type { Limits } from '../../shared/limits.ts';
import type { Credential } from '../../shared/metadata.ts';
import type { Policy, Segment } from '../../shared/policy.ts';
import type { Seconds } from '../../shared/time.ts';
import type { Actions } from '../audit_log/signals.ts';
import type { Rule } from '../rules/rules.ts';
import type { DatabaseAddress } from './database_address.ts';
import type { Preset } from './presets.ts';
import type { TargetGateway, TargetSettings } from './target_settings.ts';

export interface Config {
  /** The file it was read from, absolute. */
  readonly file: string;
  readonly issuer: string;
  /** PEM; goes into the printed authn-config. Absent where the system's roots know the issuer. */
  readonly issuer_ca?: string | undefined;
  readonly listen: Listen;
  /** Addresses and CIDR blocks whose `X-Forwarded-For` is believed. */
  readonly trusted_proxies: readonly string[];
  /** 256 bits, for what the store holds encrypted. Prints as nothing. */
  readonly encryption_key: KeyObject;
  /** What was, or is to be, in its place: it is understood as well. */
  readonly other_encryption_key?: KeyObject | undefined;
  /** After so many seconds a signing key is replaced; absent where that is only done by hand. */
  readonly rotate_keys_every?: Seconds | undefined;
  readonly identity_provider: IdentityProviderSettings;
  readonly clusters: readonly Cluster[];
  /** Where there are targets. */
  readonly target_gateway?: TargetGateway | undefined;
  readonly targets: readonly TargetSettings[];
  /** Without them nobody is an administrator. */
  readonly admins?: Admins | undefined;
  readonly metrics?: Listen | undefined;
  readonly hooks: readonly Hook[];
  /** Shared Signals transmitters that are heard. */
  readonly ssf: readonly Transmitter[];
  readonly store: StorePlaces;
  readonly policy: BrokerPolicy;
  /** Absolute paths of what it names and was read to make this, but those of `listen.tls` and `metrics.tls`, which are watched by themselves. */
  readonly files: readonly string[];
  /** SHA-256 of the file, hex. */
  readonly digest: string;
  /** SHA-256 over all that was read to make this, the secrets among it, hex: two that are alike are one configuration. Never shown. */
  readonly contents: string;
}

/** The policy with what only the broker needs of it. */
export interface BrokerPolicy extends Policy {
  readonly preset?: Preset | undefined;
  readonly segments: readonly (Segment & {
    readonly preset?: Preset | undefined;
    /** Streams through a gateway that are not idle while something arrives. */
    readonly inactivity?: { readonly output_counts: readonly StreamKind[] } | undefined;
    /** Whether a session may act as ServiceAccounts in what matches (`--as`). */
    readonly impersonate_service_accounts?: boolean | undefined;
  })[];
  readonly rules: readonly Rule[];
  /** Active sessions of one person. */
  readonly max_sessions?: { readonly count: number; readonly when_exceeded: 'refuse' | 'end_oldest' } | undefined;
  /** What each signal of the identity provider does. */
  readonly signals: Actions;
  /** How many failed logins within how many seconds are noticed. */
  readonly failed_logins: { readonly count: number; readonly window: Seconds };
}

export interface Admins {
  /** Names as the IdP gives them. */
  readonly groups: readonly string[];
  /** An administrator's session must satisfy these as well. */
  readonly limits: Limits;
}

/** Where reports of failed logins go. */
export interface Hook {
  readonly url: string;
  /** Signs what is sent. */
  readonly secret: KeyObject;
  readonly ca?: string | undefined;
}

/** A Shared Signals transmitter (SSF 1.0), by what it is known and of whom it may speak. */
export interface Transmitter {
  /** The `iss` of its SETs. */
  readonly issuer: string;
  /** Their `aud`. */
  readonly audience: string;
  /** Of whose persons it may speak: the `iss` of a subject. */
  readonly issuers: readonly string[];
  /** Where its keys are; found through its metadata when it is absent. */
  readonly jwks_uri?: string | undefined;
  readonly ca?: string | undefined;
  /** RFC 8935: what it presents. */
  readonly push?: { readonly token: KeyObject } | undefined;
  /** RFC 8936: where it is asked, and what we present. */
  readonly poll?: Poll | undefined;
}

/** With the token of a file, or with one that is got by client credentials (RFC 6749 4.4). Files absolute, read at each use. */
export type Poll = { readonly url: string } & (
  | { readonly token_file: string; readonly client?: undefined }
  | { readonly token_file?: undefined; readonly client: PollClient }
);

export interface PollClient {
  readonly id: string;
  readonly secret_file: string;
  /** Found through the transmitter's metadata when it is absent. */
  readonly token_endpoint?: string | undefined;
  readonly scopes: readonly string[];
}

export interface Listen {
  readonly address: string;
  readonly port: number;
  /** Paths, absolute: they are read again when they change. Absent only on a loopback address. */
  readonly tls?: TlsFiles | undefined;
}

export interface IdentityProviderSettings {
  readonly issuer: string;
  readonly client_id: string;
  /** Not secret: some IdPs give one to native apps, and the metadata serves it. */
  readonly client_secret?: string | undefined;
  readonly scopes: readonly string[];
  /** PEM, added to the system's roots. */
  readonly ca?: string | undefined;
  readonly username_claim: string;
  readonly groups_claim: string;
  readonly username_prefix: string;
  readonly groups_prefix: string;
  /** Names as the IdP gives them; `*` is everyone. */
  readonly allowed_groups: readonly string[];
  readonly clock_skew: Seconds;
  readonly device_grant: boolean;
  readonly redirect_host: RedirectHost;
  readonly redirect_ports: readonly number[];
  readonly id_token_signing_algs: readonly string[];
}

export type RedirectHost = '127.0.0.1' | '[::1]' | 'localhost';

export interface Cluster {
  readonly name: string;
  readonly server: string;
  /** PEM. Absent where the system's roots know the API server. */
  readonly ca?: string | undefined;
  readonly audience: string;
  /** Names as the IdP gives them; `*` is everyone. */
  readonly allowed_groups: readonly string[];
  /** For rules to look at. */
  readonly labels: Readonly<Record<string, string>>;
  /** What the API server enforces by itself, also a limit of this cluster. */
  readonly ceiling?: Ceiling | undefined;
  readonly webhook?: Webhook | undefined;
  readonly gateway?: GatewaySettings | undefined;
  readonly credential: Credential;
  /** With `service-account`: who acts as whom, the first that fits. */
  readonly service_accounts?: readonly ServiceAccountMapping[] | undefined;
  /** With `service-account`: the file of the bearer token with which the broker asks that API server. Absolute; read at each use. */
  readonly broker_token_file?: string | undefined;
  /** Each of its API servers by itself, as URLs; absent where `server` is all. */
  readonly api_servers?: readonly string[] | undefined;
}

export interface ServiceAccountMapping {
  /** A name as the IdP gives it; `*` is everyone. */
  readonly group: string;
  readonly namespace: string;
  readonly name: string;
}

export interface Webhook {
  /** Names the cluster; kube-apiserver presents it. */
  readonly token: KeyObject;
  /** What kube-apiserver does when the broker cannot be asked. */
  readonly on_failure: 'deny' | 'no_opinion';
  /** Whether it asks about tokens too (TokenReview). */
  readonly authentication: boolean;
  /** Whether its token counts with a certificate of `listen.tls.client_ca_file` alone. */
  readonly client_certificate: boolean;
}

/** What is in front of the API server and closes what is open when a session is over. */
export interface GatewaySettings {
  /** Where people reach it, for kubeconfig. */
  readonly url: string;
  /** PEM. */
  readonly ca?: string | undefined;
  /** Names the cluster; the gateway presents it. */
  readonly token: KeyObject;
  /** Whether people get tokens for it alone. */
  readonly required: boolean;
  /** Which streams are told of in the audit log. */
  readonly record: readonly ClusterStreamKind[];
}

export interface Ceiling {
  readonly max_age?: Seconds | undefined;
  readonly token_ttl?: Seconds | undefined;
}

/** Where the store is: a file for one process, or a database for any number of them. */
export type StorePlaces = (SqlitePlace | PostgresPlace) & {
  /** Absent where there is to be none. */
  readonly witness_file?: string | undefined;
};

export interface SqlitePlace {
  readonly sqlite: { readonly file: string };
  readonly postgres?: undefined;
}

export interface PostgresPlace {
  readonly postgres: PostgresSettings;
  readonly sqlite?: undefined;
}

export interface PostgresSettings {
  readonly address: DatabaseAddress;
  /** PEM, beside the system's roots. */
  readonly ca?: string | undefined;
  /** How many connections one process keeps at most for its transactions and reads. */
  readonly connections: number;
}
