// Rules where they act: at exchange and renewal, over real HTTP and SQLite, with a clock that the test sets.

import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import type { Yield } from '../../shared/policy.ts';
import type { Holder } from '../support/holder.ts';
import { askAuthorization } from '../support/review.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { sessionRow } from '../support/store_row.ts';

const HOUR = 3600;
const LIMITS = { max_age: '12h', inactivity_timeout: '6h', token_ttl: '5m' };
const PROD = { name: 'prod-eu', server: 'https://127.0.0.1:2', audience: 'prod-eu', allowed_groups: ['sre'] };
const CLUSTERS = [
  {
    ...{ name: 'dev', server: 'https://127.0.0.1:1', audience: 'dev', allowed_groups: ['*'] },
    webhook: { token_file: 'dev-hook', on_failure: 'deny' },
  },
  { ...PROD, labels: { tier: 'gold' }, webhook: { token_file: 'prod-eu-hook', on_failure: 'deny' } },
];
const rules = (...list: object[]) => ({
  clusters: CLUSTERS,
  policy: { limits: LIMITS, rules: list.map((rule, i) => ({ name: `rule-${i}`, ...rule })) },
});

let service: TestService;
let people = 0;

async function open(more: Readonly<Record<string, unknown>> = {}, fields: Readonly<Record<string, string>> = {}) {
  people += 1;
  const holder = service.holder();
  const who = { sub: `person-${people}`, email: `person-${people}@example.com`, ...more };
  const { refresh_token = '', session } = (await service.login(holder, who, fields)).granted;
  return { holder, handle: refresh_token, sid: session.sid, user: session.username, who };
}

const yieldsOf = (sid: string) => JSON.parse(String(sessionRow(service.storeFile, sid).yields)) as Yield[];
const rulesIn = (sid: string) => yieldsOf(sid).map(({ rule, cluster }) => (cluster ? `${rule} in ${cluster}` : rule));
const ends = (sid: string) =>
  service.audit.flatMap((event) => (event.event === 'end' && event.sid === sid ? [event.reason] : []));
const events = <E extends string>(event: E, sid?: string) =>
  service.audit.filter((one) => one.event === event && (sid === undefined || one.sid === sid));

async function renewed(holder: Holder, handle: string, audience: string): Promise<'granted' | string> {
  const answer = await holder.renew(handle, audience);
  return answer.status === 200 ? 'granted' : answer.refused.reason;
}

before(async () => {
  service = await startTestService(rules());
});
after(() => service.stop());
afterEach(() => service.reload());

describe('a rule that names no target', () => {
  const contractors = { when: '"contractors" in user.groups', limits: { max_age: '10m' } };

  test('ends the session at its limit, to the second, of those for whom it holds alone', async () => {
    await service.reload(rules(contractors));
    const [contractor, other] = [await open({ groups: ['sre', 'contractors'] }), await open()];
    service.advance(599);
    assert.equal((await contractor.holder.renew(contractor.handle, 'dev')).granted.expires_in, 1);
    service.advance(1);
    const { refused } = await contractor.holder.renew(contractor.handle, 'dev');
    assert.deepEqual([refused.error, refused.reason], ['login_required', 'login_too_old']);
    assert.deepEqual(ends(contractor.sid), ['max_age']);
    assert.equal(await renewed(other.holder, other.handle, 'dev'), 'granted');
  });

  test('is known from the login on: its end is stored, and the audit log names the rule', async () => {
    await service.reload(rules(contractors));
    const { holder, handle, sid } = await open({ groups: ['contractors'] });
    assert.equal(sessionRow(service.storeFile, sid).end_at_most, service.now + 600);
    assert.deepEqual(rulesIn(sid), ['rule-0']);
    await holder.renew(handle, 'dev');
    for (const event of ['login', 'mint'] as const) {
      const [row] = events(event, sid);
      assert.ok(row && 'rules' in row);
      assert.deepEqual(row.rules, ['rule-0']);
    }
  });

  test('ends it also while nobody asks', async () => {
    await service.reload(rules({ when: 'true', limits: { inactivity_timeout: '10m' } }));
    const { sid } = await open();
    service.advance(600);
    await service.sweep();
    assert.deepEqual(ends(sid), ['inactivity_timeout']);
  });

  test('lowers the end for good, though it holds no longer', async () => {
    await service.reload(rules({ when: 'request.time.getHours() >= 20', limits: { max_age: '3h' } }));
    service.advance(secondsUntil(19));
    const { holder, handle, sid } = await open();
    assert.deepEqual(rulesIn(sid), []);
    service.advance(HOUR);
    assert.equal(await renewed(holder, handle, 'dev'), 'granted');
    assert.deepEqual(rulesIn(sid), ['rule-0']);
    await service.reload(rules());
    assert.equal(await renewed(holder, handle, 'dev'), 'granted');
    assert.deepEqual(rulesIn(sid), []);
    service.advance(2 * HOUR);
    assert.equal(await renewed(holder, handle, 'dev'), 'login_too_old');
  });
});

