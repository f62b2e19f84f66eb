// The OIDC side of a login: authorization code with PKCE S256 (RFC 7636), and the refresh of its ID token, by openid-client.
// The broker verifies the ID token; what is checked here keeps a confused browser or network from wasting a login.

import * as oidc from 'openid-client';
import { CurfewError } from '../../shared/errors.ts';
import type { Metadata } from '../../shared/metadata.ts';
import { faultOfUrl } from '../../shared/origin.ts';
import type { Seconds } from '../../shared/time.ts';
import { oneLine } from '../warm/one_line.ts';
import { HttpFault, type Send } from './http.ts';
import { naming, sayRefusal } from './provider_fault.ts';

type Settings = Metadata['identity_provider'];

/** Any. A laptop's clock may be wrong, or jump while the person logs in; the broker judges the times, by its own. */
const CLOCK_TOLERANCE_SECONDS = 100 * 365 * 86_400;

/** What is asked of the identity provider, whatever the way. */
export interface Ask {
  /** Commits to the DPoP key. */
  readonly nonce: string;
  readonly max_age?: Seconds | undefined;
  readonly acr_values?: string | undefined;
  readonly prompt?: 'login' | undefined;
}

export interface AuthorizationRequest extends Ask {
  readonly redirect_uri: string;
}

export interface Tokens {
  readonly id_token: string;
  readonly refresh_token: string | undefined;
}

/** An authorization request under way. */
export interface Authorization {
  readonly url: string;
  readonly state: string;
  /** @param query of the redirect. @throws CurfewError `login_failed`, `identity_provider` */
  finish(query: string): Promise<Tokens>;
  /** The query of a redirect of which a person brought no more than the code: PKCE holds it to this request. */
  withCode(code: string): string;
}

/** A device authorization request under way (RFC 8628 section 3.2). */
export interface DeviceAuthorization {
  readonly verification_uri: string;
  readonly verification_uri_complete: string | undefined;
  readonly user_code: string;
  /** Seconds. */
  readonly expires_in: number;
  /** Asks at the pace that the identity provider sets. @throws CurfewError `login_failed`, also when `signal` ends it */
  poll(signal: AbortSignal): Promise<Tokens>;
}

/** `refused`: the identity provider does not confirm the login, in its own words made safe to be shown. */
export type Refreshed =
  | { readonly id_token: string | undefined; readonly refresh_token: string | undefined; readonly refused?: undefined }
  | { readonly refused: string };

export interface IdentityProvider {
  /** Whether it has the device grant. */
  readonly has_device_grant: boolean;
  /** @throws CurfewError `identity_provider`, `login_failed` */
  device(ask: Ask): Promise<DeviceAuthorization>;
  authorize(request: AuthorizationRequest): Promise<Authorization>;
  /** RFC 7009 section 2.1; nothing where it has no such endpoint. @throws CurfewError `identity_provider`, `login_failed`, `insecure` */
  revoke(refresh_token: string): Promise<void>;
  /** OpenID Connect Core 1.0 section 12. @throws CurfewError `identity_provider`, `insecure` when it cannot say */
  refresh(refresh_token: string): Promise<Refreshed>;
}

/**
 * Reads the IdP's discovery (OpenID Connect Discovery 1.0 section 4).
 *
 * @throws CurfewError `identity_provider` that names the host, `insecure`
 */
export async function discover(settings: Settings, send: Send): Promise<IdentityProvider> {
  const configuration = await configure(settings, send);
  const { authorization_endpoint = '', device_authorization_endpoint } = configuration.serverMetadata();
  requireSecure(authorization_endpoint, 'authorization endpoint');
  const client = { settings, configuration };
  return {
    has_device_grant: device_authorization_endpoint !== undefined,
    authorize: (request) => authorize(client, request),
    device: (ask) => startDevice(client, ask),
    revoke: (refresh_token) => revoke(client, refresh_token),
    refresh: (refresh_token) => refresh(client, refresh_token),
  };
}

/** This client at one identity provider. */
interface OidcClient {
  readonly settings: Settings;
  readonly configuration: oidc.Configuration;
}

async function configure(settings: Settings, send: Send): Promise<oidc.Configuration> {
  const { issuer, client_id, client_secret } = settings;
  requireSecure(issuer, 'issuer');
  const metadata = {
    [oidc.clockTolerance]: CLOCK_TOLERANCE_SECONDS,
    ...(client_secret !== undefined && { client_secret }),
  };
  const authentication = client_secret === undefined ? oidc.None() : oidc.ClientSecretPost(client_secret);
  return await naming(settings, () =>
    oidc.discovery(new URL(issuer), client_id, metadata, authentication, {
      [oidc.customFetch]: fetchBy(send),
      // Plain http passes `requireSecure` on loopback only.
      execute: issuer.startsWith('http:') ? [oidc.allowInsecureRequests] : [],
    }),
  );
}

/** What both kinds of authorization request carry (OpenID Connect Core 1.0 section 3.1.2.1). */
function parametersOf({ nonce, max_age, acr_values, prompt }: Ask, { scopes }: Settings): Record<string, string> {
  const optional = { max_age: max_age?.toString(), acr_values, prompt };
  const given = Object.entries(optional).flatMap(([name, value]) => (value ? [[name, value]] : []));
  return { nonce, scope: scopes.join(' '), ...Object.fromEntries(given) };
}

