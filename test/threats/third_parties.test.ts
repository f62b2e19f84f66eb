// H10: reviews that others make about somebody's session. A SubjectAccessReview names whom it likes, so only the id of a token
// of the session makes one evidence of use, and worth a reason.

import assert from 'node:assert/strict';
import { createSecretKey, randomBytes } from 'node:crypto';
import { after, before, beforeEach, describe, test } from 'node:test';
import { createTokenIds } from '../../broker/tokens/token_id.ts';
import { seconds } from '../../shared/time.ts';
import type { Holder } from '../support/holder.ts';
import { type Asked, askAuthentication, askAuthorization, jtiOf, type Opinion } from '../support/review.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { openStoreDatabase } from '../support/store_database.ts';
import { sessionRow } from '../support/store_row.ts';

const USER = 'curfew:alice@example.com';
const CLUSTERS = ['dev', 'prod-eu'].map((name, i) => ({
  ...{ name, server: `https://127.0.0.1:${i + 1}`, audience: name, allowed_groups: ['*'] },
  webhook: { token_file: `${name}-hook`, on_failure: 'deny', authentication: name === 'prod-eu' },
}));
const CONSTANT: Opinion = {
  ...{ status: 200, denied: true },
  reason: 'curfew: not a request with a valid token of this session',
};

let service: TestService;
let holder: Holder;
let sid: string;
let handle: string;
let jti: string;
before(async () => {
  service = await startTestService({ clusters: CLUSTERS });
});
after(() => service.stop());
beforeEach(async () => {
  service.advance(7200);
  holder = service.holder();
  const { granted } = await service.login(holder, {}, { audience: 'dev' });
  [sid, handle, jti] = [granted.session.sid, granted.refresh_token ?? '', jtiOf(granted.access_token)];
});

const ask = (asked: Partial<Asked>, cluster = 'dev') =>
  askAuthorization(service.url, service.webhook_tokens[cluster] ?? '', { user: USER, sid, jti, ...asked });

/** What the store knows of the session, once all uses are written. */
async function row() {
  await service.restart();
  return sessionRow(service.storeFile, sid);
}

/** Ids that prove nothing about alice's session at `dev`, by what is wrong with them. */
async function forgeries(): Promise<Readonly<Record<string, string | string[] | undefined>>> {
  const bob = await service.login(service.holder(), { sub: 'bob-sub', email: 'bob@example.com' }, { audience: 'dev' });
  const [random = '', exp = '', mac = ''] = jti.split('.');
  const of = { sid, audience: 'dev' };
  const foreign = createTokenIds(createSecretKey(randomBytes(32)));
  return {
    none: undefined,
    empty: '',
    'of the form that 0.4.0 had': randomBytes(16).toString('base64url'),
    "of the asker's own session": jtiOf(bob.granted.access_token),
    'of another cluster': service.tokenId(sid, 'prod-eu'),
    'of another key': foreign.make(of, seconds(service.now + 300)),
    'with a later exp': `${random}.${Number(exp) + 3600}.${mac}`,
    'with another random part': `${randomBytes(16).toString('base64url')}.${exp}.${mac}`,
    'without its MAC': `${random}.${exp}`,
    'with an empty MAC': `${random}.${exp}.`,
    'twice the good one': [jti, jti],
    'over for 10 s': service.tokenId(sid, 'dev', service.now - 10),
    'over for a year': service.tokenId(sid, 'dev', service.now - 31_536_000),
    'a whole text of 300,000 characters': 'x'.repeat(300_000),
    'the sid itself': sid,
  };
}

describe('a review without a valid token of the session', () => {
  test('H10 is denied in one constant text, whatever the session is, and moves nothing', async () => {
    const other = service.holder();
    const ended = await service.login(other, { sub: 'ended', email: 'ended@example.com' });
    const gone = ended.granted.session.sid;
    await other.revoke(ended.granted.refresh_token ?? '');
    const idle = await service.login(service.holder(), { sub: 'idle', email: 'idle@example.com' });
    service.advance(1800);
    await service.sweep();
    ({ sid } = (await service.login(service.holder())).granted.session);
    jti = service.tokenId(sid);
    const before = await row();
    service.advance(60);
    for (const [what, forged] of Object.entries(await forgeries())) {
      for (const about of [sid, gone, idle.granted.session.sid, 'nobody', '']) {
        for (const user of [USER, 'curfew:mallory@example.com']) {
          assert.deepEqual(await ask({ sid: about, user, jti: forged }), CONSTANT, `${what}, ${about}, ${user}`);
        }
      }
    }
    assert.deepEqual(await row(), before);
  });

  test('H10 56 minutes of them do not keep a session of 30 minutes: a good one finds it over', async () => {
    for (let minute = 0; minute < 29; minute++) {
      service.advance(60);
      assert.deepEqual(await ask({ jti: randomBytes(16).toString('base64url') }), CONSTANT);
    }
    service.advance(60);
    assert.match((await ask({ jti: service.tokenId(sid) })).reason, /not used for 30m/);
  });

  test('H10 takes no transaction but for its row, and asks the store nothing about the session', async () => {
    const database = openStoreDatabase(service.storeFile);
    database.exec('alter table session rename to gone');
    try {
      assert.deepEqual(await ask({ jti: 'x' }), CONSTANT);
      assert.equal((await ask({})).status, 503, 'a good one does');
    } finally {
      database.exec('alter table gone rename to session');
      database.close();
    }
  });

  test('H10 is recorded, and no more than 20 kinds a minute are: names are free to invent', async () => {
    service.advance(60);
    await service.sweep();
    const rows = () => service.audit.filter((event) => event.event === 'denial' && event.reason === 'token_id');
    const before = rows().length;
    const padding = 'p'.repeat(5000);
    for (let i = 0; i < 300; i++) {
      const namespace = `${padding}-${i}`;
      assert.deepEqual(
        await ask({ user: `${i}${padding}`, sid: `s-${i}`, jti: 'x', attributes: { namespace } }),
        CONSTANT,
      );
    }
    const first = rows().slice(before);
    assert.ok(first.length > 0 && first.length <= 21, `${first.length} rows`);
    for (const one of first) assert.ok(JSON.stringify(one).length < 2000);
    service.advance(60);
    await service.sweep();
    const all = rows().slice(before);
    const counted = all.reduce((sum, one) => sum + 1 + ((one.event === 'denial' && one.repeated) || 0), 0);
    assert.equal(counted, 300);
    assert.ok(all.length <= 42);
  });
});

