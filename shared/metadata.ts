// What the broker tells everybody of itself: where it is asked, whose logins it takes, and what there is to reach. Members that are not
// known are ignored.

import type { WholeLimits } from './limits.ts';
import type { ResolvedLimits } from './policy.ts';
import { isMetadataTarget, type MetadataTarget } from './targets.ts';
import { isSeconds, type Seconds } from './time.ts';
import { isObject, isResolvedLimits, isText, isTexts, isWholeLimits, optional } from './wire.ts';

/** `GET /.well-known/curfew`. Public. */
export interface Metadata {
  readonly issuer: string;
  readonly token_endpoint: string;
  readonly revocation_endpoint: string;
  readonly sessions_endpoint: string;
  readonly identity_provider: {
    readonly issuer: string;
    readonly client_id: string;
    readonly client_secret?: string | undefined;
    readonly scopes: readonly string[];
    readonly redirect_host: string;
    readonly redirect_ports: readonly number[];
    /** Whether logins by device code are taken (RFC 8628). */
    readonly device_grant?: boolean | undefined;
  };
  readonly limits: WholeLimits;
  /** Set where the identity provider may have to vouch for accounts again: a refresh token is of use then. */
  readonly revalidates?: boolean | undefined;
  readonly clusters: readonly MetadataCluster[];
  /** Absent at a broker that knows no targets. */
  readonly targets?: readonly MetadataTarget[] | undefined;
}

export const CREDENTIALS = ['token', 'service-account'] as const;
/** What a person presents at a cluster's API server. */
export type Credential = (typeof CREDENTIALS)[number];

export interface MetadataCluster {
  readonly name: string;
  readonly audience: string;
  readonly server: string;
  /** PEM, base64, as kubeconfig's `certificate-authority-data`. */
  readonly certificate_authority_data?: string | undefined;
  /** `service-account`: the API server takes no flags, so its own tokens are used, bound to a Secret of the session. */
  readonly credential: Credential;
  /** Seconds until the end of a session takes effect there, at most: 0 where the next request is denied already. */
  readonly end_within: Seconds;
  readonly limits: ResolvedLimits;
  /** The smallest limits of all its namespaces and resources: a login that satisfies these satisfies all of them. */
  readonly strictest: WholeLimits;
}

export function isMetadata(value: unknown): value is Metadata {
  if (!isObject(value)) return false;
  const idp = value.identity_provider;
  return (
    isText(value.issuer) &&
    isText(value.token_endpoint) &&
    isText(value.revocation_endpoint) &&
    isText(value.sessions_endpoint) &&
    isWholeLimits(value.limits) &&
    optional(value.revalidates, (given) => typeof given === 'boolean') &&
    Array.isArray(value.clusters) &&
    value.clusters.every(isMetadataCluster) &&
    optional(value.targets, (targets) => Array.isArray(targets) && targets.every(isMetadataTarget)) &&
    isObject(idp) &&
    isText(idp.issuer) &&
    isText(idp.client_id) &&
    optional(idp.client_secret, isText) &&
    isTexts(idp.scopes) &&
    isText(idp.redirect_host) &&
    Array.isArray(idp.redirect_ports) &&
    idp.redirect_ports.every((port) => Number.isInteger(port) && port > 0 && port < 65_536) &&
    optional(idp.device_grant, (given) => typeof given === 'boolean')
  );
}

function isMetadataCluster(value: unknown): value is MetadataCluster {
  return (
    isObject(value) &&
    isText(value.name) &&
    isText(value.audience) &&
    isText(value.server) &&
    optional(value.certificate_authority_data, isText) &&
    CREDENTIALS.some((credential) => credential === value.credential) &&
    isSeconds(value.end_within) &&
    isResolvedLimits(value.limits) &&
    isWholeLimits(value.strictest)
  );
}
