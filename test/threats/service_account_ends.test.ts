// Sessions that end, or change, while a cluster is asked for one of its own tokens: at each step of the way, for each cause. Real
// HTTP on both sides; the API server is a small one of our own that a test can stop in the middle.

import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import type { AuditEvent } from '../../broker/audit_log/events.ts';
import { type Asked, type FakeApiServer, startFakeApiServer } from '../support/fake_api_server.ts';
import type { Answer, Holder } from '../support/holder.ts';
import { PATIENCE_MS, until } from '../support/patience.ts';
import { startTestService, TEST_POLICY, type TestService } from '../support/service.ts';
import { openStoreDatabase } from '../support/store_database.ts';

const NAMESPACE = 'people';
const ACCOUNTS = [
  { group: 'sre', namespace: NAMESPACE, name: 'editors' },
  { group: 'dev', namespace: NAMESPACE, name: 'readers' },
];

let dir: string;
let api: FakeApiServer;
let service: TestService;
let people = 0;

before(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'curfew-ends-'));
  api = await startFakeApiServer(dir);
  await writeFile(path.join(dir, 'broker-token'), 'the-brokers-own-token-at-the-cluster', { mode: 0o600 });
  service = await startTestService({ clusters: clusters() });
});
after(async () => {
  await service?.stop();
  await api?.stop();
  await rm(dir, { recursive: true, force: true });
});
beforeEach(async () => {
  api.before = () => undefined;
  api.after = () => undefined;
  await service.reload();
});

function clusters(more: Readonly<Record<string, unknown>> = {}) {
  const managed = { name: 'managed', server: api.url, ca_file: api.caFile, audience: 'managed', allowed_groups: ['*'] };
  const own = { credential: 'service-account', service_accounts: ACCOUNTS };
  return [{ ...managed, ...own, broker_token_file: path.join(dir, 'broker-token'), ...more }];
}

interface Someone {
  readonly holder: Holder;
  readonly claims: Readonly<Record<string, unknown>>;
}

function someone(): Someone {
  people += 1;
  return { holder: service.holder(), claims: { sub: `person-${people}`, email: `person-${people}@example.com` } };
}

const login = ({ holder, claims }: Someone, more: Readonly<Record<string, unknown>> = {}, target = 'managed') =>
  service.login(holder, { ...claims, ...more }, target === '' ? {} : { audience: target });
const rowsOf = (sid: string, from = 0) => service.audit.slice(from).filter((row) => 'sid' in row && row.sid === sid);

/** What may happen to a session while the cluster is asked. */
interface Change {
  /** @param handle of the session, where its login was answered already */
  readonly happens: (who: Someone, sid: string, handle: string | undefined) => Promise<unknown>;
  /** Whether the session is over by it. */
  readonly ends: boolean;
  /** Which ways of asking it goes with. */
  readonly only?: 'renewal';
  /** Whether the Secret may stay: it is still that of an active session. */
  readonly stays?: true;
}

