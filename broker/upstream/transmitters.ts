// Shared Signals transmitters as the broker sees them: their keys, by their metadata (SSF 1.0 7) or by a setting, each kept while
// the configuration names it so.

import type { BaseLogger } from 'pino';
import { CurfewError } from '../../shared/errors.ts';
import { type Clock, seconds } from '../../shared/time.ts';
import type { Transmitter } from '../config/settings.ts';
import { createFetchJson, FetchError, type FetchJson } from '../net/fetch_json.ts';
import { isAsSafe } from './discovery.ts';
import { fetchKeySet } from './key_set.ts';
import { createSigner, type Published, type Signer } from './published_keys.ts';

export interface Transmitters {
  signerOf(transmitter: Transmitter): Signer<Published>;
  close(): Promise<void>;
}

export const TRANSMITTER = { name: 'transmitter', ca_setting: 'ssf[].ca_file' } as const;

export function createTransmitters(now: Clock, log: Pick<BaseLogger, 'warn'>): Transmitters {
  const known = new Map<string, { readonly signer: Signer<Published>; readonly fetchJson: FetchJson }>();
  const connect = (transmitter: Transmitter) => {
    const fetchJson = createFetchJson(transmitter.ca, undefined, TRANSMITTER);
    const load = async (wait: AbortSignal) => {
      const jwks_uri = transmitter.jwks_uri ?? (await findKeys(transmitter.issuer, fetchJson, wait));
      return { keys: await fetchKeySet(jwks_uri, fetchJson, wait, TRANSMITTER.name) };
    };
    // Only who presents its token gets this far: a new key of its is looked for soon.
    return { signer: createSigner({ name: TRANSMITTER.name, load, now, log, pause: seconds(5) }), fetchJson };
  };
  return {
    signerOf(transmitter) {
      const { issuer, jwks_uri, ca } = transmitter;
      const key = JSON.stringify([issuer, jwks_uri, ca]);
      const found = known.get(key) ?? connect(transmitter);
      known.set(key, found);
      return found.signer;
    },
    async close() {
      await Promise.all([...known.values()].map(({ fetchJson }) => fetchJson.close()));
    },
  };
}

/** @throws CurfewError `identity_provider` */
async function findKeys(issuer: string, fetchJson: FetchJson, wait: AbortSignal): Promise<string> {
  const { jwks_uri } = await fetchMetadata(issuer, metadataUrls(issuer), fetchJson, wait);
  if (typeof jwks_uri === 'string' && isAsSafe(jwks_uri, issuer)) return jwks_uri;
  const { host } = new URL(issuer);
  throw new CurfewError('identity_provider', `transmitter ${host} has no jwks_uri that is a safe URL in its metadata`);
}

/**
 * Metadata of a transmitter, from the first place that has it. One that is out of reach is not looked for elsewhere at the same host.
 *
 * @throws CurfewError `identity_provider`
 */
export async function fetchMetadata(
  issuer: string,
  urls: readonly string[],
  fetchJson: FetchJson,
  wait: AbortSignal,
): Promise<Readonly<Record<string, unknown>>> {
  const { host } = new URL(issuer);
  const faults: CurfewError[] = [];
  for (const url of urls) {
    try {
      const document = await fetchJson.get(url, wait);
      if (document.issuer === issuer) return document;
      faults.push(new CurfewError('identity_provider', `transmitter ${host} names another issuer in its metadata`));
    } catch (fault) {
      if (!(fault instanceof FetchError) || (fault.kind !== 'status' && fault.kind !== 'answer')) throw fault;
      faults.push(fault);
    }
  }
  const [first] = faults;
  if (first && faults.length === 1) throw first;
  const places = urls.map((url) => new URL(url).pathname).join(' nor ');
  const said = faults.map(({ message }) => message.replace(`transmitter ${host} `, '')).join('; ');
  throw new CurfewError('identity_provider', `transmitter ${host} has its metadata neither at ${places} (${said})`);
}

/**
 * SSF 1.0 7.2: between host and path, as RFC 8414 has it; and beneath the path, as Keycloak and OpenID Connect Discovery 1.0 4
 * have it.
 */
export function metadataUrls(issuer: string, name = 'ssf-configuration'): string[] {
  const { origin, pathname } = new URL(issuer);
  const path = pathname.replace(/\/$/, '');
  return [...new Set([`${origin}/.well-known/${name}${path}`, `${origin}${path}/.well-known/${name}`])];
}
