// Refusals that only an administrator can mend: who has to set what is told, not to log in again.

import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { createSend } from '../../cli/wire/http.ts';
import { discover, type IdentityProvider } from '../../cli/wire/identity_provider.ts';
import { CurfewError } from '../../shared/errors.ts';
import { testHost } from './host.ts';

const FORM = [
  ['invalid_scope', 'scope groups is not allowed', /identity_provider\.scopes \(openid groups\)/],
  ['invalid_client', 'no such client', /identity_provider\.client_id \(curfew-cli\) must be registered/],
  ['unauthorized_client', 'not enabled', /the client curfew-cli must be allowed the authorization code flow/],
  [
    'unsupported_grant_type',
    undefined,
    /must be allowed the authorization code flow, and for --flow device the device grant/,
  ],
  [
    'invalid_request',
    'Invalid parameter: redirect_uri',
    /redirect_host \(localhost\) and redirect_ports must be registered/,
  ],
  ['invalid_grant', 'Incorrect redirect_uri', /redirect_host \(localhost\)/],
  ['redirect_uri_mismatch', undefined, /redirect_host \(localhost\)/],
  ['invalid_request', 'Missing parameter: something', /set up there for other requests than ours/],
] as const;
const REDIRECT = [...FORM, ['unsupported_response_type', undefined, /authorization code flow/]] as const;
/** After which a login again may do. */
const PERSONAL = ['access_denied', 'server_error', 'temporarily_unavailable', 'login_required', 'something_new'];

describe('a refusal of the identity provider that only an administrator can mend', () => {
  let [server, issuer, provider]: [Server | undefined, string, IdentityProvider | undefined] = [
    undefined,
    '',
    undefined,
  ];
  /** What token and device endpoint answer. */
  let answer: { status: number; body: object | string; headers?: Readonly<Record<string, string>> } = {
    status: 400,
    body: {},
  };
  before(async () => {
    server = createServer((request, response) => {
      const endpoint = (name: string) => `${issuer}/${name}`;
      const discovery = {
        ...{ issuer, authorization_endpoint: endpoint('auth'), token_endpoint: endpoint('token') },
        ...{ device_authorization_endpoint: endpoint('device'), jwks_uri: endpoint('jwks') },
        ...{ response_types_supported: ['code'], subject_types_supported: ['public'] },
        id_token_signing_alg_values_supported: ['RS256'],
      };
      const { status, body, headers } =
        request.method === 'GET' ? { status: 200, body: discovery, headers: {} } : answer;
      response.writeHead(status, { 'content-type': 'application/json', ...headers });
      response.end(typeof body === 'string' ? body : JSON.stringify(body));
    });
    await new Promise<void>((listening) => server?.listen(0, '127.0.0.1', listening));
    issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const settings = { issuer, client_id: 'curfew-cli', scopes: ['openid', 'groups'] };
    provider = await discover({ ...settings, redirect_host: 'localhost', redirect_ports: [] }, createSend(testHost()));
  });
  after(() => {
    server?.close();
    server?.closeAllConnections();
  });

  const failureOf = async (work: () => Promise<unknown>): Promise<CurfewError> => {
    const failed = await work().then(
      () => undefined,
      (error: unknown) => error,
    );
    assert.ok(failed instanceof CurfewError, String(failed));
    return failed;
  };
  const begun = async () => {
    const authorization = await provider?.authorize({ nonce: 'n', redirect_uri: 'http://localhost:1/callback' });
    assert.ok(authorization);
    return authorization;
  };
  const AT = {
    'at the redirect': async (error: string, description: string | undefined) => {
      const authorization = await begun();
      const told = { error, ...(description !== undefined && { error_description: description }) };
      const query = new URLSearchParams({ ...told, state: authorization.state });
      return await failureOf(() => authorization.finish(query.toString()));
    },
    'at the token endpoint': async (error: string, error_description: string | undefined) => {
      answer = { status: error === 'invalid_client' ? 401 : 400, body: { error, error_description } };
      const authorization = await begun();
      return await failureOf(() => authorization.finish(`code=ABCDEF123456&state=${authorization.state}`));
    },
    'at the device endpoint': async (error: string, error_description: string | undefined) => {
      answer = { status: 400, body: { error, error_description } };
      return await failureOf(async () => provider?.device({ nonce: 'n' }));
    },
  };

  for (const [where, ask] of Object.entries(AT)) {
    for (const [error, description, hint] of where === 'at the redirect' ? REDIRECT : FORM)
      it(`${error} (${description ?? 'no words'}) ${where} says what has to be set`, async () => {
        const failed = await ask(error, description);
        assert.equal(failed.code, 'login_failed');
        assert.match(failed.message, new RegExp(`refused: ${error}`));
        assert.match(failed.hint, hint);
        assert.doesNotMatch(failed.hint, /run: kubectl curfew login/);
      });
    it(`others ${where} keep the hint to log in again`, async () => {
      for (const error of PERSONAL)
        assert.equal((await ask(error, 'for now')).hint, 'run: kubectl curfew login', error);
    });
  }

  it('401 with a challenge alone is a client that is not known (RFC 6749 5.2)', async () => {
    answer = { status: 401, body: '', headers: { 'content-type': 'text/plain' } };
    const authorization = await begun();
    const failed = await failureOf(() => authorization.finish(`code=ABCDEF123456&state=${authorization.state}`));
    assert.match(failed.message, /refused: invalid_client/);
    assert.match(failed.hint, /identity_provider\.client_id/);
  });

  it('what is not an answer names no network alone', async () => {
    answer = { status: 200, body: '<!doctype html>', headers: { 'content-type': 'text/html' } };
    const failed = await failureOf(async () => provider?.device({ nonce: 'n' }));
    assert.equal(failed.code, 'identity_provider');
    assert.match(failed.hint, /identity_provider\.issuer/);
  });
});
