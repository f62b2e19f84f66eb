// Security events of a transmitter (RFC 8417, pushed by RFC 8935), over real HTTP and SQLite: which are taken, whom they mean, and
// what they do.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import type { Holder } from '../support/holder.ts';
import { askAuthorization } from '../support/review.ts';
import { startTestService, TEST_POLICY, type TestService } from '../support/service.ts';
import {
  listening,
  logoutToken,
  person,
  pushSet,
  type SetOptions,
  sendLogout,
  setOf,
  typeOf,
} from '../support/signals.ts';
import { sessionRow } from '../support/store_row.ts';

const CLUSTERS = [
  {
    ...{ name: 'dev', server: 'https://127.0.0.1:1', audience: 'dev', allowed_groups: ['*'] },
    webhook: { token_file: 'dev-hook', on_failure: 'deny' },
  },
];

let service: TestService;
before(async () => {
  service = await startTestService({ clusters: CLUSTERS });
  await service.reload(listening(service));
});
after(() => service.stop());

interface Open {
  readonly holder: Holder;
  readonly handle: string;
  readonly sid: string;
  readonly sub: string;
  readonly email: string;
  readonly idp_sid: string;
}

async function open(more: Readonly<Record<string, unknown>> = {}): Promise<Open> {
  const id = randomUUID();
  const claims = { sub: `sub-${id}`, email: `${id}@example.com`, sid: `idp-${id}`, ...more };
  const holder = service.holder();
  const { granted } = await service.login(holder, claims);
  const { sub, email, sid: idp_sid } = claims;
  return { holder, handle: granted.refresh_token ?? '', sid: granted.session.sid, sub, email, idp_sid };
}

const endOf = ({ sid }: Pick<Open, 'sid'>) => sessionRow(service.storeFile, sid).end_reason;
const signalsOf = (sub: string) => service.audit.filter((row) => row.event === 'signal' && row.sub === sub);

/** Pushes one about a subject; asserts that it was acknowledged. */
async function heard(event: string, subject: unknown, options?: SetOptions): Promise<void> {
  const { status, body } = await pushSet(service, setOf(service, event, subject, options));
  assert.deepEqual([status, body], [202, {}]);
}

async function refusedAs(set: string, err: string, words: RegExp, status = 400): Promise<void> {
  const answer = await pushSet(service, set);
  assert.deepEqual([answer.status, answer.body.err], [status, err]);
  assert.match(String(answer.body.description), words);
  assert.match(answer.headers.get('content-type') ?? '', /^application\/json/);
  assert.equal(answer.headers.get('content-language'), 'en');
}

