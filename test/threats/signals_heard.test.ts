// L3, L4, L5: no signal of the identity provider is acknowledged and does nothing without a word: other spellings and old names, all
// sessions of somebody, names that nobody has, signals that are put off, and each event type of CAEP and RISC.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { after, before, beforeEach, describe, test } from 'node:test';
import { INERT_SIGNALS, SIGNALS, withDefaults } from '../../broker/audit_log/signals.ts';
import { listenAnywhere } from '../support/ports.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { listening, logoutToken, person, pushSet, sendLogout, setOf } from '../support/signals.ts';
import { sessionRow } from '../support/store_row.ts';

let service: TestService;
before(async () => {
  service = await startTestService({ metrics: { address: '127.0.0.1', port: 0 } });
  await service.reload(listening(service));
});
after(() => service.stop());
beforeEach(() => {
  service.issuer.fault = undefined;
});

async function open(more: Readonly<Record<string, unknown>> = {}) {
  const id = randomUUID();
  const claims = { sub: `sub-${id}`, email: `${id}@example.com`, sid: `idp-${id}`, ...more };
  const { granted } = await service.login(service.holder(), claims);
  const ended = () => sessionRow(service.storeFile, granted.session.sid).end_reason;
  return { ...claims, ended };
}

const email = (address: string) => ({ format: 'email', email: address });

/** @returns the row of the audit log, and how many lines of log and what counts came of it */
async function heard(subject: unknown, event = 'session-revoked', payload = {}) {
  const [rows, lines] = [service.audit.length, service.log.length];
  const before = await metric('curfew_signals_unmatched_total{source="push"}');
  const { status, body } = await pushSet(service, setOf(service, event, subject, { payload }));
  assert.deepEqual([status, body], [202, {}]);
  const signals = service.audit.slice(rows).flatMap((row) => (row.event === 'signal' ? [row] : []));
  const warned = service.log.slice(lines).filter((line) => /names a person or a session that is not known/.test(line));
  return {
    signals,
    warned: warned.length,
    unmatched: (await metric('curfew_signals_unmatched_total{source="push"}')) - before,
  };
}

async function metric(name: string): Promise<number> {
  const text = await (await fetch(service.metrics_url)).text();
  const line = text.split('\n').find((one) => one.startsWith(`${name} `));
  assert.ok(line, `${name} is there from the start`);
  return Number(line.slice(name.length + 1));
}

const SILENT = { warned: 0, unmatched: 0 };
const SAID = { warned: 1, unmatched: 1 };

describe('L3 a name in another spelling', () => {
  test('L3 whoever holds the name exactly is meant, and nobody else', async () => {
    const id = randomUUID();
    const [small, large] = [await open({ email: `${id}@example.com` }), await open({ email: `${id}@EXAMPLE.com` })];
    const { signals, ...said } = await heard(email(small.email));
    assert.deepEqual([small.ended(), large.ended()], ['session_revoked', null]);
    assert.deepEqual(said, SILENT);
    assert.equal(signals[0]?.matched_by, undefined);
  });

  for (const [what, spell] of [
    ['the domain', (name: string) => name.replace('example', 'EXAMPLE')],
    ['the person', (name: string) => name.toUpperCase().replace('EXAMPLE.COM', 'example.com')],
    ['all of it', (name: string) => name.toUpperCase()],
  ] as const) {
    test(`L3 ${what} in another case, where nobody holds it exactly: their sessions end, matched_by case`, async () => {
      const one = await open();
      const { signals, ...said } = await heard(email(spell(one.email)));
      assert.equal(one.ended(), 'session_revoked');
      assert.deepEqual([signals.length, signals[0]?.matched_by, signals[0]?.sub], [1, 'case', one.sub]);
      assert.deepEqual(said, SILENT);
    });
  }

  test('L3 several who hold it in other spellings: all of them', async () => {
    const id = randomUUID();
    const [a, b] = [await open({ email: `${id}@example.com` }), await open({ email: `${id}@Example.com` })];
    const { signals } = await heard(email(`${id}@EXAMPLE.COM`));
    assert.deepEqual([a.ended(), b.ended()], ['session_revoked', 'session_revoked']);
    assert.deepEqual(
      signals.map(({ matched_by }) => matched_by),
      ['case', 'case'],
    );
  });

  test('L3 only ASCII letters are folded', async () => {
    const one = await open({ email: `ä-${randomUUID()}@example.com` });
    assert.equal((await heard(email(one.email.replace('ä', 'Ä')))).warned, 1);
    assert.equal(one.ended(), null);
  });

  test('L3 an old name, in any case, while nobody else holds it', async () => {
    for (const spell of [(name: string) => name, (name: string) => name.toUpperCase()]) {
      const old = await open();
      const renamed = await open({ sub: old.sub, email: `new-${old.email}` });
      const { signals, ...said } = await heard(email(spell(old.email)));
      assert.equal(renamed.ended(), 'session_revoked');
      assert.deepEqual([signals[0]?.matched_by, signals[0]?.sub], ['old_name', old.sub]);
      assert.deepEqual(said, SILENT);
    }
  });

  test('L3 that nobody holds or held: a warning, a metric, a row', async () => {
    const { signals, ...said } = await heard(email(`${randomUUID()}@example.com`));
    assert.deepEqual(said, SAID);
    assert.deepEqual([signals[0]?.sessions, signals[0]?.unmatched], [0, true]);
  });
});

