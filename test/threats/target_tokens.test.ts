// Tokens for targets over real HTTP: for whom, as whom, for how long, and that they are worth nothing to anything but the gateway of
// targets.

import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { after, before, beforeEach, describe, test } from 'node:test';
import { isMetadata } from '../../shared/metadata.ts';
import type { Yield } from '../../shared/policy.ts';
import { isTargetTokenReply, type TargetTokenReply } from '../../shared/targets.ts';
import { claimsOf, type Holder } from '../support/holder.ts';
import { askAuthentication } from '../support/review.ts';
import { startTestService, TEST_POLICY, type TestService } from '../support/service.ts';
import { sessionRow } from '../support/store_row.ts';

const HOST_KEY = `ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI${'b'.repeat(43)}`;
const SECTIONS = {
  target_gateway: {
    ...{ public_url: 'wss://targets.example.com:8443/', token_file: 'prod-eu-gateway' },
    source_addresses: ['10.0.9.4'],
  },
  targets: [
    {
      ...{ name: 'bastion', kind: 'ssh', address: '10.0.0.7:22', allowed_groups: ['sre', 'dev'], host_key: HOST_KEY },
      accounts: [
        { account: 'root', groups: ['admins'] },
        { account: 'deploy', groups: ['sre'] },
        { account: 'guest', groups: ['dev'] },
      ],
    },
    { name: 'cache', kind: 'tcp', audience: 'urn:cache', address: 'cache.internal:6379', allowed_groups: ['sre'] },
    { name: 'vault', kind: 'tcp', address: '10.0.0.12:8200', allowed_groups: ['security'] },
    { name: 'short', kind: 'tcp', address: '10.0.0.13:1', allowed_groups: ['*'] },
  ],
  policy: {
    ...TEST_POLICY,
    segments: [
      ...TEST_POLICY.segments,
      { name: 'as-root', match: { accounts: ['root', 'deploy'] }, limits: { max_age: '10m' } },
      { name: 'brief', match: { targets: ['short'] }, limits: { token_ttl: '20s' } },
    ],
    rules: [
      {
        name: 'guests',
        when: 'target.kind == "ssh" && target.account == "guest"',
        limits: { inactivity_timeout: '5m' },
      },
    ],
  },
};
/** `sre` and `dev`. */
const USUAL = { groups: ['sre', 'dev'] };

let service: TestService;
let holder: Holder;
let handle: string;
before(async () => {
  service = await startTestService(SECTIONS);
});
after(() => service.stop());
beforeEach(async () => {
  await service.reload(SECTIONS);
  service.advance(10);
  holder = service.holder();
  const { granted } = await service.login(holder, USUAL);
  handle = granted.refresh_token ?? '';
});

async function ask(audience: string, fields: Readonly<Record<string, string>> = {}): Promise<TargetTokenReply> {
  const { status, body } = await holder.renew(handle, audience, fields);
  assert.ok(status === 200 && isTargetTokenReply(body), `${status} ${JSON.stringify(body)}`);
  return body;
}

const refusal = async (audience: string, fields: Readonly<Record<string, string>> = {}) => {
  const { reason, error_description } = (await holder.renew(handle, audience, fields)).refused;
  return { reason, error_description };
};

const rows = (event: string) => service.audit.filter((row) => row.event === event);

