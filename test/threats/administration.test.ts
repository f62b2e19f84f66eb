// The threat model: who sees and ends which sessions, over real HTTP and SQLite: by owner and by administrator (S, T, H).

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, test } from 'node:test';
import { stringify } from 'yaml';
import type { AuditEvent } from '../../broker/audit_log/events.ts';
import {
  isSessionInfo,
  isSessionList,
  isSessionsEnded,
  type SessionInfo,
  type SessionList,
} from '../../shared/wire.ts';
import { freePort } from '../cluster/ports.ts';
import { startBroker } from '../support/broker_process.ts';
import { type Answer, type ApiRequest, Holder, type ProofOptions } from '../support/holder.ts';
import { askAuthorization } from '../support/review.ts';
import { ISSUER, identityProvider, startTestService, type TestService } from '../support/service.ts';
import { startStaticIssuer } from '../support/static_issuer.ts';
import { isPostgres, openStoreDatabase } from '../support/store_database.ts';

const LIMITS = { max_age: '1h', inactivity_timeout: '30m', token_ttl: '5m' };
const CLUSTERS = [
  {
    ...{ name: 'dev', server: 'https://127.0.0.1:1', audience: 'dev', allowed_groups: ['*'] },
    webhook: { token_file: 'dev-hook', on_failure: 'deny' },
  },
];
const ADMINS = { groups: ['admins'], limits: { max_age: '15m' } };

let service: TestService;

interface Open {
  readonly holder: Holder;
  readonly handle: string;
  readonly sid: string;
  readonly username: string;
}

let people = 0;

/** A person of a test's own, as an end sets `login_after` for the person. */
const person = () => {
  people += 1;
  return { sub: `person-${people}`, email: `person-${people}@example.com` };
};

async function open(claims: Readonly<Record<string, unknown>> = person()): Promise<Open> {
  const holder = service.holder();
  const { granted } = await service.login(holder, claims);
  const { sid, username } = granted.session;
  return { holder, handle: granted.refresh_token ?? '', sid, username };
}

const openAdmin = (more: Readonly<Record<string, unknown>> = {}) => open({ ...person(), groups: ['admins'], ...more });

const ask = ({ holder, handle }: Open, request?: ApiRequest) => holder.api(handle, request);
const end = (asker: Open, sid: string, query = '') => ask(asker, { method: 'DELETE', path: `/${sid}`, query });
const endMany = (asker: Open, query: string) => ask(asker, { method: 'DELETE', query });
const lives = async ({ holder, handle }: Open) => (await holder.renew(handle, 'dev')).status === 200;

function listed({ status, body }: Answer): SessionList {
  assert.equal(status, 200, JSON.stringify(body));
  assert.ok(isSessionList(body));
  return body;
}

const sidsOf = (list: SessionList) => list.sessions.map(({ sid }) => sid);

function endedBy({ status, body }: Answer): readonly string[] {
  assert.equal(status, 200, JSON.stringify(body));
  assert.ok(isSessionsEnded(body));
  return body.ended.map(({ sid }) => sid);
}

function rows<E extends AuditEvent['event']>(event: E, sid: string) {
  return service.audit.filter(
    (row): row is Extract<AuditEvent, { event: E }> => row.event === event && row.sid === sid,
  );
}

const endOf = (sid: string) => rows('end', sid).map(({ reason, by, note }) => ({ reason, by, note }));

function columnsOf(sid: string): Record<string, unknown> {
  using database = openStoreDatabase(service.storeFile);
  return { ...database.prepare('select * from session where sid = ?').get(sid) };
}

before(async () => {
  service = await startTestService({ clusters: CLUSTERS, admins: ADMINS, policy: { limits: LIMITS, segments: [] } });
});
after(() => service.stop());

