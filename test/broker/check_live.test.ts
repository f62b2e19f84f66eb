// `check --live` on set-ups that are broken, each in one way: it names the cause, and blames nothing else.

import assert from 'node:assert/strict';
import { createSecretKey, randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { pino } from 'pino';
import { administer } from '../../broker/commands/administration.ts';
import { loadConfig } from '../../broker/config/load.ts';
import type { Cluster, Config } from '../../broker/config/settings.ts';
import { lookAtAll } from '../../broker/live/look.ts';
import { LIVE_CHECKS, type Seen } from '../../broker/live/seen.ts';
import { createFetchJson } from '../../broker/net/fetch_json.ts';
import { keysOf } from '../../broker/tokens/key_rotation.ts';
import { insertKey } from '../../broker/tokens/keys.ts';
import { createIdentityProvider } from '../../broker/upstream/identity_provider.ts';
import { type Gateway, startGateway } from '../../gateway/serve.ts';
import { fromMilliseconds, seconds } from '../../shared/time.ts';
import { freePort } from '../cluster/ports.ts';
import { createCertificateAuthority } from '../support/certificates.ts';
import { until } from '../support/patience.ts';
import { type Site, startSite } from '../support/site.ts';
import { type StaticIssuer, startStaticIssuer } from '../support/static_issuer.ts';
import { startTransmitter, type Transmitter } from '../support/transmitter.ts';
import { startVerifyingApiServer, type VerifyingApiServer } from '../support/verifying_api_server.ts';

const LIBRARY = '/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1';
const quiet = pino({ level: 'silent' });

let dir: string;
let site: Site;
let idp: StaticIssuer;
let api: VerifyingApiServer;
let reviewing: VerifyingApiServer;
let ending: VerifyingApiServer;
let transmitter: Transmitter;
let gateway: Gateway;
let strange: Gateway;
let otherCa: string;
let config: Config;

before(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'curfew-live-'));
  const authority = await createCertificateAuthority(path.join(dir, 'ca'));
  otherCa = (await createCertificateAuthority(path.join(dir, 'other'))).caPem;
  const pair = async (name: string, of = authority, days?: number) => {
    const { certFile, keyFile } = await of.issue({ name, hosts: ['127.0.0.1'], ...(days !== undefined && { days }) });
    return { cert: await readFile(certFile, 'utf8'), key: await readFile(keyFile, 'utf8'), certFile, keyFile };
  };
  idp = await startStaticIssuer();
  idp.date = () => Date.now();
  transmitter = await startTransmitter();
  const [port, metrics, gatewayPort] = [await freePort(), await freePort(), await freePort()];
  const issuer = `https://127.0.0.1:${port}`;
  const secrets = path.join(dir, 'secrets');
  await mkdir(secrets);
  const token = async (name: string) => {
    const bytes = randomBytes(32);
    await writeFile(path.join(secrets, name), bytes.toString('base64'), { mode: 0o600 });
    return bytes.toString('base64url');
  };
  const [hook, reviews, cut] = [await token('hook'), await token('reviews'), await token('gateway')];
  await writeFile(path.join(secrets, 'poll'), transmitter.poll_token, { mode: 0o600 });
  const tls = await pair('api');
  const trust = { issuer, ca: authority.caPem };
  const authorize = { url: `${issuer}/webhooks/authorize`, token: hook };
  const authenticate = { url: `${issuer}/webhooks/authenticate`, token: reviews };
  api = await startVerifyingApiServer(tls, { ...trust, audience: 'dev', authorize });
  reviewing = await startVerifyingApiServer(tls, { ...trust, audience: 'reviewed', authenticate });
  // Of 20 days, 19 of which are over.
  const before = await createCertificateAuthority(path.join(dir, 'old'), undefined, {
    LD_PRELOAD: LIBRARY,
    FAKETIME: '-19d',
  });
  ending = await startVerifyingApiServer(await pair('ending', before, 20), { ...trust, audience: 'dev', authorize });
  await writeFile(path.join(dir, 'both.crt'), authority.caPem + before.caPem);
  const file = (name: string) => path.join(secrets, name);
  const cluster = { ca_file: path.join(dir, 'both.crt'), allowed_groups: ['*'] };
  site = await startSite(
    {
      ...{ dir, authority, issuer, idp: { issuer: idp.issuer, clientId: 'curfew' } },
      policy: { limits: { max_age: '1h', inactivity_timeout: '30m', token_ttl: '5m' } },
      sections: {
        metrics: { address: '127.0.0.1', port: metrics },
        ssf: [
          {
            ...{ issuer: transmitter.issuer, audience: transmitter.audience, issuers: [idp.issuer] },
            poll: { url: transmitter.poll_url, token_file: file('poll') },
          },
        ],
      },
    },
    [
      {
        ...{ ...cluster, name: 'dev', server: api.url, audience: 'dev' },
        webhook: { token_file: file('hook'), on_failure: 'deny' },
        gateway: { url: `https://127.0.0.1:${gatewayPort}`, ca_file: authority.caFile, token_file: file('gateway') },
      },
      {
        ...{ ...cluster, name: 'reviewed', server: reviewing.url, audience: 'reviewed' },
        webhook: { token_file: file('reviews'), on_failure: 'deny', authentication: true },
      },
    ],
  );
  config = await loadConfig(site.configFile, { env: {} });
  const started = (bytes: Buffer, at: number) =>
    startGateway(
      {
        broker: { url: issuer, ca: authority.caPem, token: createSecretKey(bytes) },
        cluster: 'dev',
        listen: { address: '127.0.0.1', port: at, tls: { cert_file: tls.certFile, key_file: tls.keyFile } },
        api_server: { url: api.url, ca: authority.caPem },
        ...{ other_credentials: 'refuse', on_lost_broker: { cut_after: seconds(2) }, warn: 'off', drain: seconds(0) },
      },
      { version: '0', of_process: false, elapsed: () => performance.now(), wall: () => Date.now(), log: quiet },
    );
  gateway = await started(Buffer.from(cut, 'base64url'), gatewayPort);
  strange = await started(randomBytes(32), 0);
});
after(async () => {
  await Promise.all([gateway?.stop(), strange?.stop()]);
  await site?.stop();
  await Promise.all([api, reviewing, ending, transmitter, idp].map((one) => one?.stop()));
  await rm(dir, { recursive: true, force: true });
});

