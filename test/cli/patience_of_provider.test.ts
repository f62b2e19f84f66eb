// An identity provider that says when it has room again is asked then, unless that could do something twice.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, test } from 'node:test';
import { createSend } from '../../cli/wire/http.ts';
import { discover, type IdentityProvider } from '../../cli/wire/identity_provider.ts';
import { CALL_PATIENCE_MS, Patience, sendPatiently } from '../../cli/wire/patience.ts';
import type { CurfewError } from '../../shared/errors.ts';
import { testHost } from './host.ts';

describe('an identity provider that has no room (P19)', () => {
  /** Answers of the token endpoint, the first one first; then a refusal that ends it. */
  const withProvider = async (
    told: { readonly discovery: readonly number[]; readonly token: readonly number[] },
    story: (provider: () => Promise<IdentityProvider>, asked: readonly string[]) => Promise<void>,
  ) => {
    const left = { GET: [...told.discovery], POST: [...told.token] };
    const asked: string[] = [];
    let issuer = '';
    const server = createServer((request, response) => {
      asked.push(request.method ?? '');
      const away = left[request.method === 'POST' ? 'POST' : 'GET'].shift();
      const type = { 'content-type': 'application/json' };
      if (away !== undefined) return void response.writeHead(away, { ...type, 'retry-after': '0' }).end('{}');
      const endpoints = { authorization_endpoint: `${issuer}/auth`, token_endpoint: `${issuer}/token` };
      const discovery = { issuer, ...endpoints, jwks_uri: `${issuer}/jwks`, response_types_supported: ['code'] };
      if (request.method === 'GET') return void response.writeHead(200, type).end(JSON.stringify(discovery));
      response.writeHead(400, type).end('{"error":"invalid_grant"}');
    });
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
    issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const host = testHost();
    const send = sendPatiently(createSend(host), new Patience(CALL_PATIENCE_MS, host), () => CALL_PATIENCE_MS);
    const settings = {
      issuer,
      client_id: 'curfew',
      scopes: ['openid'],
      redirect_host: '127.0.0.1',
      redirect_ports: [],
    };
    try {
      await story(() => discover(settings, send), asked);
    } finally {
      server.close();
      server.closeAllConnections();
    }
  };

  test('is asked again when it says so', async () => {
    await withProvider({ discovery: [503, 429], token: [429] }, async (provider, asked) => {
      const { refused } = await (await provider()).refresh('refresh-token');
      assert.match(refused ?? '', /invalid_grant/);
      assert.deepEqual(asked, ['GET', 'GET', 'GET', 'POST', 'POST']);
    });
  });

  test('is shown a refresh token once, where it does not say that nothing was done', async () => {
    await withProvider({ discovery: [], token: [503] }, async (provider, asked) => {
      const found = await provider();
      await assert.rejects(found.refresh('refresh-token'), (error: CurfewError) => error.code === 'identity_provider');
      assert.deepEqual(asked, ['GET', 'POST']);
    });
  });
});
