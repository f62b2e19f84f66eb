// The identity provider as the broker sees it: its metadata and keys, kept while it is away, and the ID tokens it signed.
// No URL out of a token is ever fetched.

import type { BaseLogger } from 'pino';
import { CurfewError } from '../../shared/errors.ts';
import { type Clock, type Seconds, seconds } from '../../shared/time.ts';
import { parseCompactJws, signingInputHash } from '../jws.ts';
import { type Discovery, fetchDiscovery } from './discovery.ts';
import { FAILURE_KINDS, type FailureKind, FetchError, type FetchJson } from './fetch_json.ts';
import { checkClaims, checkHeader, type Expected, type IdTokenClaims, type Signed } from './id_token.ts';
import { candidates, fetchKeySet, type KeySet, verifiedByOne } from './key_set.ts';

export interface IdentityProvider {
  /**
   * Verifies an ID token: form, header, signature, claims, in this order.
   *
   * @throws CurfewError `id_token_*`, `auth_time`, `clock`; `identity_provider` when its keys are needed and out of reach
   */
  verifyIdToken(text: string, now: Seconds): Promise<IdTokenClaims>;
  /** Asks the IdP for its metadata and keys now. @throws CurfewError `identity_provider` */
  refresh(): Promise<Discovery>;
  /** How often its metadata and keys could not be read, since the start. */
  readonly failures: Readonly<Record<FailureKind, number>>;
  close(): Promise<void>;
}

export interface IdentityProviderParts {
  readonly settings: Expected;
  readonly fetchJson: FetchJson;
  readonly now: Clock;
  readonly log: Pick<BaseLogger, 'warn'>;
}

/** The last good answers, and when they came. */
interface Known {
  readonly discovery: Discovery;
  readonly keys: KeySet;
  readonly at: Seconds;
}

/** Metadata and keys are read again after this long, behind a login that does not wait for it. */
const STALE = seconds(600);
/** Tokens with made-up key ids must not turn us into a load on the IdP. */
const PAUSE = seconds(30);
/** Milliseconds for metadata and keys together. */
const WHOLE_WAIT = 7000;

export function createIdentityProvider({ settings, fetchJson, now, log }: IdentityProviderParts): IdentityProvider {
  let known: Known | undefined;
  let attempted: Seconds | undefined;
  let flight: Promise<Known> | undefined;
  const failures = Object.fromEntries(FAILURE_KINDS.map((kind) => [kind, 0])) as Record<FailureKind, number>;

  const load = async (): Promise<Known> => {
    attempted = now();
    const wait = AbortSignal.timeout(WHOLE_WAIT);
    const discovery = await fetchDiscovery(settings.issuer, fetchJson, wait);
    const keys = await fetchKeySet(discovery.jwks_uri, fetchJson, wait);
    known = Object.freeze({ discovery, keys, at: attempted });
    return known;
  };

  const refresh = (): Promise<Known> => {
    flight ??= load()
      .catch((error: unknown) => {
        failures[error instanceof FetchError ? error.kind : 'answer'] += 1;
        throw error;
      })
      .finally(() => {
        flight = undefined;
      });
    return flight;
  };

  const refreshBehind = (): void => {
    refresh().catch((error: unknown) => {
      const reason = error instanceof CurfewError ? error.message : 'unknown';
      log.warn({ reason }, 'identity provider not read again, its last answers stay in use');
    });
  };

  const paused = (): boolean => attempted !== undefined && isWithin(PAUSE, attempted, now());

  const keysFor = async (signed: Signed): Promise<KeySet> => {
    const { keys, at } = known ?? (await refresh());
    if (!isWithin(STALE, at, now()) && !paused()) refreshBehind();
    const fitting = candidates(keys, signed);
    // one that is under way may bring the key: whoever needs it waits along
    if (fitting.length > 0 || (paused() && !flight)) return fitting;
    return candidates((await refresh()).keys, signed);
  };

  const verifyIdToken = async (text: string, at: Seconds): Promise<IdTokenClaims> => {
    const jws = parseCompactJws(text);
    if (!jws) throw new CurfewError('id_token_invalid', 'the ID token is no well-formed JWT');
    const signed = checkHeader(jws, settings);
    const keys = await keysFor(signed);
    if (keys.length === 0) {
      throw new CurfewError(
        'id_token_signature',
        'the ID token names a key that the identity provider does not publish',
      );
    }
    if (!(await verifiedByOne(text, signed.alg, keys))) {
      throw new CurfewError('id_token_signature', 'the signature of the ID token is not by the identity provider');
    }
    return Object.freeze({ ...checkClaims(jws.payload, settings, at), signing_input_hash: signingInputHash(jws) });
  };

  return {
    verifyIdToken,
    refresh: async () => (await refresh()).discovery,
    failures,
    close: () => fetchJson.close(),
  };
}

/** A clock that was set back counts as a lapse too: waiting for it to catch up could take hours. */
function isWithin(length: Seconds, since: Seconds, now: Seconds): boolean {
  return now >= since && now - since < length;
}