async function look(changes: Partial<Config> = {}, ahead = 0): Promise<readonly Seen[]> {
  const all = { ...config, ...changes };
  const now = () => seconds(fromMilliseconds(Date.now()) + ahead);
  const settings = all.identity_provider;
  const fetchJson = createFetchJson(settings.ca);
  const identityProvider = createIdentityProvider({ settings, fetchJson, now, log: quiet });
  try {
    const times = { now, exact: () => Date.now() / 1000 + ahead, elapsed: () => performance.now() };
    return await lookAtAll(all, { ...times, identityProvider, patience_ms: 60_000 });
  } finally {
    await identityProvider.close();
  }
}

/** Changes of the first cluster, or of another. */
function withCluster(changes: Partial<Cluster>, at = 0): Partial<Config> {
  return { clusters: config.clusters.map((one, i) => (i === at ? { ...one, ...changes } : one)) };
}

function faultsOf(seen: readonly Seen[]): readonly Seen[] {
  return seen.filter(({ state }) => state === 'fault');
}

interface Broken {
  readonly what: string;
  readonly name: Seen['name'];
  readonly says: RegExp;
  readonly todo: RegExp;
  readonly config?: () => Partial<Config>;
  readonly ahead?: number;
  /** @returns what puts it right again */
  readonly breaks?: () => () => void;
}

function set<T extends object>(thing: () => T, changes: Partial<T>): () => () => void {
  return () => {
    const target = thing();
    const before = Object.fromEntries(Object.keys(changes).map((key) => [key, target[key as keyof T]]));
    Object.assign(target, changes);
    return () => void Object.assign(target, before);
  };
}

