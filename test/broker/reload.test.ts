// The configuration read again while the broker runs: what a tighter policy does to living sessions, that a looser one
// revives nothing, and that a file that cannot be used changes nothing.

import assert from 'node:assert/strict';
import { mkdtemp } from 'node:fs/promises';
import path from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import type { PolicyEvent } from '../../broker/audit_log/events.ts';
import { CurfewError } from '../../shared/errors.ts';
import { createCertificateAuthority } from '../support/certificates.ts';
import { identityProvider, startTestService, type TestService } from '../support/service.ts';
import { openStoreDatabase } from '../support/store_database.ts';

const LIMITS = { max_age: '1h', inactivity_timeout: '30m', token_ttl: '5m' };
const PROD = { name: 'prod', match: { clusters: ['prod-*'] } };
const policy = (limits: object, ...segments: object[]) => ({ policy: { limits: { ...LIMITS, ...limits }, segments } });
const prodEu = (more: object) => ({
  clusters: [
    { name: 'dev', server: 'https://127.0.0.1:1', audience: 'dev', allowed_groups: ['*'] },
    { name: 'prod-eu', server: 'https://127.0.0.1:2', audience: 'prod-eu', allowed_groups: ['sre'], ...more },
  ],
});

let service: TestService;

/** A person of a test's own, as an end sets `login_after` for the person. */
let people = 0;

async function open() {
  people += 1;
  const holder = service.holder();
  const who = { sub: `person-${people}`, email: `person-${people}@example.com` };
  const { refresh_token = '', session } = (await service.login(holder, who)).granted;
  return {
    sid: session.sid,
    end_at_most: session.end_at_most,
    renew: (audience: string) => holder.renew(refresh_token, audience),
    ends: () =>
      service.audit.flatMap((event) => (event.event === 'end' && event.sid === session.sid ? [event.reason] : [])),
  };
}

const outcomes = () => service.audit.filter((event): event is PolicyEvent => event.event === 'policy');