describe('L2 a SET that breaks a rule is refused in the words of RFC 8935, and ends nothing', () => {
  const cases: readonly (readonly [string, string, (at: TestService) => SetOptions, RegExp])[] = [
    [
      'from an unknown issuer',
      'invalid_issuer',
      () => ({ claims: { iss: 'https://other.example.com' } }),
      /another issuer/,
    ],
    ['without issuer', 'invalid_issuer', () => ({ claims: { iss: undefined } }), /another issuer/],
    ['for another audience', 'invalid_audience', () => ({ claims: { aud: 'curfew' } }), /another audience/],
    ['with alg none', 'invalid_key', () => ({ header: { alg: 'none' } }), /algorithm/],
    ['with HS256', 'invalid_key', () => ({ header: { alg: 'HS256' } }), /algorithm/],
    ['without its type', 'invalid_request', () => ({ header: { typ: undefined } }), /secevent\+jwt/],
    ['of the type of a logout token', 'invalid_request', () => ({ header: { typ: 'logout+jwt' } }), /secevent\+jwt/],
    ['with crit', 'invalid_request', () => ({ header: { crit: ['b64'] } }), /crit/],
    ['without jti', 'invalid_request', () => ({ claims: { jti: undefined } }), /no usable jti/],
    ['without iat', 'invalid_request', () => ({ claims: { iat: undefined } }), /no usable iat/],
    [
      'older than 30 days',
      'invalid_request',
      ({ now }) => ({ claims: { iat: now - 30 * 86_400 } }),
      /older than 30 days/,
    ],
    ['without events', 'invalid_request', () => ({ claims: { events: undefined } }), /no usable events/],
    ['with no event', 'invalid_request', () => ({ claims: { events: {} } }), /no usable events/],
    [
      'with an event that is no object',
      'invalid_request',
      () => ({ claims: { events: { [typeOf('session-revoked')]: 1 } } }),
      /not an object/,
    ],
  ];
  for (const [what, err, change, words] of cases) {
    test(`L2 ${what}: ${err}`, async () => {
      const own = await open();
      const subject = person(service, own.sub);
      await refusedAs(setOf(service, 'session-revoked', subject, change(service)), err, words);
      assert.equal(endOf(own), null);
    });
  }

  test('L2 with a signature that is not the transmitter’s: invalid_key; and what is no JWT: invalid_request', async () => {
    const own = await open();
    const set = setOf(service, 'session-revoked', person(service, own.sub));
    await refusedAs(`${set.slice(0, -12)}AAAAAAAAAAAA`, 'invalid_key', /signature/);
    for (const text of ['', 'x', 'a.b.c', `${set}=`]) await refusedAs(text, 'invalid_request', /well-formed/);
    assert.equal(endOf(own), null);
  });

  test('L2 under an unknown key: 503 while the keys were read just now, as it may be new; invalid_key once they were read again', async () => {
    const set = () => setOf(service, 'session-revoked', person(service, 'x'), { header: { kid: 'other' } });
    await pushSet(service, set());
    assert.equal((await pushSet(service, set())).status, 503);
    service.advance(5);
    await refusedAs(set(), 'invalid_key', /names a key/);
  });

  test('L2 from who does not present a transmitter’s token: 401, authentication_failed, and nothing is read', async () => {
    const own = await open();
    const set = setOf(service, 'session-revoked', person(service, own.sub));
    for (const bearer of ['', 'x', service.webhook_tokens.dev ?? '', 'A'.repeat(43)]) {
      const { status, headers, body } = await pushSet(service, set, bearer);
      assert.deepEqual([status, body.err], [401, 'authentication_failed']);
      assert.equal(headers.get('www-authenticate'), 'Bearer');
    }
    assert.equal(endOf(own), null);
    assert.equal((await pushSet(service, set)).status, 202);
    assert.equal(endOf(own), 'session_revoked');
  });

  test('L2 as another media type, or too large: invalid_request', async () => {
    const set = setOf(service, 'session-revoked', person(service, 'nobody'));
    for (const type of ['application/json', 'application/jwt', 'text/plain']) {
      const { status, body } = await pushSet(service, set, undefined, type);
      assert.deepEqual([status, body.err], [415, 'invalid_request'], type);
    }
    const { status, body } = await pushSet(service, 'x'.repeat(40_000));
    assert.deepEqual([status, body.err], [413, 'invalid_request']);
  });

  test('L2 about a person of an issuer of which the transmitter may not speak: access_denied', async () => {
    const own = await open();
    const subject = { format: 'iss_sub', iss: 'https://other.example.com', sub: own.sub };
    await refusedAs(setOf(service, 'session-revoked', subject), 'access_denied', /cannot speak/);
    assert.equal(endOf(own), null);
  });

  test('L2 whose subject is not understood, though it would act: invalid_request, in the log and the audit log', async () => {
    for (const subject of [
      undefined,
      'alice',
      {},
      { format: 'phone_number', phone_number: '+12065550100' },
      { format: 'iss_sub', iss: service.issuer.issuer },
      { format: 'email' },
      { format: 'opaque' },
      { format: 'aliases', identifiers: [{ format: 'did', url: 'did:example:1' }] },
      { format: 'complex', device: { format: 'opaque', id: 'd' } },
      { format: 'complex', session: { format: 'iss_sub', iss: 'x', sub: 'y' } },
    ]) {
      await refusedAs(setOf(service, 'session-revoked', subject), 'invalid_request', /subject is not understood/);
    }
    assert.ok(service.log.some((line) => /a security event was refused/.test(line) && /set_subject/.test(line)));
    assert.ok(
      service.audit.some((row) => row.event === 'refusal' && row.grant === 'push' && row.reason === 'set_subject'),
    );
  });
});