describe('L3 whom a subject means', () => {
  const complex = (one: { sub: string }, id: string) => ({
    format: 'complex',
    user: person(service, one.sub),
    session: { format: 'opaque', id },
    tenant: { format: 'opaque', id: 'main' },
  });

  test('L3 the session ALL with a user is all sessions of that user, and of nobody else', async () => {
    const [one, other] = [await open(), await open()];
    const second = await open({ sub: one.sub, email: one.email });
    const { signals, ...said } = await heard(complex(one, 'ALL'));
    assert.deepEqual([one.ended(), second.ended(), other.ended()], ['session_revoked', 'session_revoked', null]);
    assert.deepEqual([signals[0]?.sessions, signals[0]?.idp_sid], [2, undefined]);
    assert.deepEqual(said, SILENT);
  });

  test('L3 the session ALL by the e-mail address of the user, and within a draft’s subject', async () => {
    const one = await open();
    await heard({ user: email(one.email.toUpperCase()), session: { subject_type: 'opaque', id: 'ALL' } });
    assert.equal(one.ended(), 'session_revoked');
  });

  test('L3 the session ALL alone is nobody: refused, and everybody goes on', async () => {
    const one = await open();
    for (const subject of [
      { format: 'opaque', id: 'ALL' },
      { format: 'complex', session: { format: 'opaque', id: 'ALL' } },
    ]) {
      const { status, body } = await pushSet(service, setOf(service, 'session-revoked', subject));
      assert.equal(status, 400);
      assert.match(String(body.description), /all sessions, and no user/);
    }
    assert.equal(one.ended(), null);
  });

  test('L3 a user and a session that is not known: a warning and a metric; the other sessions of the user go on', async () => {
    const one = await open();
    const { signals, ...said } = await heard(complex(one, 'another'));
    assert.deepEqual(said, SAID);
    assert.deepEqual([signals[0]?.sub, signals[0]?.idp_sid, signals[0]?.unmatched], [one.sub, 'another', true]);
    assert.equal(one.ended(), null);
  });

  test('L3 a user and a session that is over already: nothing is said', async () => {
    const one = await open();
    await heard(complex(one, one.sid));
    assert.deepEqual([(await heard(complex(one, one.sid))).warned, one.ended()], [0, 'session_revoked']);
  });

  test('L3 a sub, or a session, that is not known: a warning and a metric', async () => {
    for (const subject of [person(service, 'nobody'), { format: 'opaque', id: 'nowhere' }]) {
      const { signals: _, ...said } = await heard(subject);
      assert.deepEqual(said, SAID);
    }
  });

  test('L3 of several aliases the sub counts, wherever it stands', async () => {
    const one = await open();
    const identifiers = [email('nobody@example.com'), person(service, one.sub)];
    await heard({ format: 'aliases', identifiers });
    assert.equal(one.ended(), 'session_revoked');
  });

  test('L3 a logout token for somebody unknown: 200, a warning and a metric', async () => {
    const before = await metric('curfew_signals_unmatched_total{source="backchannel_logout"}');
    const one = await open();
    for (const claims of [{ sub: 'nobody' }, { sid: 'nowhere' }, { sub: one.sub, sid: 'nowhere' }]) {
      const lines = service.log.length;
      assert.equal((await sendLogout(service, logoutToken(service, claims))).status, 200);
      assert.match(service.log.slice(lines).join(''), /names a person or a session that is not known/);
    }
    assert.equal(await metric('curfew_signals_unmatched_total{source="backchannel_logout"}'), before + 3);
    assert.equal(one.ended(), null);
  });
});