describe('a rule that names a target', () => {
  test('denies that target alone, and ends nothing', async () => {
    await service.reload(rules({ when: 'true', match: { clusters: ['prod-*'] }, limits: { max_age: '10m' } }));
    const { holder, handle, sid } = await open();
    service.advance(600);
    assert.equal(await renewed(holder, handle, 'prod-eu'), 'login_too_old');
    assert.equal(await renewed(holder, handle, 'dev'), 'granted');
    assert.deepEqual(ends(sid), []);
  });

  test('is kept with the session: the webhook goes by what was yielded at the last renewal', async () => {
    const payments = { match: { namespaces: ['payments'] }, limits: { max_age: '10m' } };
    await service.reload(rules({ when: '!inNetwork(request.address, "10.0.0.0/8")', ...payments }));
    const { holder, handle, sid, user } = await open();
    await holder.renew(handle, 'dev');
    service.advance(600);
    const ask = async (namespace: string) => {
      const token = service.webhook_tokens.dev ?? '';
      const asked = { user, sid, jti: service.tokenId(sid), attributes: { namespace } };
      return (await askAuthorization(service.url, token, asked)).denied;
    };
    assert.deepEqual([await ask('payments'), await ask('default')], [true, false]);
    // What rules yield changes at the next renewal, not before.
    await service.reload(rules());
    assert.equal(await ask('payments'), true);
    await holder.renew(handle, 'dev');
    assert.equal(await ask('payments'), false);
  });

  test('that wants a stronger login says which, and lets a stronger one in', async () => {
    await service.reload(
      rules({ when: 'user.acr != "mfa"', match: { clusters: ['prod-*'] }, limits: { acr: ['mfa'] } }),
    );
    const { refused } = await service.login(
      service.holder(),
      { sub: 'weak', email: 'weak@example.com' },
      { audience: 'prod-eu' },
    );
    assert.deepEqual([refused.error, refused.acr_values], ['insufficient_user_authentication', 'mfa']);
    const strong = await open({ acr: 'mfa' }, { audience: 'prod-eu' });
    assert.equal(await renewed(strong.holder, strong.handle, 'prod-eu'), 'granted');
  });
});

test('rules that together want what no login has deny it, and ask for no level', async () => {
  const match = { clusters: ['prod-*'] };
  await service.reload(rules(...['mfa', 'hwk'].map((acr) => ({ when: 'true', match, limits: { acr: [acr] } }))));
  const { holder, handle } = await open({ acr: 'mfa' });
  const { status, refused } = await holder.renew(handle, 'prod-eu');
  assert.deepEqual([status, refused.reason, refused.acr_values], [400, 'acr_too_low', undefined]);
  assert.match(refused.error_description, /no authentication level \(acr\) meets every requirement/);
});

