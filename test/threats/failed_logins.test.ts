// Somebody fails to log in again and again: counted, answered with growing delays, told in the audit log, reported; and what a
// flood of requests from nobody knows whom does to the audit log.

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import type { Answer } from '../support/holder.ts';
import { until } from '../support/patience.ts';
import { post } from '../support/review.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { openStoreDatabase, storeText } from '../support/store_database.ts';

const POLICY = {
  limits: { max_age: '1h', inactivity_timeout: '30m', token_ttl: '5m' },
  segments: [],
  failed_logins: { count: 3, window: '10m' },
};
let service: TestService;
let count = 0;

before(async () => {
  service = await startTestService({ policy: POLICY });
});
after(() => service.stop());
/** Windows of one test are over in the next. */
beforeEach(() => service.advance(3600));

/** A person of the test's own. */
function person() {
  count += 1;
  return { sub: `person-${count}`, email: `person-${count}@example.com` };
}

/** A login that the IdP's single sign-on answered with an old `auth_time`. */
const fail = (who: Readonly<Record<string, unknown>>) =>
  service.login(service.holder(), { ...who, auth_time: service.now - 4000 });
const succeed = (who: Readonly<Record<string, unknown>>) => service.login(service.holder(), who);
/** Nobody: signed by no key of the IdP. */
const stranger = () => {
  const holder = service.holder();
  return holder.exchange(`${service.issuer.sign(service.claims(holder)).slice(0, -6)}AAAAAA`);
};

const told = (more: (event: { by: string; username?: string | undefined }) => boolean) =>
  service.audit.flatMap((event) => (event.event === 'failed_logins' && more(event) ? [event] : []));
const reasons = (answers: readonly Answer[]) => answers.map(({ refused }) => refused.reason);

async function inTurn(work: () => Promise<Answer>, times: number): Promise<Answer[]> {
  const answers: Answer[] = [];
  for (let i = 0; i < times; i++) answers.push(await work());
  return answers;
}

