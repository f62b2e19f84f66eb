// A small relying party for tests of the IdP and for tests that need a real ID token: openid-client, PKCE, loopback.
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import * as client from 'openid-client';
import { run } from '../../scripts/run.ts';
import type { Browser } from './browser.ts';
import type { Idp } from './idp.ts';

export interface LoginRequest {
  readonly scope?: string;
  readonly nonce?: string;
  readonly max_age?: string;
  readonly prompt?: string;
  readonly acr_values?: string;
}

export interface LoggedIn {
  readonly id_token: string;
  readonly claims: client.IDToken;
  readonly refresh_token: string | undefined;
}

async function discover(idp: Idp): Promise<client.Configuration> {
  const insecure = idp.issuer.startsWith('http:') ? { execute: [client.allowInsecureRequests] } : {};
  return client.discovery(new URL(idp.issuer), idp.clientId, { [client.clockTolerance]: 5 }, client.None(), insecure);
}

/** Does the whole authorization code flow with that browser; rejects as openid-client does. */
export async function logIn(idp: Idp, browser: Browser, request: LoginRequest = {}): Promise<LoggedIn> {
  const config = await discover(idp);
  const listener = createServer().listen(0, '127.0.0.1');
  await once(listener, 'listening');
  try {
    const redirect_uri = `http://127.0.0.1:${(listener.address() as AddressInfo).port}/callback`;
    const verifier = client.randomPKCECodeVerifier();
    const { scope = 'openid email groups profile', nonce = client.randomNonce(), ...wishes } = request;
    const state = client.randomState();
    const url = client.buildAuthorizationUrl(config, {
      redirect_uri,
      scope,
      nonce,
      state,
      code_challenge: await client.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
      ...wishes,
    });
    let back: URL | undefined;
    listener.on('request', ({ url: path = '/' }, response) => {
      response.end('you are logged in');
      if (path.startsWith('/callback')) back = new URL(path, redirect_uri);
    });
    await run(browser.command, [url.href]);
    if (!back) throw new Error(`the browser never came back: ${JSON.stringify(browser.visits().at(-1))}`);
    const tokens = await client.authorizationCodeGrant(config, back, {
      pkceCodeVerifier: verifier,
      expectedNonce: nonce,
      expectedState: state,
      ...(wishes.max_age === undefined ? {} : { maxAge: Number(wishes.max_age) }),
    });
    const claims = tokens.claims();
    if (!claims || !tokens.id_token) throw new Error('the token endpoint gave no ID token');
    return { id_token: tokens.id_token, claims, refresh_token: tokens.refresh_token };
  } finally {
    listener.closeAllConnections();
    listener.close();
  }
}
