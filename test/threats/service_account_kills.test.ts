// The threat model: the broker is killed at each step between the Secret of a session and its row (S17): after the next start the
// session goes on or ends as it should, and nothing is left over. The broker as a process of its own; the API server is a small one
// of our own that a test can stop in the middle.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, afterEach, before, describe, test } from 'node:test';
import { stringify } from 'yaml';
import { freePort } from '../cluster/ports.ts';
import { type BrokerProcess, startBroker } from '../support/broker_process.ts';
import { type Asked, type FakeApiServer, startFakeApiServer } from '../support/fake_api_server.ts';
import { Holder } from '../support/holder.ts';
import { until } from '../support/patience.ts';
import { ISSUER, identityProvider } from '../support/service.ts';
import { type StaticIssuer, startStaticIssuer } from '../support/static_issuer.ts';

let dir: string;
let api: FakeApiServer;
let issuer: StaticIssuer;
let broker: BrokerProcess;
let url: string;
let runs = false;
let people = 0;

before(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'curfew-kills-'));
  api = await startFakeApiServer(dir);
  issuer = await startStaticIssuer();
  url = `http://127.0.0.1:${await freePort()}`;
  await writeFile(path.join(dir, 'key'), randomBytes(32).toString('hex'), { mode: 0o600 });
  await writeFile(path.join(dir, 'broker-token'), 'the-brokers-own-token-at-the-cluster', { mode: 0o600 });
  await start();
});
after(async () => {
  if (runs) await kill();
  await Promise.all([issuer?.stop(), api?.stop()]);
  await rm(dir, { recursive: true, force: true });
});

// What a test leaves behind that failed is not the next one's.
afterEach(async () => {
  if (runs) return;
  await start();
});

/** @param allowed_groups of the cluster */
async function start(allowed_groups: readonly string[] = ['*']): Promise<void> {
  const service_accounts = [{ group: '*', namespace: 'people', name: 'readers' }];
  const own = { credential: 'service-account', service_accounts, broker_token_file: 'broker-token' };
  const config = {
    issuer: ISSUER,
    listen: { address: '127.0.0.1', port: Number(new URL(url).port) },
    keys: { encryption_key_file: 'key' },
    identity_provider: identityProvider(issuer.issuer),
    clusters: [{ name: 'managed', server: api.url, ca_file: api.caFile, audience: 'managed', allowed_groups, ...own }],
    store: { sqlite: { file: 'curfew.db' } },
    policy: { limits: { max_age: '1h', inactivity_timeout: '30m', token_ttl: '5m' }, segments: [] },
  };
  const configFile = path.join(dir, 'config.yaml');
  await writeFile(configFile, stringify(config));
  broker = await startBroker({ configFile, url });
  runs = true;
}

async function kill(): Promise<void> {
  runs = false;
  await broker.kill();
}

interface Someone {
  readonly holder: Holder;
  readonly sub: string;
}

function someone(): Someone {
  people += 1;
  return { holder: new Holder({ url, issuer: ISSUER }), sub: `person-${people}` };
}

function login({ holder, sub }: Someone, target: 'managed' | 'none') {
  const now = holder.now();
  const who = { sub, email: `${sub}@example.com`, email_verified: true, groups: ['dev'], nonce: holder.nonce };
  const times = { iat: now, exp: now + 300, auth_time: now };
  const id_token = issuer.sign({ iss: issuer.issuer, aud: 'curfew', ...who, ...times });
  return holder.exchange(id_token, target === 'none' ? {} : { audience: target });
}

/** How far the broker came before it was killed. */
const STEPS: readonly (readonly ['before' | 'after', Asked])[] = [
  ['before', 'create'],
  ['after', 'create'],
  ['before', 'token'],
  ['after', 'token'],
];

