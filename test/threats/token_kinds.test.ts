// T7, whole: every kind of token where every other kind is wanted. All that the identity provider signs here is signed with one
// key under one issuer, so only what a token says of its kind tells it apart.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Holder } from '../support/holder.ts';
import { askAuthentication } from '../support/review.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { listening, logoutToken, person, pushSet, sendLogout, setOf } from '../support/signals.ts';
import { sessionRow } from '../support/store_row.ts';

const CLUSTERS = [
  {
    ...{ name: 'dev', server: 'https://127.0.0.1:1', audience: 'dev', allowed_groups: ['*'] },
    webhook: { token_file: 'dev-hook', on_failure: 'deny', authentication: true },
  },
];

let service: TestService;
let holder: Holder;
let handle: string;
let sid: string;
let kubernetes: string;
before(async () => {
  service = await startTestService({ clusters: CLUSTERS });
  // The hardest case: signals are for the very audience of ID tokens.
  await service.reload(listening(service, { audience: 'curfew' }));
  holder = service.holder();
  const { granted } = await service.login(holder, { sid: 'idp-session' }, { audience: 'dev' });
  handle = granted.refresh_token ?? '';
  sid = granted.session.sid;
  kubernetes = granted.access_token;
});
after(() => service.stop());

type Kind =
  | 'ID token'
  | 'Kubernetes token'
  | 'session handle'
  | 'logout token'
  | 'SET'
  | 'DPoP proof'
  | 'webhook token';

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
const PLACES: Readonly<Record<string, { readonly wants: Kind; readonly refuses: Place }>> = {
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
  'the bearer token of a transmitter': {
    wants: 'webhook token',
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
    const others = (Object.keys(KINDS) as Kind[]).filter((kind) => kind !== wants);
    for (const kind of others) {
      // The webhook token of a cluster is none of a transmitter's either.
      test(`T7 as ${place}: a ${kind} is refused`, async () => {
        assert.ok(await refuses(KINDS[kind]()));
        assert.equal(sessionRow(service.storeFile, sid).end_reason, null);
      });
    }
  }

  test('T7 as the bearer token of a transmitter: a cluster’s webhook token is refused', async () => {
    assert.equal((await pushSet(service, KINDS.SET(), service.webhook_tokens.dev)).status, 401);
  });

  test('T7 as introspected by their holder, only a handle and a Kubernetes token are active', async () => {
    const active = await Promise.all(
      Object.values(KINDS).map(async (make) => ((await holder.introspect(make())).body as { active: boolean }).active),
    );
    const kinds = Object.keys(KINDS).filter((_, i) => active[i]);
    assert.deepEqual(kinds, ['Kubernetes token', 'session handle']);
  });

  test('T7 each is good in its own place, so that what was refused was refused for its kind', async () => {
    assert.equal((await holder.renew(handle, 'dev', { id_token: KINDS['ID token']() })).status, 200);
    assert.equal((await holder.api(handle)).status, 200);
    const hook = service.webhook_tokens.dev ?? '';
    assert.equal((await askAuthentication(service.url, hook, kubernetes)).authenticated, true);
    assert.equal((await pushSet(service, KINDS.SET())).status, 202);
    assert.equal(sessionRow(service.storeFile, sid).end_reason, 'session_revoked');
    assert.equal((await sendLogout(service, KINDS['logout token']())).status, 200);
    // Nothing of theirs was active any more: the lead that the IdP's clock may have counts as well.
    service.advance(6);
    assert.equal((await service.login(holder, { sid: 'idp-session' })).status, 200);
  });
});