describe('a token for a target', () => {
  test('is for its gateway alone, bound to the key, and lives for a minute at most', async () => {
    const { access_token, expires_in, account, credential, session } = await ask('urn:cache');
    const { jti, ...claims } = claimsOf(access_token);
    assert.deepEqual(claims, {
      ...{ iss: 'https://curfew.example.com', aud: 'urn:cache', sub: 'alice-sub' },
      ...{ username: 'curfew:alice@example.com', sid: session.sid },
      ...{ iat: service.now, nbf: service.now, exp: service.now + 60, cnf: { jkt: holder.jkt }, target: 'cache' },
    });
    assert.match(String(jti), /^[\w-]{22}\.\d+\.[\w-]{43}$/);
    assert.deepEqual([expires_in, account, credential], [60, undefined, undefined]);
    const header = JSON.parse(Buffer.from(access_token.split('.')[0] ?? '', 'base64url').toString());
    assert.deepEqual([header.typ, header.alg], ['curfew-target+jwt', 'ES256']);
    const row = rows('mint').at(-1);
    assert.ok(row?.event === 'mint');
    assert.deepEqual([row.target, row.account, row.cluster, row.jti], ['cache', undefined, undefined, jti]);
    assert.equal(row.exp, service.now + 60);
  });

  test('T9 lives no longer than the policy lets tokens live, nor than the session', async () => {
    assert.equal((await ask('short')).expires_in, 20);
    service.advance(595);
    const before_end = await ask('bastion', { account: 'deploy' });
    assert.deepEqual([before_end.expires_in, before_end.session.limits.segment], [5, 'as-root']);
    service.advance(5);
    assert.equal((await refusal('bastion', { account: 'deploy' })).reason, 'login_too_old');
    // Nothing of it for what that limit is not for.
    assert.equal((await ask('urn:cache')).expires_in, 60);
  });

  test('is as the first account that is theirs, or as another of theirs that is asked for', async () => {
    assert.equal((await ask('bastion')).account, 'deploy');
    const guest = await ask('bastion', { account: 'guest' });
    assert.equal(guest.account, 'guest');
    assert.equal(claimsOf(guest.access_token).account, 'guest');
    const row = rows('mint').at(-1);
    assert.ok(row?.event === 'mint');
    assert.deepEqual([row.target, row.account], ['bastion', 'guest']);
  });

  test('T8 is refused alike where there is no such target, where it does not admit them, and as whom they are not', async () => {
    const answers = [
      await refusal('nowhere'),
      await refusal('vault'),
      await refusal('bastion', { account: 'root' }),
      await refusal('bastion', { account: 'Deploy' }),
      await refusal('bastion', { account: '*' }),
      await refusal('cache'),
      await refusal('urn:cache', { account: 'deploy' }),
    ];
    for (const answer of answers) assert.deepEqual(answer, answers[0]);
    assert.equal(answers[0]?.reason, 'invalid_target');
  });

  test('T8 who may not have it is told so by name, with each token', async () => {
    assert.deepEqual((await ask('bastion')).not_admitted, ['vault']);
    const dev = service.holder();
    const { granted } = await service.login(dev, { groups: ['dev'], sub: 'bob', email: 'bob@example.com' });
    assert.deepEqual(granted.not_admitted, ['prod-eu', 'cache', 'vault']);
  });

  test('a rule that looks at the target holds for that one, and as whom', async () => {
    service.advance(1);
    const guest = await ask('bastion', { account: 'guest' });
    assert.equal(guest.session.limits.target.inactivity_timeout, 300);
    assert.equal((await ask('bastion')).session.limits.target.inactivity_timeout, 1800);
    assert.equal((await holder.renew(handle, 'dev')).granted.session.limits.target.inactivity_timeout, 1800);
    // It was kept with the session while others were asked for, as connections are judged by that.
    const yields = JSON.parse(String(sessionRow(service.storeFile, guest.session.sid).yields)) as readonly Yield[];
    assert.deepEqual(yields, [
      {
        ...{
          rule: 'guests',
          match: { targets: ['bastion'], accounts: ['guest'] },
          limits: { inactivity_timeout: 300 },
        },
        target: { target: 'bastion', account: 'guest' },
      },
    ]);
    // 400 s without use count against the guest alone.
    service.advance(400);
    assert.equal((await ask('urn:cache')).account, undefined);
    assert.equal((await refusal('bastion', { account: 'guest' })).reason, 'idle_too_long');
    assert.equal((await ask('bastion')).account, 'deploy');
  });

  test('a login may be for one at once', async () => {
    const at_once = service.holder();
    const { status, body } = await service.login(at_once, USUAL, { audience: 'bastion', account: 'guest' });
    assert.ok(status === 200 && isTargetTokenReply(body), JSON.stringify(body));
    assert.equal(body.account, 'guest');
    assert.equal(claimsOf(body.access_token).sid, body.session.sid);
    assert.equal((await at_once.renew(body.refresh_token ?? '', 'dev')).status, 200);
    const none = await service.login(service.holder(), USUAL, { audience: 'vault' });
    assert.equal(none.refused.reason, 'invalid_target');
  });

  test('S11 is not given any more after a reload that takes away the target, the account or the admission', async () => {
    const [bastion, ...others] = SECTIONS.targets;
    const changed = (target: object) => ({ ...SECTIONS, targets: [{ ...bastion, ...target }, ...others] });
    assert.equal((await ask('bastion')).account, 'deploy');
    await service.reload(changed({ accounts: [{ account: 'guest', groups: ['dev'] }] }));
    assert.equal((await refusal('bastion', { account: 'deploy' })).reason, 'invalid_target');
    assert.equal((await ask('bastion')).account, 'guest');
    await service.reload(changed({ allowed_groups: ['security'] }));
    assert.equal((await refusal('bastion')).reason, 'invalid_target');
    await service.reload({ ...SECTIONS, targets: others });
    assert.equal((await refusal('bastion')).reason, 'invalid_target');
    assert.equal((await holder.renew(handle, 'dev')).status, 200);
  });

  test('S6 is not given once the session has ended', async () => {
    assert.equal((await holder.revoke(handle)).status, 200);
    assert.equal((await refusal('bastion')).reason, 'session_ended');
  });

  test('T6 takes a proof of its own: none, one of another key, and one that was used are refused', async () => {
    const proof = holder.proof();
    assert.equal((await holder.renew(handle, 'bastion', {}, proof)).status, 200);
    assert.equal((await holder.renew(handle, 'bastion', {}, proof)).refused.reason, 'proof_replayed');
    assert.equal((await holder.renew(handle, 'bastion', {}, service.holder().proof())).status, 400);
    assert.equal(
      (
        await holder.post(
          '/token',
          { grant_type: 'refresh_token', refresh_token: handle, audience: 'bastion' },
          undefined,
        )
      ).status,
      400,
    );
  });

  test('T14 an SSH key of another form, and a word that is none, are refused by name', async () => {
    const key = `ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI${'a'.repeat(43)}`;
    for (const ssh_public_key of [
      'x',
      `${key} me@laptop`,
      `no-pty ${key}`,
      `${key}\n${key}`,
      key.replace('5519', '448'),
    ]) {
      const { reason, error_description } = await refusal('bastion', { ssh_public_key });
      assert.equal(reason, 'request_invalid', ssh_public_key);
      assert.match(error_description, /^ssh_public_key: /);
    }
    for (const credential of ['ssh', 'all', 'None']) {
      const { reason, error_description } = await refusal('bastion', { credential });
      assert.equal(reason, 'request_invalid', credential);
      assert.match(error_description, /^credential: /);
    }
  });
});