describe('a rule that looks at the cluster', () => {
  const gold = { when: '"tier" in cluster.labels && cluster.labels.tier == "gold"', limits: { max_age: '10m' } };

  test('is for that cluster alone, and is not evaluated at a login for none', async () => {
    await service.reload(rules(gold));
    const { holder, handle, sid } = await open();
    assert.deepEqual(rulesIn(sid), []);
    service.advance(600);
    assert.equal(await renewed(holder, handle, 'prod-eu'), 'login_too_old');
    assert.equal(await renewed(holder, handle, 'dev'), 'granted');
    assert.deepEqual(ends(sid), []);
  });

  test('is kept while another cluster is asked for, and replaced when its own is', async () => {
    await service.reload(rules(gold));
    const { holder, handle, sid } = await open();
    await holder.renew(handle, 'prod-eu');
    assert.deepEqual(rulesIn(sid), ['rule-0 in prod-eu']);
    await holder.renew(handle, 'dev');
    assert.deepEqual(rulesIn(sid), ['rule-0 in prod-eu']);
    await service.reload(rules({ ...gold, when: 'cluster.name == "nowhere"' }));
    await holder.renew(handle, 'dev');
    assert.deepEqual(rulesIn(sid), ['rule-0 in prod-eu']);
    await holder.renew(handle, 'prod-eu');
    assert.deepEqual(rulesIn(sid), []);
  });

  test('is stored also when what it yields denies the renewal', async () => {
    const { holder, handle, sid } = await open();
    await service.reload(rules(gold));
    service.advance(600);
    assert.equal(await renewed(holder, handle, 'prod-eu'), 'login_too_old');
    assert.deepEqual(rulesIn(sid), ['rule-0 in prod-eu']);
  });

  test("is stored also by the holder's own retry of a login, for another cluster", async () => {
    await service.reload(rules(gold, { when: 'cluster.name == "dev"', limits: { max_age: '20m' } }));
    const holder = service.holder();
    const claims = service.claims(holder, { sub: 'retry', email: 'retry@example.com' });
    const token = service.issuer.sign(claims);
    const { session } = (await holder.exchange(token, { audience: 'dev' })).granted;
    assert.equal((await holder.exchange(token, { audience: 'prod-eu' })).granted.session.sid, session.sid);
    assert.deepEqual(rulesIn(session.sid).sort(), ['rule-0 in prod-eu', 'rule-1 in dev']);
  });
});

describe('a rule that cannot be evaluated', () => {
  const broken = { name: 'labelled', when: 'cluster.labels.tier == "gold"', limits: { max_age: '10m' } };

  test('refuses the renewal by name with rule_error, in the audit log too, and ends nothing', async () => {
    const { holder, handle, sid, user } = await open();
    await service.reload(rules(broken));
    const { status, refused } = await holder.renew(handle, 'dev');
    assert.deepEqual([status, refused.error, refused.reason], [400, 'invalid_grant', 'rule_error']);
    assert.match(refused.error_description, /the rule labelled /);
    const row = events('refusal', sid).at(-1);
    assert.ok(row?.event === 'refusal');
    const { reason, rule, cluster, username, grant } = row;
    assert.deepEqual([reason, rule, cluster, username, grant], ['rule_error', 'labelled', 'dev', user, 'renewal']);
    assert.equal(await renewed(holder, handle, 'prod-eu'), 'granted');
    assert.deepEqual(ends(sid), []);
  });

  test('refuses the login for that cluster and not for another, and opens no session', async () => {
    await service.reload(rules(broken));
    const who = { sub: 'broken', email: 'broken@example.com' };
    const opened = events('login').length;
    const { status, refused } = await service.login(service.holder(), who, { audience: 'dev' });
    assert.deepEqual([status, refused.reason], [400, 'rule_error']);
    assert.equal(events('login').length, opened);
    const row = events('refusal').at(-1);
    assert.ok(row?.event === 'refusal' && row.rule === 'labelled' && row.username === 'curfew:broken@example.com');
    assert.equal((await service.login(service.holder(), who, { audience: 'prod-eu' })).status, 200);
    assert.equal((await service.login(service.holder(), { ...who, jti: '2' })).status, 200);
  });

  test('uses the DPoP proof up all the same', async () => {
    const { holder, handle } = await open();
    await service.reload(rules(broken));
    const proof = holder.proof();
    assert.equal((await holder.renew(handle, 'dev', {}, proof)).refused.reason, 'rule_error');
    assert.equal((await holder.renew(handle, 'dev', {}, proof)).refused.reason, 'proof_replayed');
  });

  test('says nothing of what it looked at', async () => {
    const { holder, handle } = await open();
    await service.reload(rules({ name: 'r', when: 'int(user.name) > 1', limits: { max_age: '10m' } }));
    const { refused } = await holder.renew(handle, 'dev');
    assert.equal(refused.error_description, 'the rule r of the policy cannot be evaluated');
  });
});

/** From now to the next time at which it is this hour, UTC. */
function secondsUntil(hour: number): number {
  return (hour * HOUR - (service.now % 86_400) + 86_400) % 86_400;
}
