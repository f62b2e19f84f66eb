// H5 for the broker: every secret that it is given or makes, with peers that tell everybody all that they hear. None of it is in the log at
// its highest level, the audit log, the store, the metrics, an answer to anybody else, or what its commands print.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { globSync, readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { buildBundles } from '../../scripts/bundle.ts';
import { run } from '../../scripts/run.ts';
import { GRANT, TOKEN_TYPE } from '../../shared/wire.ts';
import { ROOT } from '../runner.ts';
import { type CertificateAuthority, createCertificateAuthority } from '../support/certificates.ts';
import { type FakeApiServer, startFakeApiServer } from '../support/fake_api_server.ts';
import { askLeases } from '../support/gateway.ts';
import { until } from '../support/patience.ts';
import { askAuthentication, askAuthorization, post } from '../support/review.ts';
import { assertNowhere, type Secrets } from '../support/secrets.ts';
import { startTestService, TEST_POLICY, type TestService } from '../support/service.ts';
import { AUDIENCE, logoutToken, person, pushSet, sendLogout, setOf } from '../support/signals.ts';
import { storeText } from '../support/store_database.ts';
import { askConnection, proofOf, TARGETS, targetToken } from '../support/targets.ts';
import { startTelltale, type Telltale } from '../support/telltale.ts';

const PATH_OF_HOOK = 'path-that-lets-in';

let dir: string;
let authority: CertificateAuthority;
let telltale: Telltale;
let api: FakeApiServer;
let service: TestService;
/** What the configuration names. */
const given: Record<string, string | Uint8Array> = {};

before(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'curfew-secrets-'));
  authority = await createCertificateAuthority(path.join(dir, 'ca'));
  [telltale, api] = await Promise.all([startTelltale(authority), startFakeApiServer(dir)]);
  for (const name of ['other_encryption_key', 'hook_secret']) {
    given[name] = randomBytes(32);
    await writeFile(fileOf(name), Buffer.from(given[name]).toString('base64'), { mode: 0o600 });
  }
  for (const name of ['broker_token', 'poll_token', 'client_secret']) {
    given[name] = `${name}-${randomBytes(24).toString('base64url')}`;
    await writeFile(fileOf(name), given[name], { mode: 0o600 });
  }
  service = await startTestService(settings());
  // The static issuer is known now.
  await service.restart({ ...settings(service.issuer.issuer) });
});
after(async () => {
  await service?.stop();
  await telltale?.stop();
  await api?.stop();
  await rm(dir, { recursive: true, force: true });
});

const fileOf = (name: string) => path.join(dir, name);

function settings(issuer?: string): Readonly<Record<string, unknown>> {
  const ca_file = authority.caFile;
  const own = { credential: 'service-account', service_accounts: [{ group: '*', namespace: 'people', name: 'all' }] };
  const cluster = { allowed_groups: ['*'], broker_token_file: fileOf('broker_token'), ...own };
  const transmitter = { audience: AUDIENCE, issuers: [issuer], ca_file };
  return {
    keys: { encryption_key_file: 'key', other_encryption_key_file: fileOf('other_encryption_key') },
    clusters: [
      {
        ...{ name: 'dev', server: 'https://127.0.0.1:1', audience: 'dev', allowed_groups: ['*'] },
        webhook: { token_file: 'dev-hook', on_failure: 'deny', authentication: true },
        gateway: { url: 'https://dev.example.com', token_file: 'dev-gateway', required: true },
      },
      { ...cluster, name: 'managed', server: api.url, ca_file: api.caFile, audience: 'managed' },
      { ...cluster, name: 'lost', server: telltale.url, ca_file, audience: 'lost' },
    ],
    ...TARGETS,
    hooks: [{ url: `${telltale.url}/${PATH_OF_HOOK}`, secret_file: fileOf('hook_secret'), ca_file }],
    metrics: { address: '127.0.0.1', port: 0 },
    policy: { ...TEST_POLICY, failed_logins: { count: 2, window: '15m' } },
    ...(issuer !== undefined && {
      ssf: [
        { ...transmitter, issuer, jwks_uri: `${issuer}/jwks`, push: { token_file: 'prod-eu-hook' } },
        {
          ...{ ...transmitter, issuer: 'https://one.example.com', jwks_uri: `${telltale.url}/jwks` },
          poll: { url: `${telltale.url}/poll-by-token`, token_file: fileOf('poll_token') },
        },
        {
          ...{ ...transmitter, issuer: 'https://two.example.com', jwks_uri: `${telltale.url}/jwks` },
          poll: {
            ...{ url: `${telltale.url}/poll-by-client`, client_id: 'curfew', token_endpoint: `${telltale.url}/token` },
            client_secret_file: fileOf('client_secret'),
          },
        },
      ],
    }),
  };
}