test('only the way to a target is given to whoever wants no more: nothing to present there, and no row of such a thing', async () => {
  const { publicKey } = generateKeyPairSync('ed25519');
  const bytes = Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url');
  const head = Buffer.from('0000000b7373682d6564323535313900000020', 'hex');
  const ssh_public_key = `ssh-ed25519 ${Buffer.concat([head, bytes]).toString('base64')}`;
  assert.equal((await ask('bastion', { ssh_public_key })).credential?.kind, 'ssh');
  const { length } = rows('credential');
  const alone = await ask('bastion', { ssh_public_key, credential: 'none' });
  assert.deepEqual([alone.account, alone.credential], ['deploy', undefined]);
  assert.equal(rows('credential').length, length);
  const at_once = service.holder();
  const more = { audience: 'bastion', ssh_public_key, credential: 'none' };
  const { body } = await service.login(at_once, USUAL, more);
  assert.ok(isTargetTokenReply(body) && body.credential === undefined, JSON.stringify(body));
});

describe('T7 a token for a target says nothing to anything else', () => {
  test('T7 not to a TokenReview, though its audience be that of a cluster by a later configuration', async () => {
    const { access_token } = await ask('short');
    const clusters = [
      {
        ...{ name: 'dev', server: 'https://127.0.0.1:1', audience: 'short', allowed_groups: ['*'] },
        webhook: { token_file: 'dev-hook', on_failure: 'deny', authentication: true },
      },
    ];
    const { targets } = SECTIONS;
    const renamed = targets.map((target) => (target.name === 'short' ? { ...target, audience: 'other' } : target));
    assert.equal((await service.reload({ ...SECTIONS, clusters, targets: renamed })).outcome, 'reloaded');
    const hook = service.webhook_tokens.dev ?? '';
    assert.notEqual((await askAuthentication(service.url, hook, access_token)).authenticated, true);
    const own = (await holder.renew(handle, 'short')).granted.access_token;
    assert.equal((await askAuthentication(service.url, hook, own)).authenticated, true);
    const introspected = await holder.introspect(access_token);
    assert.deepEqual(introspected.body, { active: false });
  });
});

test('the metadata tells of each target where it is reached, by whose certificate, and its limits: not where it is', async () => {
  const response = await fetch(`${service.url}/.well-known/curfew`);
  const text = await response.text();
  const metadata: unknown = JSON.parse(text);
  assert.ok(isMetadata(metadata));
  const of = Object.fromEntries((metadata.targets ?? []).map(({ name, ...rest }) => [name, rest]));
  assert.deepEqual(Object.keys(of), ['bastion', 'cache', 'vault', 'short']);
  assert.deepEqual([of.cache?.kind, of.cache?.audience], ['tcp', 'urn:cache']);
  assert.equal(of.bastion?.url, 'wss://targets.example.com:8443/v1/connect/bastion');
  assert.equal(of.bastion?.host_key, HOST_KEY);
  assert.deepEqual([of.bastion?.limits.target.max_age, of.bastion?.strictest.max_age], [3600, 600]);
  assert.equal(of.short?.limits.target.token_ttl, 20);
  for (const secret of ['10.0.0.7', 'cache.internal', 'deploy', 'security', '10.0.9.4'])
    assert.ok(!text.includes(secret), secret);
});