describe('an owner', () => {
  test('sees their own living sessions, with what is known of them, and which one asks', async () => {
    const claims = person();
    const [one, two] = [await open(claims), await open({ ...claims, acr: 'mfa' })];
    await open();
    service.advance(10);
    const list = listed(await ask(one));
    assert.deepEqual(sidsOf(list), [one.sid, two.sid].toSorted());
    const [found] = list.sessions.filter(({ sid }) => sid === two.sid);
    const at = service.now - 10;
    assert.deepEqual({ ...found, user_agent: 'node' } satisfies Partial<SessionInfo>, {
      ...{ sid: two.sid, username: two.username, groups: ['curfew:dev', 'curfew:sre'], acr: 'mfa', current: false },
      ...{ opened_at: at, auth_time: at, last_used: at, session_end: at + 1800, address: '127.0.0.1' },
      user_agent: 'node',
    });
    assert.equal(list.sessions.find(({ current }) => current)?.sid, one.sid);
    assert.equal(list.broker_time, service.now);
    const shown = await ask(one, { path: `/${two.sid}` });
    assert.ok(isSessionInfo(shown.body) && shown.body.sid === two.sid);
  });

  test('moves no clock by looking: the session ends when it would have ended', async () => {
    const one = await open();
    const columns = columnsOf(one.sid);
    for (let i = 0; i < 3; i++) {
      service.advance(599);
      listed(await ask(one));
      assert.equal((await ask(one, { path: `/${one.sid}` })).status, 200);
    }
    assert.deepEqual(columnsOf(one.sid), columns);
    service.advance(3);
    const { status, refused } = await ask(one);
    assert.deepEqual([status, refused.error, refused.reason], [401, 'invalid_token', 'idle_too_long']);
    await service.outlastDoubt();
    assert.deepEqual(endOf(one.sid), [{ reason: 'inactivity_timeout', by: undefined, note: undefined }]);
  });

  test('S1 at max_age itself the session that asks is refused, and ended durably', async () => {
    const one = await open();
    for (const length of [1200, 1200]) {
      service.advance(length);
      assert.ok(await lives(one));
    }
    service.advance(1199);
    assert.equal(listed(await ask(one)).sessions[0]?.session_end, service.now + 1);
    service.advance(1);
    const { status, refused, headers } = await ask(one);
    assert.deepEqual([status, refused.reason], [401, 'login_too_old']);
    assert.equal(headers.get('www-authenticate'), 'DPoP error="invalid_token", algs="ES256"');
    assert.equal(columnsOf(one.sid).end_reason, 'max_age');
  });

  test('sees as last used what the webhook saw, before that is written', async () => {
    const one = await open();
    service.advance(100);
    const token = service.webhook_tokens.dev ?? '';
    const { denied } = await askAuthorization(service.url, token, {
      user: one.username,
      sid: one.sid,
      jti: service.tokenId(one.sid),
    });
    assert.equal(denied, false);
    assert.equal(listed(await ask(one)).sessions[0]?.last_used, service.now);
  });

  test('S11 whose groups are admitted no more is refused, and the session is ended', async () => {
    const one = await open();
    const only = identityProvider(service.issuer.issuer, { allowed_groups: ['admins'] });
    await service.reload({ identity_provider: only });
    const { status, refused } = await ask(one);
    await service.reload();
    assert.deepEqual([status, refused.reason], [401, 'not_admitted']);
    assert.equal(columnsOf(one.sid).end_reason, 'policy');
  });

  test('S13 ends one of their own: the reason is in the audit log, and single sign-on brings no session back', async () => {
    const claims = person();
    const [one, two] = [await open(claims), await open(claims)];
    const auth_time = service.now;
    service.advance(5);
    assert.deepEqual(endedBy(await end(one, two.sid, '?reason=lost%20phone')), [two.sid]);
    assert.deepEqual(endOf(two.sid), [{ reason: 'owner', by: undefined, note: 'lost phone' }]);
    assert.equal((await two.holder.renew(two.handle, 'dev')).refused.end_reason, 'owner');
    const sso = await service.login(service.holder(), { ...claims, auth_time });
    assert.equal(sso.refused.reason, 'login_after');
    assert.ok(await lives(one));
    assert.equal((await service.login(service.holder(), claims)).status, 200, 'a new login does');
  });

  test('S6 who ended the session that asks can ask no more, with that reason, and no clock moves', async () => {
    const one = await open();
    assert.deepEqual(endedBy(await end(one, one.sid)), [one.sid]);
    const columns = columnsOf(one.sid);
    service.advance(5);
    for (const request of [{}, { path: `/${one.sid}` }, { method: 'DELETE', path: `/${one.sid}` }] as const) {
      const { status, refused } = await ask(one, request);
      assert.deepEqual([status, refused.reason, refused.end_reason], [401, 'session_ended', 'owner']);
    }
    assert.deepEqual(columnsOf(one.sid), columns);
  });

  test('ends all of their own by name, as Kubernetes or as the IdP writes it', async () => {
    for (const prefix of ['curfew:', '']) {
      const claims = person();
      const [one, two, other] = [await open(claims), await open(claims), await open()];
      const ended = endedBy(await endMany(one, `?user=${encodeURIComponent(prefix + claims.email)}`));
      assert.deepEqual(ended, [two.sid, one.sid], 'the one that asks comes last');
      assert.ok(await lives(other));
      assert.deepEqual(
        [...endOf(one.sid), ...endOf(two.sid)].map(({ reason }) => reason),
        ['owner', 'owner'],
      );
    }
  });

  test('what was over by itself is ended as of then, and not by its owner', async () => {
    const claims = person();
    const two = await open(claims);
    service.advance(1000);
    const one = await open(claims);
    service.advance(800);
    assert.deepEqual(sidsOf(listed(await ask(one))), [one.sid]);
    assert.equal((await end(one, two.sid)).refused.reason, 'no_such_session');
    assert.deepEqual(endOf(two.sid), [{ reason: 'inactivity_timeout', by: undefined, note: undefined }]);
  });

  test('S16 a use that the webhook saw before counts: what is in use is ended by its owner, not by idleness', async () => {
    const claims = person();
    const two = await open(claims);
    service.advance(1000);
    const one = await open(claims);
    await askAuthorization(service.url, service.webhook_tokens.dev ?? '', {
      user: two.username,
      sid: two.sid,
      jti: service.tokenId(two.sid),
    });
    service.advance(900);
    assert.deepEqual(endedBy(await end(one, two.sid)), [two.sid]);
    assert.deepEqual(
      endOf(two.sid).map(({ reason }) => reason),
      ['owner'],
    );
  });

  test('S12 a sid that never was, has ended, or is of another person: one answer, recorded, without effect (T8)', async () => {
    const claims = person();
    const [one, gone, other] = [await open(claims), await open(claims), await open()];
    await end(one, gone.sid);
    const never = randomBytes(16).toString('base64url');
    for (const method of ['GET', 'DELETE'] as const) {
      const before = rows('refusal', one.sid).length;
      const sids = [never, gone.sid, other.sid];
      const answers: Answer[] = [];
      for (const sid of sids) answers.push(await ask(one, { method, path: `/${sid}` }));
      for (const { status, refused } of answers) {
        assert.deepEqual([status, refused.reason], [404, 'no_such_session']);
        assert.deepEqual(refused, answers[0]?.refused);
      }
      const recorded = rows('refusal', one.sid).slice(before);
      assert.deepEqual(
        recorded.map(({ grant, reason }) => [grant, reason]),
        sids.map(() => ['sessions', 'no_such_session']),
      );
    }
    assert.ok(await lives(other));
  });

  test('S12 the sessions of others: neither seen nor ended, by name or all at once, and it is recorded', async () => {
    const [one, other] = [await open(), await open()];
    const answers = [
      await ask(one, { query: '?all=true' }),
      await endMany(one, '?all=true'),
      await endMany(one, `?user=${encodeURIComponent(other.username)}`),
      await endMany(one, '?user=nobody@example.com'),
    ];
    for (const { status, refused } of answers) {
      assert.deepEqual([status, refused.error, refused.reason], [403, 'access_denied', 'not_administrator']);
      assert.deepEqual(refused, answers[0]?.refused);
    }
    assert.equal(rows('refusal', one.sid).filter(({ reason }) => reason === 'not_administrator').length, 4);
    assert.ok(await lives(other));
  });
});

