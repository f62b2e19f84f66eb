// What people reach through a gateway beside clusters: SSH servers, PostgreSQL databases, and any port. Kinds, paths, what a token for
// one is answered with, and the parsers for the side that reads. Members that are not known are ignored.

import type { WholeLimits } from './limits.ts';
import type { ResolvedLimits } from './policy.ts';
import { isSeconds, type Seconds } from './time.ts';
import type { TokenReply } from './wire.ts';
import { isObject, isResolvedLimits, isText, isTexts, isWholeLimits, isWireSession, optional } from './wire.ts';

export const TARGET_KINDS = ['ssh', 'postgres', 'tcp'] as const;
export type TargetKind = (typeof TARGET_KINDS)[number];

/** What a gateway does for whoever holds a token for the target. The sub-protocol of the WebSocket (RFC 6455 1.9). */
export const CONNECT_PROTOCOL = 'curfew.connect.v1';
/** At a gateway, with the target's name behind it. */
export const CONNECT_PATH = '/v1/connect/';

/** Where a target is reached. @param gateway `wss://HOST[:PORT]`, without a slash at its end */
export function connectUrl(gateway: string, name: string): string {
  return `${gateway}${CONNECT_PATH}${encodeURIComponent(name)}`;
}

/** No longer than this is a token for a target good, in seconds: it is used once, at once. */
export const LONGEST_TARGET_TOKEN = 60;

/** What is presented at the target itself, beyond the gateway. Secret but for the certificate; kept nowhere. */
export type TargetCredential =
  | {
      readonly kind: 'ssh';
      /** One line: `ssh-ed25519-cert-v01@openssh.com AAAA...`. */
      readonly certificate: string;
      /** The account to log in as. */
      readonly login: string;
      readonly valid_until: Seconds;
    }
  | {
      readonly kind: 'postgres';
      readonly role: string;
      readonly password: string;
      readonly databases: readonly string[];
      /** For whom the server's certificate is: without it, for the target's name. */
      readonly server_name?: string | undefined;
      readonly valid_until: Seconds;
      /** PEM, base64: who vouches for the server. */
      readonly certificate_authority_data?: string | undefined;
    };

/** The reply of `POST /token` where a target is asked for. Bound to the key of the proof (RFC 9449 5). */
export interface TargetTokenReply extends Omit<TokenReply, 'token_type'> {
  readonly token_type: 'DPoP';
  /** The account at the target; absent where its kind has none. */
  readonly account?: string | undefined;
  readonly credential?: TargetCredential | undefined;
}

/** What the broker's metadata says of a target. */
export interface MetadataTarget {
  readonly name: string;
  /** A `TargetKind`, or one of a later version. */
  readonly kind: string;
  readonly audience: string;
  /** `wss://GATEWAY/v1/connect/NAME` */
  readonly url: string;
  /** PEM, base64: who vouches for the gateway. */
  readonly certificate_authority_data?: string | undefined;
  /** Of an SSH server, as in `known_hosts`: `ssh-ed25519 AAAA...`. */
  readonly host_key?: string | undefined;
  /** Of a PostgreSQL server. */
  readonly databases?: readonly string[] | undefined;
  readonly limits: ResolvedLimits;
  /** The smallest limits of all its accounts: a login that satisfies these satisfies all of them. */
  readonly strictest: WholeLimits;
}

export function isTargetKind(value: unknown): value is TargetKind {
  return TARGET_KINDS.some((kind) => kind === value);
}

/** A public key of the one algorithm that is taken, as in `authorized_keys`, without a comment. */
export const isSshPublicKey = (value: unknown): value is string =>
  typeof value === 'string' && /^ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI[A-Za-z0-9+/]{43}$/.test(value);

export function isTargetCredential(value: unknown): value is TargetCredential {
  if (!isObject(value) || !isSeconds(value.valid_until)) return false;
  switch (value.kind) {
    case 'ssh':
      return isText(value.certificate) && isText(value.login);
    case 'postgres':
      return (
        isText(value.role) &&
        isText(value.password) &&
        isTexts(value.databases) &&
        optional(value.server_name, isText) &&
        optional(value.certificate_authority_data, isText)
      );
    default:
      return false;
  }
}

export function isTargetTokenReply(value: unknown): value is TargetTokenReply {
  return (
    isObject(value) &&
    isText(value.access_token) &&
    isText(value.issued_token_type) &&
    value.token_type === 'DPoP' &&
    isSeconds(value.expires_in) &&
    optional(value.refresh_token, isText) &&
    isWireSession(value.session) &&
    optional(value.not_admitted, isTexts) &&
    optional(value.account, isText) &&
    optional(value.credential, isTargetCredential)
  );
}

export function isMetadataTarget(value: unknown): value is MetadataTarget {
  return (
    isObject(value) &&
    isText(value.name) &&
    isText(value.kind) &&
    isText(value.audience) &&
    isText(value.url) &&
    optional(value.certificate_authority_data, isText) &&
    optional(value.host_key, isText) &&
    optional(value.databases, isTexts) &&
    isResolvedLimits(value.limits) &&
    isWholeLimits(value.strictest)
  );
}