const BROKEN: readonly Broken[] = [
  {
    ...{ what: 'a broker by another certificate authority', name: 'broker' },
    ...{ says: /not trusted/, todo: /issuer_ca_file/, config: () => ({ issuer_ca: otherCa }) },
  },
  {
    ...{ what: 'discovery by another host than the issuer', name: 'broker' },
    ...{ says: /serves the discovery of another issuer: https:\/\/127/, todo: /what is in front/ },
    config: () => ({ issuer: config.issuer.replace('127.0.0.1', 'localhost') }),
  },
  {
    ...{
      what: 'a broker that is away',
      name: 'broker',
      says: /refuses the connection/,
      todo: /see that the broker runs/,
    },
    config: () => ({ issuer: 'https://127.0.0.1:9' }),
  },
  {
    ...{ what: 'a store that is not there', name: 'store', says: /no-such/, todo: /./ },
    config: () => ({ store: { sqlite: { file: path.join(dir, 'no-such.db') }, witness_file: undefined } }),
  },
  {
    ...{ what: 'an identity provider that is away', name: 'identity_provider' },
    ...{ says: /answered 500/, todo: /./, breaks: set(() => idp, { fault: '500' }) },
  },
  {
    ...{ what: 'an identity provider that names another issuer', name: 'identity_provider' },
    ...{ says: /names another issuer/, todo: /./, breaks: set(() => idp, { fault: 'other issuer' }) },
  },
  {
    ...{ what: 'an API server by another certificate authority', name: 'api_server' },
    ...{ says: /not trusted/, todo: /clusters\[\]\.ca_file of dev/, config: () => withCluster({ ca: otherCa }) },
  },
  {
    ...{
      what: 'an API server that is away',
      name: 'api_server',
      says: /refuses the connection/,
      todo: /clusters\[\]\.server/,
    },
    config: () => withCluster({ api_servers: [api.url, 'https://127.0.0.1:9'] }),
  },
  {
    ...{ what: 'an API server that does not trust the broker', name: 'api_server' },
    ...{
      says: /takes no token of the broker: it does not reach or trust the issuer/,
      todo: /print authn-config --cluster dev/,
    },
    breaks: () => {
      const undo = set(() => api.told, { ca: otherCa })();
      api.forget();
      return undo;
    },
  },
  {
    ...{ what: 'an API server that expects another audience', name: 'api_server' },
    ...{
      says: /or expects another audience/,
      todo: /issuer, audience/,
      breaks: set(() => api.told, { audience: 'x' }),
    },
  },
  {
    ...{ what: 'an API server with the configuration of another cluster', name: 'api_server' },
    ...{ says: /takes tokens for reviewed, and none for dev/, todo: /print authn-config --cluster dev/ },
    breaks: set(() => api.told, { audience: 'reviewed' }),
  },
  {
    ...{ what: 'an API server that asks its webhook at a wrong address', name: 'webhook' },
    ...{ says: /does not reach the broker before it decides/, todo: /print authz-config and print webhook-kubeconfig/ },
    breaks: set(() => api.told, { authorize: { url: 'https://127.0.0.1:9/', token: 'x' } }),
  },
  {
    ...{
      what: 'an API server whose webhook presents a wrong token',
      name: 'webhook',
      says: /does not reach/,
      todo: /token there is wrong/,
    },
    breaks: () => set(() => api.told, { authorize: { url: `${config.issuer}/webhooks/authorize`, token: 'x' } })(),
  },
  {
    ...{ what: 'an API server that does not ask about tokens', name: 'webhook' },
    ...{ says: /does not ask the broker about tokens/, todo: /--authentication-token-webhook-config-file/ },
    breaks: () => set(() => reviewing.told, { authenticate: { url: 'https://127.0.0.1:9/', token: 'x' } })(),
  },
  {
    ...{ what: 'a broker that runs with another token for the webhook', name: 'webhook' },
    ...{ says: /does not know the token of this cluster/, todo: /read the configuration again/ },
    config: () => {
      const [{ webhook }] = config.clusters as [Cluster];
      return withCluster(webhook ? { webhook: { ...webhook, token: createSecretKey(randomBytes(32)) } } : {});
    },
  },
  {
    ...{ what: 'a gateway that the broker does not know', name: 'gateway' },
    ...{ says: /does not hear the broker/, todo: /broker\.token_file/ },
    config: () => {
      const [{ gateway: own }] = config.clusters as [Cluster];
      return withCluster(own ? { gateway: { ...own, url: strange.url } } : {});
    },
  },
  {
    ...{
      what: 'a gateway by another certificate authority',
      name: 'gateway',
      says: /not trusted/,
      todo: /gateway\.ca_file/,
    },
    config: () => {
      const [{ gateway: own }] = config.clusters as [Cluster];
      return withCluster(own ? { gateway: { ...own, ca: otherCa } } : {});
    },
  },
  {
    ...{ what: 'a transmitter that takes no credential of ours', name: 'signals' },
    ...{
      says: /does not take the credential/,
      todo: /ssf\[\]\.poll/,
      breaks: set(() => transmitter, { streams: 'refused' }),
    },
  },
  {
    ...{
      what: 'a transmitter without a stream for us',
      name: 'signals',
      says: /no stream for the audience/,
      todo: /ssf\[\]\.audience/,
    },
    config: () => ({ ssf: config.ssf.map((one) => ({ ...one, audience: 'https://elsewhere.example' })) }),
  },
  {
    ...{ what: 'a certificate that is about to end', name: 'certificate', says: /ends in (?:1d|2\dh)/, todo: /renew/ },
    config: () => withCluster({ server: ending.url }),
  },
  {
    ...{
      what: 'an API server of which the clock is off',
      name: 'clock',
      says: /its clock is 10m.* ahead of/,
      todo: /NTP/,
    },
    breaks: set(() => api, { ahead: 600 }),
  },
  {
    ...{
      what: 'a clock of this machine that is ahead',
      name: 'clock',
      says: /10m.* ahead of that of \d others/,
      todo: /NTP/,
    },
    ahead: 600,
  },
  {
    ...{
      what: 'a clock of this machine that is behind',
      name: 'clock',
      says: /10m.* behind that of \d others/,
      todo: /NTP/,
    },
    ahead: -600,
  },
];