describe('an administrator', () => {
  test('sees everybody, page by page, and that is in the audit log', async () => {
    const own = await openAdmin();
    const others = [await open(), await open(), await open()];
    const seen: string[] = [];
    let pages = 0;
    for (let next: string | undefined = ''; next !== undefined; pages++) {
      const list: SessionList = listed(await ask(own, { query: `?all=true&limit=2${next && `&after=${next}`}` }));
      assert.ok(list.sessions.length <= 2);
      seen.push(...sidsOf(list));
      next = list.next;
    }
    assert.equal(new Set(seen).size, seen.length);
    for (const { sid } of [own, ...others]) assert.ok(seen.includes(sid));
    assert.deepEqual(seen, sidsOf(listed(await ask(own, { query: '?all=true&limit=1000' }))));
    const looks = rows('list', own.sid);
    assert.equal(looks.length, pages + 1);
    assert.equal(
      looks.reduce((sum, { count }) => sum + count, 0),
      2 * seen.length,
    );
  });

  test('does not see what is over by itself, though nobody has noticed', async () => {
    const idle = await open();
    service.advance(1801);
    const own = await openAdmin();
    assert.ok(!sidsOf(listed(await ask(own, { query: '?all=true' }))).includes(idle.sid));
    assert.equal((await ask(own, { path: `/${idle.sid}` })).refused.reason, 'no_such_session');
  });

  test('sees one session of another, and that is in the audit log; a look at their own does not', async () => {
    const [own, other] = [await openAdmin(), await open()];
    const { body } = await ask(own, { path: `/${other.sid}` });
    assert.ok(isSessionInfo(body) && body.username === other.username && !body.current);
    await ask(own, { path: `/${own.sid}` });
    listed(await ask(own));
    assert.deepEqual(
      rows('list', own.sid).map(({ count }) => count),
      [1],
    );
  });

  test('S13 ends one of another, with who and why in the audit log; single sign-on brings it not back', async () => {
    const claims = person();
    const [own, other] = [await openAdmin(), await open(claims)];
    const auth_time = service.now;
    service.advance(5);
    assert.deepEqual(endedBy(await end(own, other.sid, '?reason=laptop%20stolen')), [other.sid]);
    assert.deepEqual(endOf(other.sid), [{ reason: 'administrator', by: own.username, note: 'laptop stolen' }]);
    assert.equal((await other.holder.renew(other.handle, 'dev')).refused.end_reason, 'administrator');
    assert.equal((await service.login(other.holder, { ...claims, auth_time })).refused.reason, 'login_after');
    assert.equal((await end(own, other.sid)).refused.reason, 'no_such_session');
  });

  test('ends all sessions of a person by name, and none of others', async () => {
    for (const prefix of ['curfew:', '']) {
      const claims = person();
      const own = await openAdmin();
      const [one, two, other] = [await open(claims), await open(claims), await open()];
      const name = encodeURIComponent(prefix + claims.email);
      assert.deepEqual(endedBy(await endMany(own, `?user=${name}`)).toSorted(), [one.sid, two.sid].toSorted());
      assert.deepEqual(endedBy(await endMany(own, `?user=${name}`)), []);
      assert.ok((await lives(other)) && (await lives(own)));
    }
  });

  test('H4 whose login is too old for it gets 403 with max_age, and a row in the audit log; own sessions go on', async () => {
    const [own, other] = [await openAdmin(), await open()];
    service.advance(899);
    listed(await ask(own, { query: '?all=true' }));
    service.advance(1);
    const never = randomBytes(16).toString('base64url');
    for (const request of [
      { query: '?all=true' },
      { path: `/${other.sid}` },
      { path: `/${never}` },
      { method: 'DELETE', path: `/${other.sid}` },
      { method: 'DELETE', path: `/${never}` },
      { method: 'DELETE', query: `?user=${encodeURIComponent(other.username)}` },
      { method: 'DELETE', query: '?all=true' },
    ] as const) {
      const before = rows('refusal', own.sid).length;
      const { status, refused } = await ask(own, request);
      assert.deepEqual(
        [status, refused.error, refused.reason, refused.max_age],
        [403, 'insufficient_user_authentication', 'login_too_old', 900],
      );
      const [row, ...more] = rows('refusal', own.sid).slice(before);
      assert.deepEqual(
        [row?.grant, row?.reason, row?.limits?.max_age, more.length],
        ['sessions', 'login_too_old', 900, 0],
      );
    }
    assert.ok(await lives(other));
    assert.deepEqual(sidsOf(listed(await ask(own))), [own.sid]);
    assert.deepEqual(endedBy(await end(own, own.sid)), [own.sid]);
  });

  test('H4 whose login is too weak for it gets 403 with acr_values', async () => {
    await service.reload({ admins: { ...ADMINS, limits: { max_age: '15m', acr: ['mfa'] } } });
    const [weak, strong] = [await openAdmin({ acr: 'pwd' }), await openAdmin({ acr: 'mfa' })];
    const { status, refused } = await ask(weak, { query: '?all=true' });
    assert.deepEqual(
      [status, refused.error, refused.reason, refused.acr_values],
      [403, 'insufficient_user_authentication', 'acr_too_low', 'mfa'],
    );
    listed(await ask(strong, { query: '?all=true' }));
    await service.reload();
  });

  test('H4 who left the group, or where no administrators are configured, is an ordinary person', async () => {
    const own = await openAdmin();
    await service.reload({ admins: undefined });
    assert.equal((await ask(own, { query: '?all=true' })).refused.reason, 'not_administrator');
    await service.reload({ admins: { groups: ['others'], limits: { max_age: '15m' } } });
    assert.equal((await endMany(own, '?all=true')).refused.reason, 'not_administrator');
    // The prefix makes no other group out of it.
    await service.reload({ admins: { groups: ['curfew:admins'], limits: { max_age: '15m' } } });
    assert.equal((await endMany(own, '?all=true')).refused.reason, 'not_administrator');
    await service.reload();
  });
});