async function swap(subject_token: string, by: string) {
  const form = { grant_type: GRANT.exchange, subject_token, subject_token_type: TOKEN_TYPE.jwt, audience: 'dev' };
  const headers = { authorization: `Bearer ${by}`, 'content-type': 'application/x-www-form-urlencoded' };
  const response = await fetch(`${service.url}/token`, { method: 'POST', headers, body: new URLSearchParams(form) });
  return { status: response.status, body: (await response.json()) as { readonly access_token: string } };
}

/** Everything once as it should be, and in many ways as it should not. @returns what came to light on the way */
async function useAll(): Promise<{ readonly made: Secrets; readonly answers: string }> {
  const answers: unknown[] = [];
  const holder = service.holder();
  const id_token = service.issuer.sign(service.claims(holder));
  const exchange_proof = holder.proof();
  const { granted } = await holder.exchange(id_token, { audience: 'dev' }, exchange_proof);
  const [handle, for_gateway] = [granted.refresh_token ?? '', granted.access_token];
  const { sid } = granted.session;
  const service_account_token = (await holder.renew(handle, 'managed')).granted.access_token;
  const [webhook, gateway] = [service.webhook_tokens.dev ?? '', service.gateway_tokens.dev ?? ''];
  const swapped = await swap(for_gateway, gateway);
  assert.equal(swapped.status, 200);
  const kubernetes = swapped.body.access_token;
  assert.equal((await askAuthentication(service.url, webhook, kubernetes)).authenticated, true);
  await askLeases(service.url, gateway, { asks: [{ sid, targets: [{ namespace: 'dev', resource: 'pods' }] }] });
  const for_target = (await targetToken(holder, handle, 'cache')).access_token;
  const targets = service.gateway_tokens.targets ?? '';
  const connection = { token: for_target, target: 'cache', proof: proofOf(holder) };
  assert.equal((await askConnection(service.url, targets, connection)).status, 200);

  // As it should not be. What is answered is for whoever asked: nothing of others, and nothing that they did not send.
  const stranger = service.holder();
  const renewal_proof = holder.proof();
  for (let i = 0; i < 8; i += 1) answers.push((await holder.renew(handle, 'lost')).body);
  answers.push((await stranger.exchange(id_token)).body, (await stranger.renew(handle, 'dev')).body);
  answers.push((await holder.renew(handle, 'dev', { max_age: handle }, renewal_proof)).body);
  answers.push((await holder.renew(handle, handle)).body, (await stranger.introspect(handle)).body);
  answers.push((await stranger.introspect(kubernetes)).body, (await stranger.introspect(service_account_token)).body);
  answers.push((await holder.api(handle, { query: `?token=${handle}` })).body, (await stranger.api(handle)).body);
  answers.push((await holder.api(handle, { path: `/${handle}`, method: 'DELETE' })).body);
  for (const by of [webhook, handle, for_gateway, `${gateway}x`]) answers.push((await swap(for_gateway, by)).body);
  for (const [at, token] of [
    ...[webhook, gateway, handle].map((token) => ['/webhooks/authorize', token] as const),
    ...[webhook, gateway, kubernetes].map((token) => ['/v1/gateway/sessions', token] as const),
    ...[webhook, gateway].map((token) => ['/v1/gateway/events', token] as const),
    ...[gateway, targets].map((token) => ['/v1/gateway/connections', token] as const),
  ]) {
    for (const body of [{ kind: token }, [token], { spec: { token } }, connection, { ...connection, target: token }])
      answers.push(await post(service.url + at, token, body));
  }
  for (const url of [
    `/${handle}`,
    `/token?refresh_token=${handle}`,
    `/webhooks/${webhook}`,
    `/v1/gateway/ends?after=${gateway}`,
  ]) {
    for (const init of [
      {},
      { headers: { authorization: `Bearer ${gateway}`, cookie: handle } },
      { method: 'DELETE' },
    ]) {
      const response = await fetch(service.url + url, init);
      // The feed goes on.
      answers.push(response.status, response.status === 200 ? await response.body?.cancel() : await response.text());
    }
  }
  const bearer = service.webhook_tokens['prod-eu'] ?? '';
  const set = setOf(service, 'session-revoked', person(service, 'nobody-at-all'));
  const unfit = setOf(service, 'session-revoked', { format: bearer });
  for (const [text, by] of [
    [set, bearer],
    [set, bearer],
    [set, webhook],
    [unfit, bearer],
    [bearer, bearer],
    [handle, bearer],
  ] as const)
    answers.push((await pushSet(service, text, by)).body);
  const logout = logoutToken(service, { sub: 'nobody-at-all' });
  for (const text of [logout, logout, handle]) answers.push((await sendLogout(service, text)).body);
  await askAuthorization(service.url, webhook, { user: 'curfew:alice@example.com', sid });
  const old = { sub: 'h5', email: 'h5@example.com', auth_time: service.now - 4000 };
  for (let i = 0; i < 4; i += 1) answers.push((await service.login(service.holder(), old)).body);
  // What is made here, and what it was let in by.
  const made = {
    ...{
      for_target,
      handle,
      id_token,
      for_gateway,
      kubernetes,
      service_account_token,
      exchange_proof,
      renewal_proof,
      set,
      logout,
    },
    ...{ nonce_random: holder.nonce_random, proof_key: String(holder.key.export({ format: 'jwk' }).d) },
    ...{ webhook: Buffer.from(webhook, 'base64url'), gateway: Buffer.from(gateway, 'base64url') },
    ...{ targets: Buffer.from(targets, 'base64url') },
    ...{ transmitter: Buffer.from(bearer, 'base64url') },
  };
  await holder.revoke(handle);
  return { made, answers: JSON.stringify(answers) };
}