describe('a policy that was reloaded', () => {
  before(async () => {
    service = await startTestService();
  });
  afterEach(() => service.restart());
  after(() => service.stop());

  test('S11 tighter session-wide ends a living session at its next renewal, and is recorded before', async () => {
    const { renew, ends } = await open();
    service.advance(600);
    const { outcome } = await service.reload(policy({ max_age: '10m' }));
    assert.equal(outcome, 'reloaded');
    assert.equal((await renew('dev')).refused.reason, 'login_too_old');
    assert.deepEqual(ends(), ['max_age']);
    const rows = service.audit.filter(({ event }) => event === 'policy' || event === 'end');
    const [reloaded, end] = rows.slice(-2);
    assert.ok(reloaded?.event === 'policy' && reloaded.outcome === 'reloaded' && end?.event === 'end');
    assert.match(reloaded.digest, /^[0-9a-f]{64}$/);
  });

  test('S11 tighter lowers the end of a living session, also when it is loosened again', async () => {
    const { renew, end_at_most } = await open();
    await service.reload(policy({ max_age: '20m' }));
    const lowered = (await renew('dev')).granted.session.end_at_most;
    assert.equal(lowered, end_at_most - 2400);
    await service.reload(policy({ max_age: '2h' }));
    assert.equal((await renew('dev')).granted.session.end_at_most, lowered);
    service.advance(1199);
    assert.equal((await renew('dev')).granted.expires_in, 1);
    service.advance(1);
    assert.equal((await renew('dev')).refused.reason, 'login_too_old');
  });

  test('S11 a session that was idle for longer than a tighter inactivity_timeout allows is over at its next renewal', async () => {
    const { renew, ends } = await open();
    service.advance(900);
    assert.equal((await renew('dev')).status, 200);
    service.advance(60);
    await service.reload(policy({ inactivity_timeout: '15m' }));
    assert.equal((await renew('dev')).refused.reason, 'idle_too_long');
    assert.deepEqual(ends(), ['inactivity_timeout']);
  });

  test('S11 tighter for a segment denies that segment and ends nothing', async () => {
    const { renew, ends } = await open();
    service.advance(300);
    assert.equal((await renew('prod-eu')).status, 200);
    await service.reload(policy({}, { ...PROD, limits: { max_age: '5m' } }));
    assert.equal((await renew('prod-eu')).refused.reason, 'login_too_old');
    assert.equal((await renew('dev')).status, 200);
    assert.deepEqual(ends(), []);
  });

  test('S11 with an acr, a rule, a ceiling or fewer groups denies a living session at its next renewal', async () => {
    const { renew } = await open();
    service.advance(60);
    for (const [changes, reason] of [
      [policy({}, { ...PROD, limits: { acr: ['mfa'] } }), 'acr_too_low'],
      [
        {
          policy: {
            limits: LIMITS,
            rules: [{ name: 'r', when: 'true', match: PROD.match, limits: { max_age: '30s' } }],
          },
        },
        'login_too_old',
      ],
      [prodEu({ ceiling: { max_age: '30s' } }), 'login_too_old'],
      [prodEu({ allowed_groups: ['platform'] }), 'invalid_target'],
      [{ clusters: prodEu({}).clusters.slice(0, 1) }, 'invalid_target'],
    ] as const) {
      assert.equal((await service.reload(changes)).outcome, 'reloaded');
      assert.equal((await renew('prod-eu')).refused.reason, reason);
      assert.equal((await renew('dev')).status, 200);
    }
    await service.reload();
    assert.equal((await renew('prod-eu')).status, 200);
  });

  test('what a reload changes of who is admitted is told with the next renewal', async () => {
    const { renew } = await open();
    const told = async () => (await renew('dev')).granted.not_admitted;
    assert.equal(await told(), undefined);
    await service.reload(prodEu({ allowed_groups: ['platform'] }));
    assert.deepEqual(await told(), ['prod-eu']);
    await service.reload();
    assert.equal(await told(), undefined);
  });

  test('S11 with a group taken out of allowed_groups ends the sessions that came in by it', async () => {
    const { renew, ends } = await open();
    const narrower = identityProvider(service.issuer.issuer, { allowed_groups: ['platform'] });
    assert.equal((await service.reload({ identity_provider: narrower })).outcome, 'reloaded');
    assert.equal((await renew('dev')).refused.reason, 'not_admitted');
    assert.deepEqual(ends(), ['policy']);
    await service.reload();
    assert.equal((await renew('dev')).refused.reason, 'session_ended');
  });

  test('S14 looser brings no ended session back and lengthens no living one', async () => {
    const [ended, living] = [await open(), await open()];
    await service.reload(policy({ max_age: '10m' }));
    service.advance(600);
    assert.equal((await ended.renew('dev')).refused.reason, 'login_too_old');
    await service.reload(policy({ max_age: '12h', inactivity_timeout: '6h' }));
    assert.equal((await ended.renew('dev')).refused.reason, 'session_ended');
    assert.equal((await living.renew('dev')).granted.session.end_at_most, living.end_at_most);
  });

  test('S14 looser leaves an end that came while nobody asked', async () => {
    const { renew, ends } = await open();
    service.advance(1800);
    await service.reload(policy({ max_age: '12h', inactivity_timeout: '6h' }));
    assert.equal((await renew('dev')).refused.reason, 'idle_too_long');
    await service.outlastDoubt();
    assert.deepEqual(ends(), ['inactivity_timeout']);
  });

  test('is what new logins and the metadata go by', async () => {
    await service.reload(policy({ max_age: '20m' }));
    const { end_at_most } = await open();
    assert.equal(end_at_most, service.now + 1200);
    const metadata = (await (await fetch(`${service.url}/.well-known/curfew`)).json()) as {
      limits: { max_age: number };
    };
    assert.equal(metadata.limits.max_age, 1200);
  });
});