describe('a request that is not right', () => {
  const broken: readonly [string, (open: Open) => string | ProofOptions, string][] = [
    ['without a proof', () => '', 'proof_invalid'],
    ['whose proof has no ath', () => ({ claims: {} }), 'proof_invalid'],
    ["whose proof has another handle's ath", () => ({ claims: { ath: hash('another') } }), 'proof_invalid'],
    ['whose ath is the handle itself', ({ handle }) => ({ claims: { ath: handle } }), 'proof_invalid'],
    ['whose ath is no text', () => ({ claims: { ath: 7 } }), 'proof_invalid'],
    ['whose proof is for another method', () => ({ method: 'POST' }), 'proof_invalid'],
    ['whose proof is for another path', () => ({ url: `${ISSUER}/token` }), 'proof_invalid'],
    ['whose proof is for one session', ({ sid }) => ({ url: `${ISSUER}/v1/sessions/${sid}` }), 'proof_invalid'],
    ['whose proof has another typ', () => ({ header: { typ: 'JWT' } }), 'proof_invalid'],
    ['whose proof is too old', () => ({ iat: service.now - 61 }), 'proof_nonce'],
    ['whose nonce is not ours', () => ({ nonce: 'abc.def' }), 'proof_nonce'],
  ];
  for (const [name, change, reason] of broken) {
    test(`T6 ${name} is refused with a challenge`, async () => {
      const one = await open();
      const changed = change(one);
      const proof = typeof changed === 'string' ? changed : { claims: { ath: hash(one.handle) }, ...changed };
      const { status, refused, headers } = await ask(one, { proof });
      assert.deepEqual([status, refused.reason], [401, reason]);
      const nonce = reason === 'proof_nonce';
      assert.equal(refused.error, nonce ? 'use_dpop_nonce' : 'invalid_dpop_proof');
      const error = nonce ? 'use_dpop_nonce' : 'invalid_token';
      assert.equal(headers.get('www-authenticate'), `DPoP error="${error}", algs="ES256"`);
      assert.equal(headers.has('dpop-nonce'), nonce);
      if (!nonce) assert.deepEqual(lastRefusal(), ['sessions', reason]);
    });
  }

  test('T6 with a nonce of the broker a wrong clock works; the same proof twice does not', async () => {
    const one = await open();
    const wrong = { iat: service.now - 7200 };
    const claims = { ath: hash(one.handle) };
    const nonce = (await ask(one, { proof: { ...wrong, claims } })).headers.get('dpop-nonce') ?? '';
    const proof = one.holder.proof({ method: 'GET', url: `${ISSUER}/v1/sessions`, ...wrong, nonce, claims });
    listed(await ask(one, { proof }));
    const { status, refused } = await ask(one, { proof });
    assert.deepEqual([status, refused.reason], [401, 'proof_replayed']);
    assert.deepEqual(lastRefusal(), ['sessions', 'proof_replayed']);
  });

  test('S12 with a handle of another key, a Kubernetes token, or none is refused, recorded, and tells nothing (T7)', async () => {
    const [one, thief] = [await open(), await open()];
    const { access_token } = (await one.holder.renew(one.handle, 'dev')).granted;
    const stolen = await thief.holder.api(one.handle);
    const guessed = await thief.holder.api(randomBytes(32).toString('base64url'));
    assert.deepEqual([stolen.status, stolen.refused.reason], [401, 'unknown_session']);
    assert.deepEqual(stolen.refused, guessed.refused);
    assert.equal(rows('refusal', one.sid).length, 1);
    for (const authorization of ['', `Bearer ${one.handle}`, `DPoP ${access_token}`, 'DPoP', `DPoP ${one.handle}=`]) {
      const { status, refused, headers } = await ask(one, { authorization });
      assert.deepEqual([status, refused.error, refused.reason], [401, 'invalid_token', 'unknown_session']);
      assert.match(headers.get('www-authenticate') ?? '', /^DPoP /);
      assert.deepEqual(lastRefusal(), ['sessions', 'unknown_session']);
    }
    assert.ok(await lives(one));
  });

  test('H1 an unknown, repeated or malformed parameter is refused, and nothing is ended', async () => {
    const [own, other] = [await openAdmin(), await open()];
    const refused = async (request: ApiRequest) => {
      const answer = await ask(own, request);
      assert.deepEqual([answer.status, answer.refused.reason], [400, 'request_invalid'], request.query);
    };
    for (const query of [
      ...['?al=true', '?all=true&all=true', '?all=yes', '?all=', '?user=x', '?limit=0', '?limit=1001', '?limit=1e2'],
      ...['?limit=-1', '?limit=5&limit=5', '?after=x', '?after=1', '?after=1.', "?after=1.x'%20or%201"],
    ]) {
      await refused({ query });
    }
    for (const query of [
      ...['', '?all=true&user=x', '?all=false', '?user=', '?user=a&user=b', '?reason=x', '?all=true&sid=x'],
      ...[
        `?all=true&reason=${'x'.repeat(201)}`,
        '?all=true&reason=a%0Ab',
        '?all=true&reason=%E2%80%AE',
        '?all=true&reason=',
      ],
      ...['?all=true&reason=a&reason=b', '?all=true&limit=5'],
    ]) {
      await refused({ method: 'DELETE', query });
    }
    await refused({ method: 'DELETE', path: `/${other.sid}`, query: '?user=x' });
    await refused({ path: `/${other.sid}`, query: '?all=true' });
    assert.ok(await lives(other));
  });

  test('a reason of 200 characters in any script is taken as it is', async () => {
    const claims = person();
    const [one, two] = [await open(claims), await open(claims)];
    const note = '終了 — "fin"; '.padEnd(200, 'é');
    assert.deepEqual(endedBy(await end(one, two.sid, `?reason=${encodeURIComponent(note)}`)), [two.sid]);
    assert.equal(endOf(two.sid)[0]?.note, note);
  });
});

