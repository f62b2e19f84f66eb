// The gateway's configuration as a value: frozen, checked, with all that its files held.

import type { KeyObject } from 'node:crypto';
import type { TlsFiles } from '../../serving/config/tls.ts';
import type { Place } from '../../serving/net/listen.ts';
import type { Seconds } from '../../shared/time.ts';
import type { ServiceAccountKeys } from './service_account_keys.ts';

/** A gateway is before one cluster, or before all targets. */
export type Settings = ClusterSettings | TargetSettings;

interface CommonSettings {
  readonly broker: {
    /** The broker's issuer: tokens name it, and its endpoints are below it. */
    readonly url: string;
    /** PEM, beside the system's roots. */
    readonly ca?: string | undefined;
    /** 256 bits, by which the broker knows this gateway. Prints as nothing. */
    readonly token: KeyObject;
    /** Where it is read again when that changes; absolute. */
    readonly token_file?: string | undefined;
  };
  readonly listen: Place & { readonly tls: TlsFiles };
  readonly on_lost_broker: { readonly cut_after: Seconds };
  /** How long before their end streams are warned. */
  readonly warn: Seconds | 'off';
  /** How long a stop waits for streams. */
  readonly drain: Seconds;
  readonly metrics?: (Place & { readonly tls?: TlsFiles | undefined }) | undefined;
}

export interface ClusterSettings extends CommonSettings {
  readonly targets?: undefined;
  /** The name that the broker has for it. */
  readonly cluster: string;
  readonly api_server: {
    readonly url: string;
    /** PEM, beside the system's roots. */
    readonly ca?: string | undefined;
    /** Of the cluster's own tokens: where `credential: service-account` is used. */
    readonly service_account_keys?: ServiceAccountKeys | undefined;
  };
  /** What becomes of tokens that are not of curfew sessions, and of requests without one. */
  readonly other_credentials: 'refuse' | 'pass';
}

export interface TargetSettings extends CommonSettings {
  readonly targets: true;
  /** `https://HOST[:PORT]`, which proofs must speak of: the https form of what people are told (RFC 9449 4.3). */
  readonly public_url: string;
  readonly cluster?: undefined;
}