describe('check --live', () => {
  test('finds nothing where all is well, through the program itself too', async () => {
    await until(async () => faultsOf(await look()).length === 0, 'it does not become well');
    const seen = await look();
    assert.deepEqual(faultsOf(seen), []);
    const words = seen.map(({ name, state, says }) => `${name} ${state} ${says}`).join('\n');
    assert.match(words, /^api_server ok takes a token of the broker/m);
    assert.match(words, /^webhook ok asks the broker before RBAC$/m);
    assert.match(words, /^webhook ok asks the broker about tokens$/m);
    assert.match(words, /^gateway ok answers; 1 connected/m);
    assert.match(words, /^signals ok an event that was asked for arrived$/m);
    const elsewhere: readonly string[] = ['standby', 'database'];
    const here = LIVE_CHECKS.filter((name) => !elsewhere.includes(name));
    assert.deepEqual(new Set(seen.map(({ name }) => name)), new Set(here));
    const { code, stdout } = await site.command('check', '--live', '-o', 'json');
    assert.deepEqual([code, JSON.parse(stdout).ok], [0, true], stdout);
    assert.equal((await site.command('check', '-o', 'json')).code, 64);
  });

  for (const { what, name, says, todo, config: changes, ahead, breaks } of BROKEN) {
    test(`names ${what}`, async () => {
      const undo = breaks?.();
      try {
        const seen = await look(changes?.(), ahead);
        const faults = faultsOf(seen);
        assert.deepEqual(
          faults.map((fault) => fault.name),
          [name],
          JSON.stringify(faults, null, 1),
        );
        const [fault] = faults;
        assert.match(`${fault?.of}: ${fault?.says}`, says);
        assert.match(fault?.todo ?? '', todo);
      } finally {
        undo?.();
        api.forget();
      }
    });
  }

  test('names an event that was asked for and did not arrive', async () => {
    const undo = set(() => transmitter, { streams: 'silent' })();
    const identityProvider = { refresh: async () => ({}) as never };
    const now = () => fromMilliseconds(Date.now());
    const times = { now, exact: () => Date.now() / 1000, elapsed: () => performance.now(), patience_ms: 300 };
    const faults = faultsOf(await lookAtAll(config, { ...times, identityProvider }));
    undo();
    assert.deepEqual(
      faults.map(({ name }) => name),
      ['signals'],
    );
    assert.match(faults[0]?.says ?? '', /did not arrive/);
  });

  test('says what it cannot see: a stream that only its transmitter can try', async () => {
    const undo = set(() => transmitter, { streams: 'none' })();
    const seen = await look();
    undo();
    const [signals] = seen.filter(({ name }) => name === 'signals');
    assert.deepEqual([signals?.state, faultsOf(seen)], ['not_known', []]);
    assert.match(signals?.says ?? '', /the last one came .* ago, and it has no verification_endpoint/);
    const { code, stdout } = await site.command('check', '--live');
    assert.equal(code, 0, stdout);
    assert.match(stdout, /^no fault was found/m);
  });

  test('names an API server that has old keys, and a broker that serves those of another store', async () => {
    // As after a rotation of which an API server has not heard yet.
    await look();
    await administer(config, (store) =>
      store.transaction((transaction) => {
        const now = fromMilliseconds(Date.now());
        return insertKey(transaction, keysOf(config), now, now);
      }),
    );
    const others = faultsOf(await look());
    assert.equal(others[0]?.name, 'keys', JSON.stringify(others, null, 1));
    assert.match(others[0]?.says ?? '', /serves keys of before/);
    await site.restart({});
    await until(async () => gateway.status() === 'ok', 'the gateway does not come back');
    // The first answer of the gateway may be of before its next lease.
    await until(
      async () => (await look()).every(({ name, state }) => name !== 'gateway' || state !== 'fault'),
      'the gateway stays lost',
    );
    const faults = faultsOf(await look());
    assert.deepEqual(
      faults.map(({ name }) => name),
      ['api_server'],
      JSON.stringify(faults, null, 1),
    );
    assert.match(faults[0]?.says ?? '', /takes tokens of a key of before/);
    api.forget();
    assert.deepEqual(faultsOf(await look()), []);
  });
});