describe('all sessions at once', () => {
  let other: TestService;
  before(async () => {
    other = service;
    service = await startTestService({ clusters: CLUSTERS, admins: ADMINS, policy: { limits: LIMITS, segments: [] } });
  });
  after(async () => {
    await service.stop();
    service = other;
  });

  /** Copies a session, so that there are many without as many logins. */
  function multiply({ sid }: Open, count: number): void {
    using database = openStoreDatabase(service.storeFile);
    const columns = database.columns().flatMap(({ table, name }) => (table === 'session' ? [name] : []));
    const own: Record<string, string> = {
      sid: "sid || '-' || value",
      jkt: "jkt || '-' || value",
      handle_hash: `cast(sid || '-' || value as ${isPostgres(service.storeFile) ? 'bytea' : 'blob'})`,
    };
    const values = columns.map((name) => own[name] ?? name).join(', ');
    const numbers = 'with recursive n(value) as (select 1 union all select value + 1 from n where value < ?)';
    database
      .prepare(`${numbers} insert into session (${columns.join(', ')}) select ${values} from session, n where sid = ?`)
      .run(count, sid);
  }

  const living = () => {
    using database = openStoreDatabase(service.storeFile);
    return Number(database.prepare('select count(*) as n from session where ended_at is null').get()?.n);
  };

  /** The store fails from the moment on when so many have ended; the real driver says so. */
  function breakStore(after_ends: number): () => void {
    const database = openStoreDatabase(service.storeFile);
    const condition = `(select count(*) from session where ended_at is not null) >= ${after_ends}`;
    const mend = database.refuse('update of ended_at on session', condition);
    return () => {
      mend();
      database.close();
    };
  }

  test('S10 while the store fails an end is an error and never success, for owner, administrator and logout alike', async () => {
    const claims = person();
    const [own, one, two] = [await openAdmin(), await open(claims), await open(claims)];
    const mend = breakStore(0);
    const attempts = [
      await end(one, two.sid),
      await end(own, two.sid),
      await end(one, one.sid),
      await endMany(one, `?user=${encodeURIComponent(one.username)}`),
      await endMany(own, `?user=${encodeURIComponent(one.username)}`),
      await endMany(own, '?all=true'),
      await one.holder.revoke(one.handle),
    ];
    mend();
    for (const { status, refused, headers } of attempts) {
      assert.deepEqual([status, refused.error, refused.reason], [503, 'temporarily_unavailable', 'store']);
      assert.ok(headers.has('retry-after'));
    }
    for (const open of [own, one, two]) {
      assert.ok(await lives(open));
      assert.deepEqual(endOf(open.sid), []);
    }
    assert.deepEqual(endedBy(await end(own, two.sid)), [two.sid]);
    assert.deepEqual(endedBy(await end(own, one.sid)), [one.sid]);
    assert.deepEqual(endedBy(await end(own, own.sid)), [own.sid]);
  });

  test('S10 while the audit log cannot be written nothing ends', async () => {
    const one = await open();
    using database = openStoreDatabase(service.storeFile);
    const mend = database.refuse('insert on audit');
    const { status, refused } = await end(one, one.sid);
    mend();
    assert.deepEqual([status, refused.reason], [503, 'store']);
    assert.ok(await lives(one));
    assert.deepEqual(endedBy(await end(one, one.sid)), [one.sid]);
  });

  test('are ended by an administrator in batches, their own last; what is over by itself does not stop it', async () => {
    const [idle, stale] = [await open(), await open()];
    multiply(idle, 150);
    service.advance(1790);
    assert.ok(await lives(stale));
    const claims = { ...person(), groups: ['admins'] };
    const [own, second, ordinary] = [await open(claims), await open(claims), await open()];
    multiply(ordinary, 300);
    service.advance(10);
    const ended = endedBy(await endMany(own, '?all=true&reason=incident%2042'));
    assert.equal(living(), 0);
    assert.equal(ended.length, 301 + 1 + 2, 'those that were idle for too long are not among them');
    assert.deepEqual(ended.slice(-2), [second.sid, own.sid]);
    assert.deepEqual(endOf(ordinary.sid), [{ reason: 'administrator', by: own.username, note: 'incident 42' }]);
    assert.deepEqual(endOf(own.sid), [{ reason: 'owner', by: undefined, note: 'incident 42' }]);
    assert.deepEqual(
      endOf(idle.sid).map(({ reason }) => reason),
      ['inactivity_timeout'],
    );
  });

  test('S10 of which the store loses some are an error; asked again, the rest ends', async () => {
    const [own, ordinary] = [await openAdmin(), await open()];
    multiply(ordinary, 399);
    const before = living();
    const ended = Number(columnsOfAll()) - before;
    const mend = breakStore(ended + 200);
    const { status, refused } = await endMany(own, '?all=true');
    assert.deepEqual([status, refused.reason], [503, 'store']);
    assert.equal(before - living(), 200, 'the first batch is over, the second undone as a whole');
    assert.ok(await lives(own));
    mend();
    assert.equal(endedBy(await endMany(own, '?all=true')).length, before - 200);
    assert.equal(living(), 0);
  });

  function columnsOfAll(): unknown {
    using database = openStoreDatabase(service.storeFile);
    return database.prepare('select count(*) as n from session').get()?.n;
  }
});