describe('L5 each event type', () => {
  const defaults = withDefaults();
  for (const signal of SIGNALS) {
    test(`L5 ${signal}: ${defaults[signal]} by itself, and what the policy says`, async () => {
      const one = await open();
      const { signals } = await heard(person(service, one.sub), signal);
      assert.equal(signals[0]?.action, defaults[signal]);
      const reason = signal.replaceAll('-', '_');
      assert.equal(one.ended(), defaults[signal] === 'end' ? reason : null);
      const policy = (action: string) => ({ policy: { limits: LIMITS, signals: { [signal]: action } } });
      for (const [action, end] of [
        ['ignore', null],
        ['end', reason],
      ] as const) {
        await service.reload({ ...policy(action), ...listening(service) });
        const two = await open();
        await heard(person(service, two.sub), signal);
        assert.equal(two.ended(), end);
      }
      await service.reload(listening(service));
    });
  }
  const LIMITS = { max_age: '1h', inactivity_timeout: '30m', token_ttl: '5m' };

  for (const signal of INERT_SIGNALS) {
    test(`L5 ${signal} does nothing`, async () => {
      const one = await open();
      const { signals, ...said } = await heard(person(service, one.sub), signal);
      assert.deepEqual([signals[0]?.action, one.ended(), said], ['ignore', null, SILENT]);
    });
  }

  test('L5 of a type that is not known: a warning', async () => {
    const lines = service.log.length;
    await heard(person(service, 'somebody'), 'https://example.com/event/other');
    assert.match(service.log.slice(lines).join(''), /type that is not known here does nothing/);
  });

  test('L5 RISC’s own subject forms are understood', async () => {
    const { issuer: iss } = service.issuer;
    for (const form of ['iss-sub', 'iss_sub', 'id_token_claims', 'id-token-claims']) {
      const one = await open();
      await heard(undefined, 'sessions-revoked', { subject: { subject_type: form, iss, sub: one.sub } });
      assert.equal(one.ended(), 'sessions_revoked');
    }
    const one = await open();
    await heard(undefined, 'sessions-revoked', { subject: { subject_type: 'id_token_claims', email: one.email } });
    assert.equal(one.ended(), 'sessions_revoked');
  });

  test('L5 a risk level that is low now does nothing', async () => {
    const one = await open();
    for (const [current_level, action] of [
      ['LOW', 'ignore'],
      ['HIGH', 'login'],
      [undefined, 'login'],
    ] as const) {
      const { signals } = await heard(person(service, one.sub), 'risk-level-change', { current_level });
      assert.equal(signals[0]?.action, action);
    }
  });
});