describe('L2 what is acknowledged with 202', () => {
  test('L2 an unknown subject: nobody ends, and it is in the audit log', async () => {
    await heard('session-revoked', person(service, 'never-seen'));
    assert.equal(signalsOf('never-seen').length, 1);
    await heard('account-disabled', { format: 'email', email: 'never-seen@example.com' });
  });

  test('L2 an unknown event, and those of the stream itself', async () => {
    const own = await open();
    await heard('https://example.com/event-type/unheard-of', person(service, own.sub));
    await heard('verification', { format: 'opaque', id: 'stream-1' }, { payload: { state: 'abc' } });
    await heard('stream-updated', { format: 'opaque', id: 'stream-1' }, { payload: { status: 'paused' } });
    assert.equal(endOf(own), null);
    assert.ok(service.log.some((line) => /the stream was verified/.test(line)));
    assert.ok(service.log.some((line) => /changed the stream/.test(line) && /paused/.test(line)));
  });

  test('L2 the same once more, also many at once: it acts once', async () => {
    const own = await open();
    const set = setOf(service, 'session-revoked', person(service, own.sub));
    const answers = await Promise.all(Array.from({ length: 8 }, () => pushSet(service, set)));
    assert.deepEqual(
      answers.map(({ status }) => status),
      Array(8).fill(202),
    );
    assert.equal(signalsOf(own.sub).length, 1);
    service.advance(1);
    const again = await open({ sub: own.sub, email: own.email });
    assert.equal((await pushSet(service, set)).status, 202);
    assert.equal(endOf(again), null);
  });
});

describe('L2 a valid revocation ends sessions', () => {
  test('L2 whatever its event_timestamp: seconds, milliseconds, long ago, in the future, none', async () => {
    const { now } = service;
    for (const event_timestamp of [
      now,
      now * 1000,
      0,
      1,
      now - 10_000_000,
      now + 10_000_000,
      -5,
      'yesterday',
      undefined,
    ]) {
      const own = await open();
      await heard('session-revoked', person(service, own.sub), { payload: { event_timestamp } });
      assert.equal(endOf(own), 'session_revoked', String(event_timestamp));
    }
  });

  test('L2 however late it comes, and by whichever clock', async () => {
    for (const late of [29 * 86_400, 3600, -3600, -86_400]) {
      const own = await open();
      await heard('session-revoked', person(service, own.sub), { claims: { iat: service.now - late } });
      assert.equal(endOf(own), 'session_revoked', String(late));
    }
  });

  test('L2 of the person that is meant and of nobody else, by each way to name one', async () => {
    const iss = service.issuer.issuer;
    const ways: readonly ((own: Open) => unknown)[] = [
      ({ sub }) => ({ format: 'iss_sub', iss, sub }),
      ({ email }) => ({ format: 'email', email }),
      ({ sub }) => ({ format: 'complex', user: { format: 'iss_sub', iss, sub } }),
      ({ sub }) => ({ user: { subject_type: 'iss-sub', iss, sub } }),
      ({ sub }) => ({
        format: 'complex',
        user: { format: 'iss_sub', iss, sub },
        device: { format: 'opaque', id: 'd' },
      }),
      ({ email }) => ({
        format: 'aliases',
        identifiers: [
          { format: 'did', url: 'did:x:1' },
          { format: 'email', email },
        ],
      }),
    ];
    for (const way of ways) {
      const first = await open();
      const second = await open({ sub: first.sub, email: first.email });
      const other = await open();
      await heard('session-revoked', way(first));
      assert.deepEqual([first, second, other].map(endOf), ['session_revoked', 'session_revoked', null], String(way));
      assert.equal((await other.holder.renew(other.handle, 'dev')).status, 200);
    }
  });

  test('L2 of one session at the IdP, alone or of a person', async () => {
    const session = ({ idp_sid }: Open) => ({ format: 'opaque', id: idp_sid });
    for (const way of [
      (own: Open) => session(own),
      (own: Open) => ({ format: 'complex', session: session(own) }),
      (own: Open) => ({ format: 'complex', user: person(service, own.sub), session: session(own) }),
    ]) {
      const here = await open();
      const elsewhere = await open({ sub: here.sub, email: here.email });
      await heard('session-revoked', way(here));
      assert.deepEqual([here, elsewhere].map(endOf), ['session_revoked', null], String(way));
    }
  });

  test('L2 in the form of the drafts, with the subject within the event', async () => {
    const own = await open();
    await heard('session-revoked', undefined, { payload: { subject: person(service, own.sub) } });
    assert.equal(endOf(own), 'session_revoked');
  });

  test('L2 durably before the 202, and the next request of who holds a token is denied', async () => {
    const own = await open();
    const asked = { user: `curfew:${own.email}`, sid: own.sid, jti: service.tokenId(own.sid) };
    const ask = () => askAuthorization(service.url, service.webhook_tokens.dev ?? '', asked);
    assert.equal((await ask()).denied, false);
    await heard('account-disabled', person(service, own.sub));
    assert.equal(endOf(own), 'account_disabled');
    const { denied, reason } = await ask();
    assert.ok(denied);
    assert.match(reason, /session is over: the account was disabled/);
  });
});

