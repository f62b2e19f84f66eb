// T7, whole: every kind of token where every other kind is wanted, those of gateways and of a cluster's own among them. All that the identity provider signs here is signed with one
// key under one issuer, so only what a token says of its kind tells it apart.

import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { isTargetTokenReply } from '../../shared/targets.ts';
import { GRANT, TOKEN_TYPE } from '../../shared/wire.ts';
import { type FakeApiServer, startFakeApiServer } from '../support/fake_api_server.ts';
import type { Holder } from '../support/holder.ts';
import { askAuthentication, post } from '../support/review.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { listening, logoutToken, person, pushSet, sendLogout, setOf } from '../support/signals.ts';
import { sessionRow } from '../support/store_row.ts';
import { askConnection, proofOf } from '../support/targets.ts';

const clusters = (own: object) => [
  {
    ...{ name: 'dev', server: 'https://127.0.0.1:1', audience: 'dev', allowed_groups: ['*'] },
    webhook: { token_file: 'dev-hook', on_failure: 'deny', authentication: true },
  },
  {
    ...{ name: 'gated', server: 'https://127.0.0.1:1', audience: 'gated', allowed_groups: ['*'] },
    gateway: { url: 'https://gated.example.com', token_file: 'dev-gateway', required: true },
  },
  { name: 'managed', audience: 'managed', allowed_groups: ['*'], credential: 'service-account', ...own },
];

const TARGETS = {
  target_gateway: {
    ...{ public_url: 'wss://targets.example.com', token_file: 'prod-eu-gateway' },
    source_addresses: ['10.0.9.4'],
  },
  targets: [{ name: 'cache', kind: 'tcp', address: '10.0.0.11:6379', allowed_groups: ['*'] }],
};

let service: TestService;
let holder: Holder;
let handle: string;
let sid: string;
let kubernetes: string;
let for_gateway: string;
let swapped: string;
let service_account: string;
let encryption_key: string;
let for_target: string;
let dir: string;
let api: FakeApiServer;
before(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'curfew-kinds-'));
  api = await startFakeApiServer(dir);
  const broker_token_file = path.join(dir, 'broker-token');
  await writeFile(broker_token_file, 'the-brokers-own-token-at-the-cluster', { mode: 0o600 });
  const service_accounts = [{ group: '*', namespace: 'people', name: 'all' }];
  const own = { server: api.url, ca_file: api.caFile, broker_token_file, service_accounts };
  service = await startTestService({ clusters: clusters(own), ...TARGETS });
  // The hardest case: signals are for the very audience of ID tokens.
  await service.reload(listening(service, { audience: 'curfew' }));
  holder = service.holder();
  const { granted } = await service.login(holder, { sid: 'idp-session' }, { audience: 'dev' });
  handle = granted.refresh_token ?? '';
  sid = granted.session.sid;
  kubernetes = granted.access_token;
  for_gateway = (await holder.renew(handle, 'gated')).granted.access_token;
  swapped = String((await askSwap(for_gateway)).body.access_token);
  const key = await readFile(path.join(path.dirname(service.configFile), 'key'), 'utf8');
  encryption_key = Buffer.from(key, 'base64').toString('base64url');
  for_target = (await targetToken()) ?? '';
  service_account = (await holder.renew(handle, 'managed')).granted.access_token;
});
after(async () => {
  await service?.stop();
  await api?.stop();
  await rm(dir, { recursive: true, force: true });
});

async function targetToken() {
  const { body } = await holder.renew(handle, 'cache');
  return isTargetTokenReply(body) ? body.access_token : undefined;
}

async function askSwap(subject_token: string, by = service.gateway_tokens.dev ?? '') {
  const form = { grant_type: GRANT.exchange, subject_token, subject_token_type: TOKEN_TYPE.jwt, audience: 'gated' };
  const headers = { authorization: `Bearer ${by}`, 'content-type': 'application/x-www-form-urlencoded' };
  const response = await fetch(`${service.url}/token`, { method: 'POST', headers, body: new URLSearchParams(form) });
  const body = (await response.json()) as { readonly access_token?: string; readonly reason?: string };
  return { status: response.status, body };
}