describe('a review with a token of the session', () => {
  test('H10 is a use until 10 s after its exp, and not at that second', async () => {
    const id = service.tokenId(sid, 'dev', service.now + 300);
    service.advance(309);
    assert.equal((await ask({ jti: id })).denied, false);
    const used = service.now;
    assert.equal((await row()).last_used, used);
    service.advance(1);
    assert.deepEqual(await ask({ jti: id }), CONSTANT);
    assert.equal((await row()).last_used, used);
  });

  test('H10 where TokenReview is answered, until its cache of 2 min is over as well', async () => {
    const id = service.tokenId(sid, 'prod-eu', service.now + 60);
    service.advance(60 + 129);
    assert.equal((await ask({ jti: id }, 'prod-eu')).denied, false);
    service.advance(1);
    assert.deepEqual(await ask({ jti: id }, 'prod-eu'), CONSTANT);
  });

  test('H10 is answered with the reason, also when the session is over: its token shows that it may be told', async () => {
    await holder.revoke(handle);
    assert.match((await ask({})).reason, /session is over: logged out/);
    assert.match((await ask({ user: 'curfew:bob@example.com' })).reason, /belongs to another user/);
  });

  test('H10 a kubelet that asks in the name of who came to it is answered like the API server', async () => {
    const attributes = { verb: 'create', namespace: '', resource: 'nodes', subresource: 'proxy' };
    assert.equal((await ask({ attributes })).denied, false);
    assert.deepEqual(await ask({ attributes, jti: undefined }), CONSTANT);
  });

  test('H10 a TokenReview carries the id on, as credential-id, so that what asks next shows it', async () => {
    const { access_token } = (await holder.renew(handle, 'prod-eu')).granted;
    const { user } = await askAuthentication(service.url, service.webhook_tokens['prod-eu'] ?? '', access_token);
    const extra = user?.extra as Record<string, string[]>;
    assert.deepEqual(extra['authentication.kubernetes.io/credential-id'], [`JTI=${jtiOf(access_token)}`]);
    assert.equal((await ask({ jti: jtiOf(access_token) }, 'prod-eu')).denied, false);
  });

  test('H10 an API server older than 1.32 shows it under our own key', async () => {
    const extra = { 'curfew.internal/session-id': [sid], 'curfew.internal/token-id': [jti] };
    const review = {
      ...{ apiVersion: 'authorization.k8s.io/v1', kind: 'SubjectAccessReview' },
      spec: { user: USER, extra, resourceAttributes: { verb: 'get', namespace: 'default', resource: 'pods' } },
    };
    const answer = await fetch(`${service.url}/webhooks/authorize`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${service.webhook_tokens.dev}` },
      body: JSON.stringify(review),
    });
    const { status } = (await answer.json()) as { status: { denied?: boolean } };
    assert.equal(status.denied ?? false, false);
  });
});

describe('on a store of 0.4.0', () => {
  const old = () => randomBytes(16).toString('base64url');
  /** As the migration leaves a store with sessions of before; then this version starts first. */
  async function migrated(own: TestService) {
    using database = openStoreDatabase(own.storeFile);
    database.exec('delete from old_token_ids; insert into old_token_ids (id) values (1)');
    await own.restart();
  }

  test('H10 ids of before are judged as before for token_ttl + their time in caches, and move no clock', async () => {
    const own = await startTestService({ clusters: CLUSTERS.slice(0, 1) });
    try {
      const { sid } = (await own.login(own.holder())).granted.session;
      await migrated(own);
      const { last_used } = sessionRow(own.storeFile, sid);
      const review = (id: string) =>
        askAuthorization(own.url, own.webhook_tokens.dev ?? '', { user: USER, sid, jti: id });
      own.advance(309);
      assert.deepEqual(await review(old()), { status: 200, denied: false, reason: '' });
      assert.deepEqual(await review('some-other-form'), CONSTANT);
      await own.restart();
      assert.equal(sessionRow(own.storeFile, sid).last_used, last_used);
      own.advance(1);
      assert.deepEqual(await review(old()), CONSTANT);
      await own.restart();
      assert.deepEqual(await review(old()), CONSTANT, 'the first start counts, not the last');
      assert.equal((await review(own.tokenId(sid))).denied, false);
    } finally {
      await own.stop();
    }
  });
});
