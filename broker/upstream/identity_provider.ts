// The identity provider as the broker sees it: its metadata and keys, and the ID tokens and logout tokens that it signed.

import type { BaseLogger } from 'pino';
import { LONGEST_JWS, parseCompactJws, signingInputHash } from '../../serving/jws/jws.ts';
import { CurfewError } from '../../shared/errors.ts';
import type { Clock, Seconds } from '../../shared/time.ts';
import type { FailureKind, FetchJson } from '../net/fetch_json.ts';
import { type Discovery, discoveryUrl, fetchDiscovery } from './discovery.ts';
import { checkClaims, checkHeader, type Expected, type IdTokenClaims } from './id_token.ts';
import { fetchKeySet } from './key_set.ts';
import { checkLogoutClaims, checkLogoutHeader, type LogoutToken } from './logout_token.ts';
import { createSigner, notYet, type Verified } from './published_keys.ts';

export interface IdentityProvider {
  /**
   * Verifies an ID token: form, header, signature, claims, in this order; its times by the clock once its keys are there.
   *
   * @param now that of decisions: the machine's own may be wrong by then
   * @throws CurfewError `id_token_*`, `auth_time`, `clock`; `identity_provider` when its keys are needed and out of reach
   */
  verifyIdToken(text: string, now: Clock): Promise<IdTokenClaims>;
  /**
   * Verifies a logout token likewise (OpenID Connect Back-Channel Logout 1.0 2.6, but for what only the store knows).
   *
   * @throws CurfewError `logout_token_invalid`; `identity_provider` when its keys are needed and out of reach
   */
  verifyLogoutToken(text: string, now: Seconds): Promise<LogoutToken>;
  /** Asks the IdP for its metadata and keys now. @throws CurfewError `identity_provider` */
  refresh(): Promise<Discovery>;
  /** Its clock, with each of its answers. */
  onDate(listener: (date: Seconds) => void): void;
  /** Asks for nothing but an answer with a date; leaves alone what is known of its keys. @throws CurfewError `identity_provider` */
  askTime(): Promise<void>;
  /** How often its metadata and keys could not be read, since the start. */
  readonly failures: Readonly<Record<FailureKind, number>>;
  close(): Promise<void>;
}

export interface IdentityProviderParts {
  readonly settings: Expected;
  readonly fetchJson: FetchJson;
  /** The machine's: for when to ask again. */
  readonly now: Clock;
  readonly log: Pick<BaseLogger, 'warn'>;
}

export function createIdentityProvider({ settings, fetchJson, now, log }: IdentityProviderParts): IdentityProvider {
  const signer = createSigner({
    name: 'identity provider',
    load: async (wait) => {
      const discovery = await fetchDiscovery(settings.issuer, fetchJson, wait);
      return { discovery, keys: await fetchKeySet(discovery.jwks_uri, fetchJson, wait) };
    },
    now,
    log,
  });
  return {
    async verifyIdToken(text, clock) {
      if (text.length > LONGEST_JWS) {
        const size = `${text.length} characters, more than ${LONGEST_JWS}`;
        throw new CurfewError(
          'identity_too_large',
          `the ID token has ${size}: too many groups, or claims that are not needed`,
        );
      }
      const jws = parseCompactJws(text);
      if (!jws) throw new CurfewError('id_token_invalid', 'the ID token is not a well-formed JWT');
      const how = await signer.verify(text, checkHeader(jws, settings));
      if (how === 'unknown_yet') {
        // After a change of keys somebody logs in with the new one before we have looked again.
        const message = 'the ID token names a key that the identity provider did not publish a moment ago';
        throw new CurfewError('id_token_key', message, { retry_after: signer.wait() });
      }
      if (how !== 'good') throw new CurfewError('id_token_signature', saySignature('ID token', how));
      return Object.freeze({
        ...checkClaims(jws.payload, settings, clock()),
        signing_input_hash: signingInputHash(jws),
      });
    },
    async verifyLogoutToken(text, at) {
      const jws = parseCompactJws(text);
      if (!jws) throw new CurfewError('logout_token_invalid', 'the logout token is not a well-formed JWT');
      const how = await signer.verify(text, checkLogoutHeader(jws, settings));
      // Refused, it would not come again, and somebody would stay logged in.
      if (how === 'unknown_yet') throw notYet('identity provider', signer.wait());
      if (how !== 'good') throw new CurfewError('logout_token_invalid', saySignature('logout token', how));
      return Object.freeze(checkLogoutClaims(jws.payload, settings, at));
    },
    refresh: async () => (await signer.refresh()).discovery,
    onDate: (listener) => fetchJson.onDate(listener),
    askTime: async () => void (await fetchJson.get(discoveryUrl(settings.issuer))),
    failures: signer.failures,
    close: () => fetchJson.close(),
  };
}

function saySignature(what: string, how: Verified): string {
  return how === 'bad'
    ? `the signature of the ${what} is not by the identity provider`
    : `the ${what} names a key that the identity provider does not publish`;
}