test('H5 no secret of the broker, or that passes through it, is where others could read it, whatever its peers do with it', async () => {
  const { made, answers } = await useAll();
  const heard = () => telltale.heard.join('\n');
  for (const what of [PATH_OF_HOOK, 'poll-by-token', 'POST /token']) await until(() => heard().includes(what), what);
  const failed = (what: string) => service.log.filter((line) => line.includes(`could not be ${what}`)).length;
  await until(() => failed('delivered') > 0 && failed('polled') > 3, 'its peers do not fail');
  for (const secret of ['broker_token', 'poll_token'])
    assert.ok(heard().includes(String(given[secret])), `it does not present its ${secret}, or nobody hears it`);
  assert.ok(heard().includes(encodeURIComponent(String(given.client_secret))) || heard().includes('Basic '));
  const folder = path.dirname(service.configFile);
  const encryption_key = Buffer.from(await readFile(path.join(folder, 'key'), 'utf8'), 'base64');
  const metrics = await (await fetch(service.metrics_url)).text();
  const places = {
    ...{ log: service.log.join('\n'), 'the audit log': JSON.stringify(service.audit), metrics, answers },
    store: storeText(service.storeFile),
  };
  assert.ok(places.store.includes('alice@example.com'));
  assert.ok(places.log.length > 1_000 && metrics.includes('curfew_'), metrics.slice(0, 200));
  assertNowhere({ ...given, ...made, encryption_key }, places);
  // Reports wait in the store, with where they go.
  assertNowhere({ path: PATH_OF_HOOK }, { ...places, store: '' });
  assert.doesNotMatch(Object.values(places).join('\n'), /PRIVATE KEY|"d":"/);
});

test('H5 what its commands print of a broker with all of these has none of them, also where they are in the wrong place', async () => {
  const { broker } = await buildBundles();
  const env = { PATH: process.env.PATH ?? '', HOME: '/nonexistent' };
  const folder = path.dirname(service.configFile);
  const encryption_key = Buffer.from(await readFile(path.join(folder, 'key'), 'utf8'), 'base64');
  const written = await readFile(service.configFile, 'utf8');
  const password = `password-${randomBytes(12).toString('hex')}`;
  const url = (rest: string) => `postgres://curfew:${password}@${rest}`;
  await writeFile(path.join(folder, 'database-url'), url('127.0.0.1:1/x'), { mode: 0o600 });
  const secrets = { ...given, encryption_key, password };
  const outputs: Record<string, string> = {};
  const configured = async (name: string, text: string, more: Readonly<Record<string, string>> = {}) => {
    const file = path.join(folder, `${name}.yaml`);
    await writeFile(file, text);
    const all = [
      ['audit', 'verify'],
      ['keys', 'list'],
      ['print', 'authn-config', 'dev'],
    ];
    for (const words of [['check'], ['serve'], ...(name === 'nobody there' ? all : [])]) {
      const { code, stdout, stderr } = await run(process.execPath, [broker, ...words, '--config', file], {
        env: { ...env, ...more },
      });
      outputs[`${name}: ${words.join(' ')} (${code})`] = stdout + stderr;
    }
  };
  const store = (text: string) => written.replace(/^store:\n(?: .*\n)+/m, `store:\n  postgres:\n    ${text}\n`);
  assert.notEqual(store('x: y'), written);
  await configured('nobody there', store('url_file: database-url'));
  for (const [name, value] of [
    ['no port', url('127.0.0.1:none/x')],
    ['another scheme', url('127.0.0.1/x').replace('postgres', 'mysql')],
    ['not a URL', `curfew ${password}`],
    ['with an option', `${url('127.0.0.1:1/x')}?password=${password}&sslmode=${password}`],
    ['a line break', `${url('127.0.0.1:1/x')}\n${password}`],
  ] as const)
    await configured(name, store('url_env: DATABASE_URL'), { DATABASE_URL: value });
  // The key itself where its file, or the name of its variable, belongs; and values where they are none.
  for (const [name, section] of [
    ['a key as file', `keys:\n  encryption_key_file: ${encryption_key.toString('base64')}\n`],
    ['a key as variable', `keys:\n  encryption_key_env: ${encryption_key.toString('hex')}\n`],
    ['a key with a typing error', `keys:\n  encryption_key: ${encryption_key.toString('base64')}\n`],
  ] as const)
    await configured(name, written.replace(/^keys:\n(?: .*\n)+/m, section));
  await configured('a bearer as file', written.replaceAll(fileOf('broker_token'), String(given.broker_token)));
  await configured(
    'a hook secret as file',
    written.replaceAll(fileOf('hook_secret'), Buffer.from(given.hook_secret ?? '').toString('base64')),
  );
  await configured('a database as file', store(`url_file: ${url('127.0.0.1:1/x')}`));
  await configured('a database as variable', store(`url_env: ${url('127.0.0.1:1/x')}`));
  await configured('a database by itself', store(`url: ${url('127.0.0.1:1/x')}`));
  assert.ok(Object.values(outputs).every((text) => text !== ''));
  assertNowhere(secrets, outputs);
});

test('H5 broker and gateway start no other program: nothing is in the arguments or the environment of one', () => {
  const files = globSync('{broker,gateway,serving,shared}/**/*.ts', { cwd: ROOT }).filter(
    (file) => !/node_modules|dist/.test(file),
  );
  assert.ok(files.length > 200, `${files.length} files`);
  const starts = files.filter((file) =>
    /node:(child_process|cluster|worker_threads)/.test(readFileSync(path.join(ROOT, file), 'utf8')),
  );
  assert.deepEqual(starts, []);
});