function connectBy(token: string, by = service.gateway_tokens['prod-eu']) {
  return askConnection(service.url, by, { token, target: 'cache', proof: proofOf(holder) });
}

type Kind =
  | 'ID token'
  | 'Kubernetes token'
  | 'session handle'
  | 'logout token'
  | 'SET'
  | 'DPoP proof'
  | 'webhook token'
  | 'token for a gateway'
  | 'token that a gateway swapped'
  | 'token of a ServiceAccount'
  | 'token for a target'
  | 'gateway of targets’ own token'
  | 'gateway’s own token'
  | 'transmitter’s token'
  | 'encryption key';

/** A good one of each, made anew, about the person whose session lives. */
const KINDS: Readonly<Record<Kind, () => string>> = {
  // With all that others want, but for what makes them what they are.
  'ID token': () => service.issuer.sign({ ...service.claims(holder, { sid: 'idp-session' }), jti: 'id-token-jti' }),
  'Kubernetes token': () => kubernetes,
  'session handle': () => handle,
  'logout token': () => logoutToken(service, { sub: 'alice-sub', ...times(), nonce: undefined }),
  SET: () =>
    setOf(service, 'session-revoked', person(service, 'alice-sub'), {
      claims: { aud: 'curfew', sub: 'alice-sub', ...times() },
    }),
  'DPoP proof': () => holder.proof(),
  'webhook token': () => service.webhook_tokens.dev ?? '',
  'token for a gateway': () => for_gateway,
  'token that a gateway swapped': () => swapped,
  'token of a ServiceAccount': () => service_account,
  'token for a target': () => for_target,
  'gateway of targets’ own token': () => service.gateway_tokens['prod-eu'] ?? '',
  'gateway’s own token': () => service.gateway_tokens.dev ?? '',
  'transmitter’s token': () => service.webhook_tokens['prod-eu'] ?? '',
  'encryption key': () => encryption_key,
};
/** What an ID token needs besides. */
const times = () => ({
  auth_time: service.now,
  exp: service.now + 120,
  nonce: holder.nonce,
  email: 'alice@example.com',
  email_verified: true,
});

/** @returns whether it was refused, by its kind */
type Place = (token: string) => Promise<boolean>;

const is = (status: number, ...good: readonly number[]) => {
  assert.ok(good.includes(status), `HTTP ${status}`);
  return true;
};