const CHANGES: Readonly<Record<string, Change>> = {
  'its owner revokes it': {
    ends: true,
    only: 'renewal',
    happens: async ({ holder }, _, handle = '') => assert.equal((await holder.revoke(handle)).status, 200),
  },
  'its owner ends it from another machine': {
    ends: true,
    happens: async ({ claims }, sid) => {
      const other = { holder: service.holder(), claims };
      const { refresh_token: handle = '' } = (await login(other, {}, '')).granted;
      const { status } = await other.holder.api(handle, { method: 'DELETE', path: `/${sid}` });
      assert.equal(status, 200);
    },
  },
  'the same person logs in again with the same key': {
    ends: true,
    stays: true,
    happens: async (who) => {
      service.advance(1);
      assert.equal((await login(who, {}, '')).status, 200);
    },
  },
  'another person logs in with the same key': {
    ends: true,
    happens: async ({ holder }) => assert.equal((await login({ ...someone(), holder }, {}, '')).status, 200),
  },
  'it grows too old': { ends: true, happens: async () => service.advance(3600) },
  'its person can no longer log in': {
    ends: true,
    happens: async () => {
      const { issuer } = service.issuer;
      const changed = { ...IDENTITY, issuer, allowed_groups: ['nobody'] };
      assert.equal((await service.reload({ identity_provider: changed })).outcome, 'reloaded');
    },
  },
  'the policy is tightened': {
    ends: true,
    happens: async () => {
      service.advance(10);
      const limits = { ...TEST_POLICY.limits, max_age: '5s', token_ttl: '1s' };
      assert.equal((await service.reload({ policy: { limits } })).outcome, 'reloaded');
    },
  },
  'the cluster does not admit its person any more': {
    ends: false,
    happens: async () => {
      const changed = clusters({ allowed_groups: ['nobody'] });
      assert.equal((await service.reload({ clusters: changed })).outcome, 'reloaded');
    },
  },
  'the cluster goes by another name': {
    ends: false,
    stays: true,
    happens: async () => {
      const changed = clusters({ audience: 'other' });
      assert.equal((await service.reload({ clusters: changed })).outcome, 'reloaded');
    },
  },
  'the cluster has another API server': {
    ends: false,
    stays: true,
    happens: async () => {
      const changed = clusters({ server: 'https://127.0.0.1:1' });
      assert.equal((await service.reload({ clusters: changed })).outcome, 'reloaded');
    },
  },
  'its person acts as another ServiceAccount': {
    ends: false,
    happens: async () => {
      const changed = clusters({ service_accounts: [{ group: '*', namespace: NAMESPACE, name: 'guests' }] });
      assert.equal((await service.reload({ clusters: changed })).outcome, 'reloaded');
    },
  },
  'its groups are others by a revalidation': {
    ends: false,
    only: 'renewal',
    happens: async ({ holder, claims }, _, handle = '') => {
      const auth_time = service.now;
      service.advance(2);
      const { nonce, ...newer } = service.claims(holder, { ...claims, groups: ['dev'], auth_time });
      const { refused } = await holder.renew(handle, 'unknown', { id_token: service.issuer.sign(newer) });
      assert.equal(refused.error, 'invalid_target', nonce as string);
    },
  },
};
const IDENTITY = {
  client_id: 'curfew',
  scopes: ['openid', 'email', 'groups'],
  ...{ username_claim: 'email', groups_claim: 'groups', username_prefix: 'curfew:', groups_prefix: 'curfew:' },
};

/** Where the change comes: before or after the API server has done what it was asked. */
const STEPS: readonly (readonly ['before' | 'after', Asked])[] = [
  ['before', 'create'],
  ['after', 'create'],
  ['before', 'token'],
  ['after', 'token'],
];

/** How a token is asked for. */
const WAYS = ['login', 'first renewal', 'later renewal', 'renewal after the Secret was taken away'] as const;

describe('S17 while the cluster is asked for a token', () => {
  for (const [what, change] of Object.entries(CHANGES)) {
    for (const way of WAYS) {
      if (change.only === 'renewal' && way === 'login') continue;
      const steps = STEPS.filter(([, asked]) => asked === 'token' || way !== 'later renewal');
      test(`S17 ${what}, by a ${way}: no token, no row of one, no Secret`, async () => {
        for (const [when, asked] of steps) await goesWrong(change, way, when, asked);
      });
    }
  }
});

async function goesWrong(change: Change, way: (typeof WAYS)[number], when: 'before' | 'after', asked: Asked) {
  await service.reload();
  const who = someone();
  const place = `${when} ${asked}`;
  let handle: string | undefined;
  if (way !== 'login') {
    const first = (await login(who, {}, way === 'first renewal' ? '' : 'managed')).granted;
    handle = first.refresh_token;
    if (way === 'renewal after the Secret was taken away') {
      for (const name of api.secrets.keys()) api.drop(name);
    }
  }
  const from = service.audit.length;
  let sid = '';
  let happened: Promise<unknown> | undefined;
  api[when] = async (now) => {
    if (now !== asked || happened) return;
    sid = service.audit.findLast((row) => row.event === 'login' && row.sub === who.claims.sub)?.sid ?? '';
    happened = change.happens(who, sid, handle);
    await happened;
  };
  const answer = await (handle === undefined ? login(who) : who.holder.renew(handle, 'managed'));
  assert.ok(happened, `${place}: nothing happened`);
  await happened;
  assertNoToken(answer, place);
  assertNoMintAfterEnd(sid, place);
  const mints = rowsOf(sid, from).filter(({ event }) => event === 'mint');
  assert.deepEqual(mints, [], place);
  if (change.ends) assert.equal(rowsOf(sid).filter(({ event }) => event === 'end').length, 1, `${place}: it ends once`);
  if (change.stays) return;
  await until(() => secretsOf(sid) === 0, `${place}: a Secret is left`);
  await until(() => rowsLeft(sid) === 0, `${place}: a row of a Secret is left`);
}

function assertNoToken({ status, body }: Answer, place: string): void {
  const token = status === 200 ? (body as { access_token: string }).access_token : '';
  // After a login at a cluster that gives none, the handle alone is one right answer.
  assert.ok(!token.includes('.'), `${place}: a token was handed out`);
}