describe('L4 a signal that is put off', () => {
  /** A transmitter whose keys are away, at a port where nobody listens. */
  const away = () => listening(service, { jwks_uri: 'http://127.0.0.1:1/jwks' });

  test('L4 a pushed one: 503, a line, a metric and one row, which the next ones are counted in', async () => {
    await service.reload(away());
    const name = 'curfew_signals_put_off_total{source="push",reason="identity_provider"}';
    const before = await metric(name);
    const [rows, lines] = [service.audit.length, service.log.length];
    const set = setOf(service, 'session-revoked', person(service, 'x'));
    for (let i = 0; i < 20; i++) assert.equal((await pushSet(service, set)).status, 503);
    assert.equal(await metric(name), before + 20);
    const refusals = service.audit.slice(rows).filter((row) => row.event === 'refusal');
    assert.deepEqual(
      refusals.map((row) => [row.grant, row.reason]),
      [['push', 'identity_provider']],
    );
    assert.equal(service.log.slice(lines).filter((line) => /was put off/.test(line)).length, 1);
    service.advance(60);
    await service.sweep();
    const counted = service.audit
      .slice(rows)
      .filter((row) => row.event === 'refusal' && row.reason === 'identity_provider');
    assert.equal(counted.length, 2);
    await service.reload(listening(service));
  });

  test('L4 a logout token while the keys of the identity provider are away, from a cold start', async () => {
    const cold = await startTestService({ metrics: { address: '127.0.0.1', port: 0 } });
    try {
      cold.issuer.fault = '500';
      assert.equal((await sendLogout(cold, logoutToken(cold, { sub: 'x' }))).status, 503);
      assert.ok(cold.log.some((line) => /"backchannel_logout".*was put off/.test(line)));
      const text = await (await fetch(cold.metrics_url)).text();
      assert.match(text, /curfew_signals_put_off_total\{source="backchannel_logout",reason="identity_provider"\} 1\n/);
      assert.ok(cold.audit.some((row) => row.event === 'refusal' && row.grant === 'backchannel_logout'));
    } finally {
      await cold.stop();
    }
  });

  test('L4 metadata is looked for between host and path, and beneath the path', async () => {
    const keys = await (await fetch(`${service.issuer.issuer}/jwks`)).text();
    let place = '';
    let other = '{}';
    const web = createServer((request, response) => {
      const send = (status: number, body: string) => void response.writeHead(status).end(body);
      if (request.url === '/keys') return send(200, keys);
      if (request.url === place) return send(200, JSON.stringify({ issuer, jwks_uri: `${origin}/keys` }));
      return other === '' ? send(404, '') : send(200, other);
    });
    const origin = `http://127.0.0.1:${await listenAnywhere(web, '127.0.0.1')}`;
    let issuer = '';
    try {
      let n = 0;
      for (const [path, where] of [
        ['/auth/realms/corp', (at: string) => `/.well-known/ssf-configuration${at}`],
        ['/auth/realms/corp', (at: string) => `${at}/.well-known/ssf-configuration`],
        ['', () => '/.well-known/ssf-configuration'],
      ] as const) {
        // what the other place answers: nothing, a page, the metadata of another
        for (other of ['', '<h1>not here</h1>', '{}', JSON.stringify({ issuer: origin, jwks_uri: `${origin}/no` })]) {
          const at = path && `${path}-${n++}`;
          issuer = `${origin}${at}`;
          place = where(at);
          await service.reload(listening(service, { issuer, jwks_uri: undefined }));
          const one = await open();
          const { status, body } = await pushSet(
            service,
            setOf(service, 'session-revoked', person(service, one.sub), { claims: { iss: issuer } }),
          );
          assert.deepEqual([status, one.ended()], [202, 'session_revoked'], `${place}: ${JSON.stringify(body)}`);
        }
      }
      place = 'nowhere';
      issuer = `${origin}/lost`;
      await service.reload(listening(service, { issuer, jwks_uri: undefined }));
      const set = setOf(service, 'session-revoked', person(service, 'x'), { claims: { iss: issuer } });
      const lost = await pushSet(service, set);
      assert.equal(lost.status, 503);
      assert.match(
        service.log.at(-1) ?? '',
        /neither at \/.well-known\/ssf-configuration\/lost nor \/lost\/.well-known/,
      );
    } finally {
      web.close();
      await service.reload(listening(service));
    }
  });
});