test('S9 ended by administrator and owner, then kill -9 and start again: a replay is refused, and the audit log has it', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'curfew-administration-'));
  const issuer = await startStaticIssuer();
  const url = `http://127.0.0.1:${await freePort()}`;
  const configFile = path.join(folder, 'config.yaml');
  await writeFile(path.join(folder, 'key'), randomBytes(32).toString('hex'), { mode: 0o600 });
  const cluster = { name: 'dev', server: 'https://127.0.0.1:1', audience: 'dev', allowed_groups: ['*'] };
  const config = {
    issuer: ISSUER,
    listen: { address: '127.0.0.1', port: Number(new URL(url).port) },
    keys: { encryption_key_file: 'key' },
    identity_provider: identityProvider(issuer.issuer),
    clusters: [cluster],
    admins: ADMINS,
    store: { sqlite: { file: 'curfew.db' } },
    policy: { limits: LIMITS, segments: [] },
  };
  await writeFile(configFile, stringify(config));
  let broker = await startBroker({ configFile, url });
  try {
    const login = async (sub: string) => {
      const holder = new Holder({ url, issuer: ISSUER });
      const now = holder.now();
      const times = { iat: now, exp: now + 300, auth_time: now, nonce: holder.nonce };
      const claims = { iss: issuer.issuer, aud: 'curfew', sub, groups: [sub], ...times };
      const token = issuer.sign({ ...claims, email: `${sub}@example.com`, email_verified: true });
      const { granted } = await holder.exchange(token);
      return { holder, token, handle: granted.refresh_token ?? '', sid: granted.session.sid };
    };
    const [own, one, two] = [await login('admins'), await login('one'), await login('two')];
    const byAdministrator = { method: 'DELETE', path: `/${one.sid}` } as const;
    assert.equal((await own.holder.api(own.handle, byAdministrator)).status, 200);
    assert.equal((await two.holder.api(two.handle, { method: 'DELETE', path: `/${two.sid}` })).status, 200);
    await broker.kill();
    broker = await startBroker({ configFile, url });
    for (const [{ holder, handle, token }, reason] of [
      [one, 'administrator'],
      [two, 'owner'],
    ] as const) {
      assert.equal((await holder.renew(handle, 'dev')).refused.end_reason, reason);
      assert.equal((await holder.api(handle)).refused.end_reason, reason);
      assert.ok(['id_token_used', 'login_after'].includes((await holder.exchange(token)).refused.reason));
    }
    const living = listed(await own.holder.api(own.handle, { query: '?all=true' }));
    assert.deepEqual(sidsOf(living), [own.sid]);
    using database = new DatabaseSync(path.join(folder, 'curfew.db'), { readOnly: true });
    const ends = database.prepare("select sid from audit where event = 'end'").all();
    assert.deepEqual(
      ends.map(({ sid }) => sid),
      [one.sid, two.sid],
    );
  } finally {
    await broker.kill();
    await issuer.stop();
    await rm(folder, { recursive: true, force: true });
  }
});

function hash(text: string): string {
  return createHash('sha256').update(text).digest('base64url');
}

function lastRefusal(): readonly unknown[] {
  const last = service.audit.findLast((event) => event.event === 'refusal');
  return [last?.grant, last?.reason];
}