/** RFC 6749 section 4.1.1, with PKCE (RFC 7636). */
async function authorize(
  { settings, configuration }: OidcClient,
  { redirect_uri, ...ask }: AuthorizationRequest,
): Promise<Authorization> {
  const { authorization_response_iss_parameter_supported: says_iss } = configuration.serverMetadata();
  const verifier = oidc.randomPKCECodeVerifier();
  const [state, { nonce }] = [oidc.randomState(), ask];
  const url = oidc.buildAuthorizationUrl(configuration, {
    ...parametersOf(ask, settings),
    redirect_uri,
    state,
    response_type: 'code',
    ...(await challengeOf(verifier)),
  });
  const checks = { expectedState: state, expectedNonce: nonce, pkceCodeVerifier: verifier, idTokenExpected: true };
  return {
    url: url.href,
    state,
    async finish(query) {
      const callback = new URL(`${redirect_uri}?${query}`);
      const code = callback.searchParams.get('code') ?? '';
      const work = () => oidc.authorizationCodeGrant(configuration, callback, checks);
      return tokensOf(await naming(settings, work, code));
    },
    withCode: (code) => new URLSearchParams({ code, state, ...(says_iss && { iss: settings.issuer }) }).toString(),
  };
}

/** RFC 8628 section 3.1. */
async function startDevice({ settings, configuration }: OidcClient, ask: Ask): Promise<DeviceAuthorization> {
  // RFC 8628 does not know PKCE, and ignores it (3.1); some providers demand it of each public client.
  const verifier = oidc.randomPKCECodeVerifier();
  const challenge = await challengeOf(verifier);
  const asked = { ...parametersOf(ask, settings), ...challenge };
  const started = await naming(settings, () => oidc.initiateDeviceAuthorization(configuration, asked));
  const { verification_uri, verification_uri_complete, user_code, expires_in } = started;
  const poll = (signal: AbortSignal) => pollPatiently(configuration, settings, { ...started, verifier }, signal);
  return { verification_uri, verification_uri_complete, user_code, expires_in, poll };
}

async function revoke({ settings, configuration }: OidcClient, refresh_token: string): Promise<void> {
  const { revocation_endpoint } = configuration.serverMetadata();
  if (revocation_endpoint === undefined) return;
  requireSecure(revocation_endpoint, 'revocation endpoint');
  const hint = { token_type_hint: 'refresh_token' };
  await naming(settings, () => oidc.tokenRevocation(configuration, refresh_token, hint), refresh_token);
}

async function refresh({ settings, configuration }: OidcClient, refresh_token: string): Promise<Refreshed> {
  try {
    return await naming(settings, () => refreshOrRefuse(configuration, refresh_token));
  } catch (error) {
    if (!(error instanceof CurfewError) || error.code !== 'login_failed') throw error;
    throw new CurfewError('identity_provider', error.message);
  }
}

/** RFC 7636 section 4.3. */
async function challengeOf(verifier: string) {
  return { code_challenge: await oidc.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256' };
}

function tokensOf({ id_token, refresh_token }: oidc.TokenEndpointResponse): Tokens {
  if (id_token === undefined) throw new CurfewError('login_failed', 'the identity provider sent no ID token');
  return { id_token, refresh_token };
}

/** `authorization_pending` and `slow_down` are the library's; a connection that fails slows down as well (RFC 8628 section 3.5). */
async function pollPatiently(
  configuration: oidc.Configuration,
  settings: Settings,
  { verifier: code_verifier, ...started }: oidc.DeviceAuthorizationResponse & { readonly verifier: string },
  signal: AbortSignal,
): Promise<Tokens> {
  for (let { interval = 5 } = started; ; interval *= 2) {
    const paced = { ...started, interval };
    const work = () => oidc.pollDeviceAuthorizationGrant(configuration, paced, { code_verifier }, { signal });
    try {
      return tokensOf(await naming(settings, work, started.device_code));
    } catch (error) {
      if (signal.aborted) throw new CurfewError('login_failed', 'nobody logged in with the code in time');
      if (!(error instanceof CurfewError) || error.code !== 'identity_provider') throw error;
    }
  }
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
    return { refused: sayRefusal(code, said, refresh_token) };
  }
}

function requireSecure(url: string, what: string): void {
  const fault = faultOfUrl(url.split('?', 1)[0] ?? '');
  if (fault === undefined) return;
  throw new CurfewError('insecure', `the identity provider's ${what} ${oneLine(url)} is ${fault}`);
}

const UNKNOWN_CLIENT = { error: 'invalid_client' };

function fetchBy(send: Send): oidc.CustomFetch {
  return async (url, { method, headers, body }) => {
    requireSecure(url, 'endpoint');
    const text = body instanceof URLSearchParams || typeof body === 'string' ? body.toString() : undefined;
    const answer = await send(url, { method: method === 'POST' ? 'POST' : 'GET', headers, body: text });
    const type = { 'content-type': answer.headers['content-type'] ?? '' };
    if (answer.status >= 300 && answer.status < 400) throw new HttpFault('it redirects elsewhere');
    // RFC 6749 section 5.2: a client that is not known may be refused as HTTP does it, without a body that says so.
    if (answer.status === 401 && !/json/i.test(type['content-type']))
      return Response.json(UNKNOWN_CLIENT, { status: 401 });
    return new Response(answer.body === '' ? null : answer.body, { status: answer.status, headers: type });
  };
}