/** Asks for a token, and kills the broker at that step: no answer. */
async function killed(
  when: 'before' | 'after',
  asked: Asked,
  { sub }: Someone,
  request: () => Promise<unknown>,
): Promise<void> {
  let over: Promise<void> | undefined;
  api[when] = async (now) => {
    if (now !== asked || over) return;
    over = kill();
    await over;
    if (when === 'before') throw new Error('it never came that far');
  };
  await assert.rejects(request());
  api[when] = () => undefined;
  assert.ok(over, `${when} ${asked}: nobody came that far`);
  await over;
  assert.deepEqual(
    broker.audit().filter((row) => row.event === 'mint' && row.sub === sub),
    [],
    'no token is recorded',
  );
}

const secrets = () => [...api.secrets.keys()];

function rows(): number {
  const db = new DatabaseSync(path.join(dir, 'curfew.db'), { readOnly: true });
  try {
    return Number(db.prepare('select count(*) as count from bound_secret').get()?.count);
  } finally {
    db.close();
  }
}

async function assertNothingLeft(place: string): Promise<void> {
  await until(() => secrets().length === 0, `${place}: a Secret is left`);
  await until(() => rows() === 0, `${place}: a row of a Secret is left`);
}

/** A session whose holder has its handle, and no token yet. */
async function open(): Promise<Someone & { readonly handle: string }> {
  const who = someone();
  return { ...who, handle: (await login(who, 'none')).granted.refresh_token ?? '' };
}

describe('S17 the broker is killed while a cluster is asked for a token', () => {
  for (const [when, asked] of STEPS) {
    const place = `${when} ${asked}`;
    const made = !(when === 'before' && asked === 'create');

    test(`S17 ${place}: the session continues after the start, with one Secret, which goes with it`, async () => {
      const who = await open();
      const { holder, handle } = who;
      await killed(when, asked, who, () => holder.renew(handle, 'managed'));
      assert.equal(secrets().length, made ? 1 : 0);
      const [then] = secrets();
      await start();
      const { access_token } = (await holder.renew(handle, 'managed')).granted;
      assert.ok(api.isGood(access_token));
      assert.equal(secrets().length, 1);
      if (made) assert.deepEqual(secrets(), [then]);
      assert.equal((await holder.revoke(handle)).status, 200);
      await assertNothingLeft(place);
      assert.ok(!api.isGood(access_token));
    });

    test(`S17 ${place}: the session ends right after the start`, async () => {
      const who = await open();
      const { holder, handle } = who;
      await killed(when, asked, who, () => holder.renew(handle, 'managed'));
      await start();
      assert.equal((await holder.revoke(handle)).status, 200);
      await assertNothingLeft(place);
    });

    test(`S17 ${place}: at the start the cluster does not admit its person any more`, async () => {
      const who = await open();
      const { holder, handle } = who;
      await killed(when, asked, who, () => holder.renew(handle, 'managed'));
      await start(['nobody']);
      await assertNothingLeft(place);
      await kill();
      await start();
      assert.ok(api.isGood((await holder.renew(handle, 'managed')).granted.access_token));
      await holder.revoke(handle);
      await assertNothingLeft(place);
    });

    test(`S17 ${place} of a login, whose handle nobody has: the next login takes its place`, async () => {
      const who = someone();
      await killed(when, asked, who, () => login(who, 'managed'));
      await start();
      const { refresh_token: handle = '', access_token } = (await login(who, 'managed')).granted;
      assert.ok(api.isGood(access_token));
      await until(() => secrets().length === 1, 'there is more than the Secret of the session');
      assert.equal((await who.holder.revoke(handle)).status, 200);
      await assertNothingLeft(place);
    });

    test(`S17 ${place}, and the row is lost with the machine: what there is in the cluster goes, the session continues`, async () => {
      const who = await open();
      const { holder, handle } = who;
      await killed(when, asked, who, () => holder.renew(handle, 'managed'));
      const db = new DatabaseSync(path.join(dir, 'curfew.db'));
      assert.equal(db.prepare('delete from bound_secret').run().changes, 1, 'the row was there before the Secret');
      db.close();
      const [then] = secrets();
      await start();
      if (then !== undefined) await until(() => !secrets().includes(then), 'the Secret is left');
      assert.ok(api.isGood((await holder.renew(handle, 'managed')).granted.access_token));
      assert.equal((await holder.revoke(handle)).status, 200);
      await assertNothingLeft(place);
    });
  }
});
