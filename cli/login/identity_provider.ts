// The OIDC side of a login: authorization code with PKCE S256 (RFC 7636), and the refresh of its ID token, by openid-client.
// The broker verifies the ID token; what is checked here keeps a confused browser or network from wasting a login.

import * as oidc from 'openid-client';
import { CurfewError } from '../../shared/errors.ts';
import { faultOfUrl } from '../../shared/origin.ts';
import { between, type Seconds } from '../../shared/time.ts';
import type { Metadata } from '../../shared/wire.ts';
import type { Host } from '../host.ts';
import { HttpFault, type Send } from '../http.ts';
import { oneLine } from '../one_line.ts';

/** Seconds: as much as the IdP's clock may differ. The broker's own check is the one that counts. */
const CLOCK_TOLERANCE = 10;

export interface AuthorizationRequest {
  readonly redirect_uri: string;
  /** Commits to the DPoP key. */
  readonly nonce: string;
  readonly max_age?: Seconds | undefined;
  readonly acr_values?: string | undefined;
  readonly prompt?: 'login' | undefined;
}

/** An authorization request under way. */
export interface Authorization {
  readonly url: string;
  readonly state: string;
  /** @param query of the visit. @throws CurfewError `login_failed`, `identity_provider` */
  finish(query: string): Promise<{ readonly id_token: string; readonly refresh_token: string | undefined }>;
}

/** `refused`: the identity provider does not vouch for the login, in its own words made safe to be shown. */
export type Refreshed =
  | { readonly id_token: string | undefined; readonly refresh_token: string | undefined; readonly refused?: undefined }
  | { readonly refused: string };

export interface IdentityProvider {
  authorize(request: AuthorizationRequest): Promise<Authorization>;
  /** OIDC Core 12. @throws CurfewError `identity_provider`, `insecure` when it cannot say */
  refresh(refresh_token: string): Promise<Refreshed>;
}

/**
 * Reads the IdP's discovery.
 *
 * @param date the broker's clock, in place of ours: a laptop with a wrong clock can log in
 * @throws CurfewError `identity_provider` that names the host, `insecure`
 */
export async function discover(
  settings: Metadata['identity_provider'],
  send: Send,
  host: Host,
  date: Seconds | undefined,
): Promise<IdentityProvider> {
  const { issuer, client_id, client_secret, scopes } = settings;
  requireSecure(issuer, 'issuer');
  const skew = date === undefined ? 0 : between(host.now(), date) - between(date, host.now());
  const metadata = {
    [oidc.clockTolerance]: CLOCK_TOLERANCE,
    [oidc.clockSkew]: Math.abs(skew) <= CLOCK_TOLERANCE ? 0 : skew,
    ...(client_secret !== undefined && { client_secret }),
  };
  const authentication = client_secret === undefined ? oidc.None() : oidc.ClientSecretPost(client_secret);
  const configuration = await naming(issuer, () =>
    oidc.discovery(new URL(issuer), client_id, metadata, authentication, {
      [oidc.customFetch]: fetchBy(send),
      // Plain http passes `requireSecure` on loopback only.
      execute: issuer.startsWith('http:') ? [oidc.allowInsecureRequests] : [],
    }),
  );
  requireSecure(configuration.serverMetadata().authorization_endpoint ?? '', 'authorization endpoint');

  return {
    async authorize({ redirect_uri, nonce, max_age, acr_values, prompt }) {
      const verifier = oidc.randomPKCECodeVerifier();
      const state = oidc.randomState();
      const optional = { max_age: max_age?.toString(), acr_values, prompt };
      const url = oidc.buildAuthorizationUrl(configuration, {
        ...{ redirect_uri, state, nonce, response_type: 'code', scope: scopes.join(' ') },
        ...{ code_challenge: await oidc.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256' },
        ...Object.fromEntries(Object.entries(optional).flatMap(([name, value]) => (value ? [[name, value]] : []))),
      });
      const checks = { expectedState: state, expectedNonce: nonce, pkceCodeVerifier: verifier, idTokenExpected: true };
      return {
        url: url.href,
        state,
        async finish(query) {
          const callback = new URL(`${redirect_uri}?${query}`);
          const answer = await naming(issuer, () => oidc.authorizationCodeGrant(configuration, callback, checks));
          const { id_token, refresh_token } = answer;
          if (id_token === undefined) throw new CurfewError('login_failed', 'the identity provider sent no ID token');
          return { id_token, refresh_token };
        },
      };
    },
    async refresh(refresh_token) {
      try {
        return await naming(issuer, () => refreshOrRefuse(configuration, refresh_token));
      } catch (error) {
        if (!(error instanceof CurfewError) || error.code !== 'login_failed') throw error;
        throw new CurfewError('identity_provider', error.message);
      }
    },
  };
}

/** What says nothing about the person: another time it may be otherwise. */
const PASSING: readonly string[] = ['server_error', 'temporarily_unavailable', 'slow_down', 'invalid_client'];

async function refreshOrRefuse(configuration: oidc.Configuration, refresh_token: string): Promise<Refreshed> {
  try {
    const answer = await oidc.refreshTokenGrant(configuration, refresh_token);
    return { id_token: answer.id_token, refresh_token: answer.refresh_token };
  } catch (error) {
    if (!(error instanceof oidc.ResponseBodyError)) throw error;
    const { status, error: code, error_description: said } = error;
    if (status >= 500 || status === 429 || PASSING.includes(code)) throw error;
    return { refused: oneLine((said ? `${code} (${said})` : code).replaceAll(refresh_token, '…')).slice(0, 200) };
  }
}

function requireSecure(url: string, what: string): void {
  const fault = faultOfUrl(url.split('?', 1)[0] ?? '');
  if (fault === undefined) return;
  throw new CurfewError('insecure', `the identity provider's ${what} ${oneLine(url)} is ${fault}`);
}

function fetchBy(send: Send): oidc.CustomFetch {
  return async (url, { method, headers, body }) => {
    requireSecure(url, 'endpoint');
    const text = body instanceof URLSearchParams || typeof body === 'string' ? body.toString() : undefined;
    const answer = await send(url, { method: method === 'POST' ? 'POST' : 'GET', headers, body: text });
    const type = { 'content-type': answer.headers['content-type'] ?? '' };
    if (answer.status >= 300 && answer.status < 400) throw new HttpFault('it redirects elsewhere');
    return new Response(answer.body === '' ? null : answer.body, { status: answer.status, headers: type });
  };
}

/** Names the host and what happened; never the library's own message, which may quote a token. */
async function naming<T>(issuer: string, work: () => Promise<T>): Promise<T> {
  const { host } = new URL(issuer);
  try {
    return await work();
  } catch (error) {
    for (let cause = error; cause instanceof Error; cause = cause.cause) {
      if (cause instanceof CurfewError) throw cause;
      if (cause instanceof HttpFault) {
        throw new CurfewError(
          'identity_provider',
          `the identity provider at ${host} is out of reach: ${cause.message}`,
        );
      }
    }
    if (error instanceof oidc.AuthorizationResponseError || error instanceof oidc.ResponseBodyError) {
      throw new CurfewError('login_failed', `the identity provider at ${host} refused: ${oneLine(error.error)}`);
    }
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    throw new CurfewError('identity_provider', `the identity provider at ${host} gave no valid answer (${code})`);
  }
}