/** Where each is wanted, and how it is refused there. */
const PLACES: Readonly<Record<string, { readonly wants: Kind | readonly Kind[]; readonly refuses: Place }>> = {
  'the subject_token of an exchange': {
    wants: 'ID token',
    refuses: async (token) => {
      const { refused } = await holder.exchange(token);
      assert.match(refused.reason, /^id_token_/);
      return is(400, 400);
    },
  },
  'the id_token of a renewal': {
    wants: 'ID token',
    refuses: async (token) => {
      const { refused } = await holder.renew(handle, 'dev', { id_token: token });
      assert.match(refused.reason, /^id_token_/);
      return true;
    },
  },
  'the refresh_token of a renewal': {
    wants: 'session handle',
    refuses: async (token) => {
      const { refused } = await holder.renew(token, 'dev');
      assert.equal(refused.reason, 'unknown_session');
      return true;
    },
  },
  'the handle at /v1/sessions': {
    wants: 'session handle',
    refuses: async (token) => is((await holder.api(token)).status, 401),
  },
  'a back-channel logout': {
    wants: 'logout token',
    refuses: async (token) => {
      const { status, body } = await sendLogout(service, token);
      assert.equal(body.reason, 'logout_token_invalid');
      return is(status, 400);
    },
  },
  'a pushed security event': {
    wants: 'SET',
    refuses: async (token) => {
      const { status, body } = await pushSet(service, token);
      assert.match(String(body.err), /^invalid_(request|issuer|key)$/);
      return is(status, 400);
    },
  },
  'the subject_token of a swap': {
    wants: 'token for a gateway',
    refuses: async (token) => {
      const { status, body } = await askSwap(token);
      assert.equal(body.access_token, undefined);
      return is(status, 400, 401);
    },
  },
  'the bearer token of a gateway that swaps': {
    wants: 'gateway’s own token',
    refuses: async (token) => is((await askSwap(for_gateway, token)).status, 401),
  },
  'the bearer token of a gateway that asks for leases': {
    wants: ['gateway’s own token', 'gateway of targets’ own token'],
    refuses: async (token) =>
      is((await post(`${service.url}/v1/gateway/sessions`, token, { asks: [], uses: [] })).status, 401),
  },
  'the bearer token of a gateway that reads ends': {
    wants: ['gateway’s own token', 'gateway of targets’ own token'],
    refuses: async (token) => {
      const response = await fetch(`${service.url}/v1/gateway/ends`, { headers: { authorization: `Bearer ${token}` } });
      await response.body?.cancel();
      return is(response.status, 401);
    },
  },
  'the token of a connection': {
    wants: 'token for a target',
    refuses: async (token) => (await connectBy(token)).refused.code === 'target_token',
  },
  'the bearer token of a gateway that asks for connections': {
    wants: 'gateway of targets’ own token',
    refuses: async (token) => is((await connectBy(for_target, token)).status, 401),
  },
  'the bearer token of who introspects': {
    wants: 'webhook token',
    refuses: async (token) => {
      const headers = { authorization: `Bearer ${token}` };
      const body = new URLSearchParams({ token: kubernetes });
      return is((await fetch(`${service.url}/introspect`, { method: 'POST', headers, body })).status, 401);
    },
  },
  'the bearer token of a transmitter': {
    wants: 'transmitter’s token',
    refuses: async (token) => is((await pushSet(service, KINDS.SET(), token)).status, 401),
  },
  'a TokenReview': {
    wants: 'Kubernetes token',
    refuses: async (token) => {
      const hook = service.webhook_tokens.dev ?? '';
      const { status, authenticated } = await askAuthentication(service.url, hook, token);
      assert.notEqual(authenticated, true);
      return is(status, 200);
    },
  },
  'the bearer token of an API server': {
    wants: 'webhook token',
    refuses: async (token) => is((await askAuthentication(service.url, token, kubernetes)).status, 401),
  },
  'a DPoP header': {
    wants: 'DPoP proof',
    refuses: async (token) => {
      const { refused } = await holder.renew(handle, 'dev', {}, token);
      assert.equal(refused.reason, 'proof_invalid');
      return true;
    },
  },
};

describe('T7 no token passes for another kind', () => {
  for (const [place, { wants, refuses }] of Object.entries(PLACES)) {
    const others = (Object.keys(KINDS) as Kind[]).filter((kind) => ![wants].flat().includes(kind));
    for (const kind of others) {
      test(`T7 as ${place}: a ${kind} is refused`, async () => {
        assert.ok(await refuses(KINDS[kind]()));
        assert.equal(sessionRow(service.storeFile, sid).end_reason, null);
      });
    }
  }

  test('T7 as introspected by their holder, only a handle and what the holder was given for a cluster are active', async () => {
    const active = await Promise.all(
      Object.values(KINDS).map(async (make) => ((await holder.introspect(make())).body as { active: boolean }).active),
    );
    const kinds = Object.keys(KINDS).filter((_, i) => active[i]);
    assert.deepEqual(kinds, ['Kubernetes token', 'session handle', 'token for a gateway']);
  });

  test('T7 each is good in its own place, so that what was refused was refused for its kind', async () => {
    assert.equal((await holder.renew(handle, 'dev', { id_token: KINDS['ID token']() })).status, 200);
    assert.equal((await holder.api(handle)).status, 200);
    const hook = service.webhook_tokens.dev ?? '';
    assert.equal((await askAuthentication(service.url, hook, kubernetes)).authenticated, true);
    assert.equal((await askSwap(for_gateway)).status, 200);
    assert.ok(api.isGood(service_account));
    assert.equal((await pushSet(service, KINDS.SET())).status, 202);
    assert.equal(sessionRow(service.storeFile, sid).end_reason, 'session_revoked');
    assert.equal((await sendLogout(service, KINDS['logout token']())).status, 200);
    // Nothing of theirs was active any more: the lead that the IdP's clock may have counts as well.
    service.advance(6);
    assert.equal((await service.login(holder, { sid: 'idp-session' })).status, 200);
  });
});