function assertNoMintAfterEnd(sid: string, place: string): void {
  const rows: readonly AuditEvent[] = rowsOf(sid);
  const end = rows.findIndex(({ event }) => event === 'end');
  const mint = rows.findLastIndex(({ event }) => event === 'mint');
  assert.ok(end === -1 || mint < end, `${place}: a token was recorded after the end`);
}

test('S17 a session that ends while the cluster fails gives its login no handle', async () => {
  for (const [what, change] of Object.entries(CHANGES)) {
    if (!change.ends || change.only === 'renewal') continue;
    await service.reload();
    const who = someone();
    let happened = false;
    api.before = async (asked) => {
      if (asked !== 'token' || happened) return;
      happened = true;
      const sid = service.audit.findLast((row) => row.event === 'login' && row.sub === who.claims.sub)?.sid ?? '';
      await change.happens(who, sid, undefined);
      throw new Error('away');
    };
    const answer = await login(who);
    assert.ok(happened, what);
    assert.notEqual(answer.status, 200, what);
  }
});

test('a login at a cluster that fails gives the handle alone', async () => {
  api.before = (asked) => {
    if (asked === 'token') throw new Error('away');
  };
  const { access_token, refresh_token } = (await login(someone())).granted;
  assert.equal(access_token, refresh_token);
});

test('a Secret that is taken away once is made again, one that is taken away each time is not', async () => {
  const who = someone();
  const { refresh_token: handle = '' } = (await login(who)).granted;
  const dropAll = (asked: Asked) => {
    if (asked === 'token') for (const name of api.secrets.keys()) api.drop(name);
  };
  let left = 1;
  api.before = (asked) => {
    if (asked === 'token' && left-- > 0) dropAll(asked);
  };
  const { granted } = await who.holder.renew(handle, 'managed');
  assert.ok(api.isGood(granted.access_token));
  api.before = dropAll;
  const { status } = await who.holder.renew(handle, 'managed');
  assert.equal(status, 503);
});

test('S17 sessions end under renewals without pause: no token is recorded after the end, or good for long', async () => {
  const given: { readonly token: string; readonly sid: string }[] = [];
  const ended = new Set<string>();
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      const who = someone();
      const { refresh_token: handle = '', session } = (await login(who)).granted;
      const renewing = Array.from({ length: 3 }, async () => {
        for (const begin = performance.now(); performance.now() - begin < PATIENCE_MS; ) {
          const after_end = ended.has(session.sid);
          const answer = await who.holder.renew(handle, 'managed');
          if (answer.status !== 200) return assert.notEqual(answer.status, 500);
          assert.ok(!after_end, 'granted to a request that began after the acknowledged end');
          given.push({ token: answer.granted.access_token, sid: session.sid });
        }
        assert.fail('the end is not noticed');
      });
      await until(() => given.filter(({ sid }) => sid === session.sid).length > 3, 'nothing is granted');
      assert.equal((await who.holder.revoke(handle)).status, 200);
      ended.add(session.sid);
      await Promise.all(renewing);
    }),
  );
  for (const sid of ended) assertNoMintAfterEnd(sid, sid);
  await until(() => given.every(({ token }) => !api.isGood(token)), 'a token is good after the end');
  for (const sid of ended) {
    await until(() => secretsOf(sid) === 0, 'a Secret is left');
    await until(() => rowsLeft(sid) === 0, 'a row of a Secret is left');
  }
});

function secretsOf(sid: string): number {
  const all = [...api.secrets.values()];
  return all.filter(({ annotations }) => annotations['curfew.internal/session-id'] === sid).length;
}

/** Secrets as the store knows them, read by another connection. */
function rowsLeft(sid: string): number {
  const db = openStoreDatabase(service.storeFile);
  try {
    return Number(db.prepare('select count(*) as count from bound_secret where sid = ?').get(sid)?.count);
  } finally {
    db.close();
  }
}

test('T8 with a token of the cluster itself comes which clusters do not admit, also for want of a service account', async () => {
  const lab = { name: 'lab', audience: 'lab' };
  const none = { name: 'none', audience: 'none', service_accounts: [{ ...ACCOUNTS[0], group: 'nobody' }] };
  const more = [...clusters({ ...lab, allowed_groups: ['nobody'] }), ...clusters(none)];
  assert.equal((await service.reload({ clusters: [...clusters(), ...more] })).outcome, 'reloaded');
  const who = someone();
  const { granted } = await login(who);
  assert.deepEqual(granted.not_admitted, ['lab', 'none']);
  const renewed = await who.holder.renew(granted.refresh_token ?? '', 'managed');
  assert.deepEqual(renewed.granted.not_admitted, ['lab', 'none']);
});