const ENDS = {
  'session-revoked': 'session_revoked',
  'device-compliance-change': 'device_compliance_change',
  'account-disabled': 'account_disabled',
  'account-purged': 'account_purged',
} as const;
const LOGINS = {
  'credential-change': 'credential_change',
  'assurance-level-change': 'assurance_level_change',
} as const;

describe('what an event does is policy', () => {
  for (const [event, reason] of Object.entries(ENDS)) {
    test(`L2 ${event} ends at once by itself`, async () => {
      const own = await open();
      await heard(event, person(service, own.sub));
      assert.equal(endOf(own), reason);
    });
  }

  for (const [event, reason] of Object.entries(LOGINS)) {
    test(`L2 ${event} lets tokens that are out live, and the next renewal wants a new login`, async () => {
      const own = await open();
      await heard(event, person(service, own.sub));
      assert.equal(endOf(own), null);
      const asked = { user: `curfew:${own.email}`, sid: own.sid, jti: service.tokenId(own.sid) };
      const { denied } = await askAuthorization(service.url, service.webhook_tokens.dev ?? '', asked);
      assert.equal(denied, false);
      const { refused } = await own.holder.renew(own.handle, 'dev');
      assert.deepEqual([refused.reason, refused.end_reason], ['session_ended', reason]);
      assert.equal(endOf(own), reason);
    });
  }

  test('L2 what makes things better does nothing', async () => {
    const own = await open();
    await heard('device-compliance-change', person(service, own.sub), { payload: { current_status: 'compliant' } });
    await heard('assurance-level-change', person(service, own.sub), { payload: { change_direction: 'increase' } });
    assert.equal((await own.holder.renew(own.handle, 'dev')).status, 200);
    const late = service.audit.filter((row) => row.event === 'signal').slice(-2);
    assert.deepEqual(
      late.map((row) => row.event === 'signal' && row.action),
      ['ignore', 'ignore'],
    );
  });

  test('a session that is to end at its renewal may do nothing in the meantime at our own API', async () => {
    const own = await open();
    await heard('credential-change', person(service, own.sub));
    const { status, body } = await own.holder.api(own.handle);
    assert.equal(status, 401);
    assert.equal((body as { reason?: string }).reason, 'session_ended');
    assert.equal(endOf(own), 'credential_change');
  });

  test('the configuration says otherwise, from the next event on', async () => {
    const signals = { 'session-revoked': 'ignore', 'credential-change': 'end', 'account-disabled': 'login' };
    await service.reload({ ...listening(service), policy: { ...TEST_POLICY, signals } });
    const [ignored, ended, marked] = [await open(), await open(), await open()];
    await heard('session-revoked', person(service, ignored.sub));
    await heard('credential-change', person(service, ended.sub));
    await heard('account-disabled', person(service, marked.sub));
    await service.reload(listening(service));
    assert.deepEqual([ignored, ended, marked].map(endOf), [null, 'credential_change', null]);
    assert.equal((await ignored.holder.renew(ignored.handle, 'dev')).status, 200);
    assert.equal((await marked.holder.renew(marked.handle, 'dev')).refused.end_reason, 'account_disabled');
  });
});

describe('S13 after a security event the IdP’s living single sign-on brings nothing back', () => {
  for (const event of [...Object.keys(ENDS), ...Object.keys(LOGINS)]) {
    test(`S13 ${event}: with a session, and for a person who had none`, async () => {
      const own = await open();
      const id = randomUUID();
      const none = { sub: `sub-${id}`, email: `${id}@example.com` };
      service.advance(10);
      await heard(event, person(service, own.sub));
      await heard(event, person(service, none.sub));
      service.advance(5);
      for (const { sub, email } of [own, none]) {
        const before = await service.login(service.holder(), { sub, email, auth_time: service.now - 6 });
        assert.equal(before.refused.reason, 'login_after');
        assert.equal((await service.login(service.holder(), { sub, email, auth_time: service.now })).status, 200);
      }
    });
  }
});