describe('a person', () => {
  test('is made to wait from the third failure on, 1 s and then twice as long each time, 60 s at most', async () => {
    const who = person();
    assert.deepEqual(reasons(await inTurn(() => fail(who), 3)), Array(3).fill('login_too_old'));
    const waits: number[] = [];
    for (let i = 0; i < 8; i++) {
      const { status, headers, refused } = await succeed(who);
      assert.deepEqual([status, refused.error, refused.reason], [429, 'temporarily_unavailable', 'too_many_failures']);
      const wait = Number(headers.get('retry-after'));
      assert.match(refused.error_description, new RegExp(`try again in ${wait}s$`));
      waits.push(wait);
      service.advance(wait - 1);
      assert.equal((await succeed(who)).status, 429, 'one second before');
      service.advance(1);
      assert.equal((await fail(who)).refused.reason, 'login_too_old', 'judged again at its end');
    }
    assert.deepEqual(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
  });

  test('is not made to wait longer by attempts within the delay, and a login clears it', async () => {
    const who = person();
    await inTurn(() => fail(who), 3);
    assert.deepEqual(reasons(await inTurn(() => fail(who), 20)), Array(20).fill('too_many_failures'));
    service.advance(1);
    assert.ok((await succeed(who)).granted);
    assert.deepEqual(reasons(await inTurn(() => fail(who), 2)), Array(2).fill('login_too_old'));
    assert.ok((await succeed(who)).granted);
  });

  test('starts anew when the window is over', async () => {
    const who = person();
    await inTurn(() => fail(who), 2);
    service.advance(600);
    assert.deepEqual(reasons(await inTurn(() => fail(who), 2)), Array(2).fill('login_too_old'));
    assert.ok((await succeed(who)).granted);
  });

  test('is told in the audit log at the threshold and at each doubling, with how the last session ended', async () => {
    const who = person();
    const username = `curfew:${who.email}`;
    assert.ok((await succeed(who)).granted);
    service.advance(1800);
    await service.sweep();
    for (let i = 0; i < 8; i++) {
      await service.login(service.holder(), { ...who, auth_time: service.now - 1000 - i });
      service.advance(60);
    }
    const rows = told((event) => event.username === username);
    assert.deepEqual(
      rows.map((row) => [row.by, row.count, row.window, row.delay, row.reason, row.end_reason]),
      [
        ['person', 3, 600, 1, 'login_after', 'inactivity_timeout'],
        ['person', 6, 600, 8, 'login_after', 'inactivity_timeout'],
      ],
    );
  });

  test('cannot be made to wait by somebody who has only their ID token, or makes tokens up', async () => {
    const who = person();
    const holder = service.holder();
    const stolen = service.issuer.sign(service.claims(holder, who));
    for (let i = 0; i < 12; i++) await service.holder().exchange(stolen);
    assert.equal((await stranger()).status, 429, 'whoever that is has to wait');
    assert.ok((await holder.exchange(stolen)).granted, 'and the person has not');
  });

  test('is another matter than other people at the same address', async () => {
    const [one, two] = [person(), person()];
    await inTurn(() => fail(one), 3);
    assert.equal((await succeed(one)).status, 429);
    assert.ok((await succeed(two)).granted);
  });
});

describe('an address', () => {
  test('may fail four times as often where nobody is known, then its failures wait; who can log in does not', async () => {
    assert.deepEqual(reasons(await inTurn(stranger, 12)), Array(12).fill('id_token_signature'));
    const { status, refused, headers } = await stranger();
    assert.deepEqual([status, refused.reason, headers.get('retry-after')], [429, 'too_many_failures', '1']);
    assert.ok((await succeed(person())).granted);
    service.advance(1);
    assert.equal((await stranger()).refused.reason, 'id_token_signature');
    const rows = told(({ by }) => by === 'address').slice(-1);
    assert.deepEqual(
      rows.map((row) => [row.by, row.address, row.count, row.reason]),
      [['address', '127.0.0.1', 12, 'id_token_signature']],
    );
  });
});

test('counters are forgotten when their window is over', async () => {
  await fail(person());
  await stranger();
  service.advance(700);
  await service.sweep();
  using database = openStoreDatabase(service.storeFile);
  assert.equal(database.prepare('select count(*) as rows from failed_login').get()?.rows, 0);
});

describe('the audit log', () => {
  test('does not grow with a flood of callers that are not known: one row a minute for each kind, the rest counted', async () => {
    const before = service.audit.length;
    for (let i = 0; i < 200; i++) {
      assert.equal((await post(`${service.url}/webhooks/authorize`, 'wrong', {})).status, 401);
    }
    const rows = () => service.audit.slice(before).flatMap((event) => (event.event === 'refusal' ? [event] : []));
    assert.deepEqual(
      rows().map(({ grant, reason, repeated }) => [grant, reason, repeated]),
      [['authorization', 'webhook_token', undefined]],
    );
    service.advance(61);
    await service.sweep();
    // one row for itself and 198 more
    assert.deepEqual(
      rows().map(({ repeated }) => repeated),
      [undefined, 198],
    );
  });

  test('has a row for each refusal of a person who is known', async () => {
    const who = person();
    const before = service.audit.length;
    await inTurn(() => fail(who), 2);
    const rows = service.audit.slice(before).filter(({ event, sub }) => event === 'refusal' && sub === who.sub);
    assert.equal(rows.length, 2);
  });
});

test('H5 neither webhook token nor hook secret nor the path of a hook stands in log, record or store, whatever fails', async () => {
  const clusters = ['dev', 'prod-eu'].map((name) => ({
    ...{ name, server: 'https://127.0.0.1:1', audience: name, allowed_groups: ['*'] },
    ...(name === 'dev' && { webhook: { token_file: 'dev-hook', on_failure: 'deny' } }),
  }));
  // Nobody listens there.
  const hooks = [{ url: 'http://127.0.0.1:9/path-that-lets-in', secret_file: 'prod-eu-hook' }];
  const own = await startTestService({ policy: POLICY, clusters, hooks });
  try {
    const { dev: token = '', 'prod-eu': secret = '' } = own.webhook_tokens;
    const url = `${own.url}/webhooks/authorize`;
    for (const presented of [token, `${token}x`]) await post(url, presented, { kind: 'nothing' });
    const old = { sub: 'h5', email: 'h5@example.com', auth_time: own.now - 4000 };
    for (let i = 0; i < 3; i++) await own.login(own.holder(), old);
    await until(() => own.log.join().includes('a report could not be delivered'), 'no delivery failed');
    const store = storeText(own.storeFile);
    const places = { log: own.log.join('\n'), record: JSON.stringify(own.audit), store };
    assert.match(places.log, /"hook":"http:\/\/127\.0\.0\.1:9".*a report could not be delivered/);
    assert.ok(places.record.includes('failed_logins') && places.store.includes('h5@example.com'));
    const forms = [token, secret].flatMap((text) => {
      const bytes = Buffer.from(text, 'base64url');
      return [text, bytes.toString('base64'), bytes.toString('hex'), bytes.toString('latin1')];
    });
    for (const [place, text] of Object.entries(places)) {
      for (const form of forms) assert.equal(text.includes(form), false, place);
    }
    assert.equal((places.log + places.record).includes('path-that-lets-in'), false);
  } finally {
    await own.stop();
  }
});