describe('a configuration that cannot be taken over', () => {
  before(async () => {
    service = await startTestService();
  });
  after(() => service.stop());

  test('F9 is said in log and record with its faults, and the old one stays', async () => {
    const { renew } = await open();
    const before = outcomes().length;
    const broken = { policy: { limits: { ...LIMITS, max_age: '15 min' }, segmnts: [] } };
    const outcome = await service.reload(broken);
    assert.ok(outcome.outcome === 'refused');
    const expected = [/policy\.limits\.max_age: expected a duration/, /policy\.segmnts: unknown setting/];
    for (const fault of expected)
      assert.ok(
        outcome.faults.some((line) => fault.test(line)),
        outcome.faults.join('\n'),
      );
    const [row, ...more] = outcomes().slice(before);
    assert.deepEqual([row?.outcome, row?.faults, more], ['refused', outcome.faults, []]);
    const said = service.log.map((line) => JSON.parse(line) as { level: number; msg: string; faults?: unknown });
    assert.deepEqual(said.filter(({ level, faults }) => level === 50 && faults).at(-1)?.faults, outcome.faults);
    assert.equal((await renew('dev')).granted.session.limits.session.max_age, 3600);
    assert.equal((await service.reload()).outcome, 'same');
  });

  test('F9 with a rule that cannot be parsed keeps the old rules', async () => {
    const { renew } = await open();
    const rule = { name: 'r', when: 'user.nme == "a"', limits: { max_age: '1m' } };
    const outcome = await service.reload({ policy: { limits: LIMITS, rules: [rule] } });
    assert.ok(
      outcome.outcome === 'refused' && /policy\.rules\[0\]\.when: unknown field: user\.nme/.test(outcome.faults.join()),
    );
    assert.equal((await renew('dev')).status, 200);
  });

  for (const [setting, changes] of [
    ['issuer', { issuer: 'https://other.example.com' }],
    ['listen', { listen: { address: '127.0.0.1', port: 1 } }],
    ['trusted_proxies', { trusted_proxies: ['10.0.0.0/8'] }],
    ['metrics', { metrics: { address: '127.0.0.1', port: 1 } }],
    ['store', { store: { sqlite: { file: 'other.db' } } }],
    ['identity_provider.username_prefix', { username_prefix: 'other:' }],
    ['identity_provider.client_id', { client_id: 'other' }],
    ['identity_provider.clock_skew', { clock_skew: '1s' }],
    ['identity_provider.client_secret', { client_secret: 'given-out' }],
  ] as const) {
    test(`as ${setting} takes effect at a restart only is refused by that name, and nothing of it holds`, async () => {
      const { renew } = await open();
      const section = setting.startsWith('identity_provider.')
        ? { identity_provider: identityProvider(service.issuer.issuer, changes) }
        : changes;
      const outcome = await service.reload({ ...section, ...policy({ max_age: '1s' }) });
      assert.ok(outcome.outcome === 'refused', outcome.outcome);
      assert.deepEqual(outcome.faults, [`${setting}: takes effect at a restart only`]);
      assert.equal(outcomes().at(-1)?.outcome, 'refused');
      service.advance(1);
      assert.equal((await renew('dev')).status, 200);
    });
  }

  test('names all that differs, and the setting as it is written', async () => {
    const ca = await caFile();
    const changes = { issuer: 'https://other.example.com', issuer_ca_file: ca, trusted_proxies: ['10.0.0.1'] };
    const section = identityProvider(service.issuer.issuer, { ca_file: ca, scopes: ['openid'] });
    const outcome = await service.reload({ ...changes, identity_provider: section });
    assert.ok(outcome.outcome === 'refused');
    assert.deepEqual(outcome.faults.map((fault) => fault.split(':', 1)[0]).sort(), [
      'identity_provider.ca_file',
      'identity_provider.scopes',
      'issuer',
      'issuer_ca_file',
      'trusted_proxies',
    ]);
  });

  test('is not taken over when it could not be recorded: no policy holds that the audit log does not know', async () => {
    const { renew } = await open();
    await service.reload();
    const database = openStoreDatabase(service.storeFile);
    database.exec('alter table audit rename to elsewhere');
    const reload = service.reload(policy({ max_age: '10s' }));
    await assert.rejects(reload, (error) => error instanceof CurfewError && error.code === 'store');
    database.exec('alter table elsewhere rename to audit');
    database.close();
    service.advance(60);
    assert.equal((await renew('dev')).status, 200);
    assert.equal((await service.reload(policy({ max_age: '10s' }))).outcome, 'reloaded');
    assert.equal((await renew('dev')).refused.reason, 'login_too_old');
  });

  test('is none when nothing changed: no row, no word', async () => {
    await service.reload();
    const [rows, lines] = [service.audit.length, service.log.length];
    assert.deepEqual(await service.reload(), { outcome: 'same' });
    assert.deepEqual([service.audit.length, service.log.length], [rows, lines]);
  });
});

async function caFile(): Promise<string> {
  const folder = await mkdtemp(path.join(path.dirname(service.configFile), 'ca-'));
  return (await createCertificateAuthority(folder)).caFile;
}