describe('where a session at the IdP cannot be told', () => {
  test('L2 one that names it alone is refused, and said; with the person, all of theirs end', async (t) => {
    const blind = await startTestService({ clusters: CLUSTERS });
    t.after(() => blind.stop());
    await blind.reload(listening(blind));
    const { granted } = await blind.login(blind.holder(), { sub: 'alice-sub' });
    const session = { format: 'opaque', id: 'unknown-here' };
    const alone = await pushSet(blind, setOf(blind, 'session-revoked', session));
    assert.deepEqual([alone.status, alone.body.err], [400, 'invalid_request']);
    assert.equal(sessionRow(blind.storeFile, granted.session.sid).end_reason, null);
    const both = { format: 'complex', user: person(blind, 'alice-sub'), session };
    assert.equal((await pushSet(blind, setOf(blind, 'session-revoked', both))).status, 202);
    assert.equal(sessionRow(blind.storeFile, granted.session.sid).end_reason, 'session_revoked');
  });

  test('L2 an e-mail address, where usernames are none, is refused', async (t) => {
    const other = await startTestService({ clusters: CLUSTERS });
    t.after(() => other.stop());
    await other.reload(listening(other));
    await other.restart({
      ...listening(other),
      identity_provider: {
        ...{ issuer: other.issuer.issuer, client_id: 'curfew', scopes: ['openid'], groups_claim: 'groups' },
        ...{ username_prefix: 'curfew:', groups_prefix: 'curfew:', allowed_groups: ['*'], username_claim: 'sub' },
      },
    });
    const { granted } = await other.login(other.holder());
    const set = setOf(other, 'session-revoked', { format: 'email', email: 'alice@example.com' });
    const { status, body } = await pushSet(other, set);
    assert.deepEqual([status, body.err], [400, 'invalid_request']);
    assert.equal(sessionRow(other.storeFile, granted.session.sid).end_reason, null);
  });
});

describe('while something is away', () => {
  test('L2 the transmitter’s keys: 503, and the same SET is good later', async (t) => {
    const fresh = await startTestService({ clusters: CLUSTERS });
    t.after(() => fresh.stop());
    await fresh.reload(listening(fresh));
    fresh.issuer.fault = '500';
    const set = setOf(fresh, 'session-revoked', person(fresh, 'x'));
    const { status, headers } = await pushSet(fresh, set);
    assert.equal(status, 503);
    assert.ok(headers.get('retry-after'));
    fresh.issuer.fault = undefined;
    fresh.advance(31);
    assert.equal((await pushSet(fresh, set)).status, 202);
  });

  test('L2 a transmitter taken out of the configuration is heard no more', async () => {
    const own = await open();
    const set = setOf(service, 'session-revoked', person(service, own.sub));
    await service.reload({});
    assert.equal((await pushSet(service, set)).status, 401);
    await service.reload(listening(service));
    assert.equal((await pushSet(service, set)).status, 202);
    assert.equal(endOf(own), 'session_revoked');
  });
});

describe('L1 a logout token and a SET with one jti are two', () => {
  for (const order of [
    ['logout_token', 'set'],
    ['set', 'logout_token'],
  ] as const) {
    test(`L1 ${order.join(', then ')}: each ends the sessions that it means, and once`, async () => {
      const jti = randomUUID();
      for (const kind of order) {
        const own = await open();
        const send = async () => {
          if (kind === 'set') {
            const set = setOf(service, 'session-revoked', person(service, own.sub), { claims: { jti } });
            return (await pushSet(service, set)).status;
          }
          return (await sendLogout(service, logoutToken(service, { jti, sub: own.sub }))).status;
        };
        assert.equal(await send(), kind === 'set' ? 202 : 200);
        assert.equal(endOf(own), kind === 'set' ? 'session_revoked' : 'idp_logout');
        const before = signalsOf(own.sub).length;
        assert.equal(await send(), kind === 'set' ? 202 : 400);
        assert.equal(signalsOf(own.sub).length, before);
      }
    });
  }
});
