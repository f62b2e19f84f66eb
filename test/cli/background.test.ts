// Renewal in the background: no call in continuous use waits for the broker, and nothing is used that nobody uses.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { renewInBackground } from '../../cli/commands/renew_in_background.ts';
import { isOpenKeychain } from '../../cli/secrets/open_keychain.ts';
import { lastBackgroundFault, renewQuietly } from '../../cli/session/background.ts';
import { createClient } from '../../cli/session/client.ts';
import { readRecord } from '../../cli/session/record.ts';
import { isDue } from '../../cli/session/revalidation.ts';
import { type Entry, parseEntry, printEntry } from '../../cli/warm/entry.ts';
import { isNearlyOver, RENEW_COMMAND, renewalDue } from '../../cli/warm/renewal_due.ts';
import { CurfewError } from '../../shared/errors.ts';
import { seconds } from '../../shared/time.ts';
import { PROGRAMS } from '../native/launcher.ts';
import { until } from '../support/patience.ts';
import { callOften, minted, openCounted } from './counted_desk.ts';
import { credentialOf, type Desk, execInfo, openDesk } from './desk.ts';
import { entryAt, KEY, LIMITS, tokenOf } from './entries.ts';
import { temporaryFolder, testHost } from './host.ts';
import { startKeyring } from './keyring.ts';
import { type Refreshing, startRefreshing } from './refreshing.ts';

const HALF_HOUR = { max_age: '1h', inactivity_timeout: '30m' };
const clock = () => seconds(Math.floor(Date.now() / 1000));

function entryFile(desk: Desk, cluster: string): string {
  const folder = path.join(desk.dir, 'cache');
  const name = readdirSync(folder).find((file) => file.startsWith('https') && file.includes(`,${cluster},`));
  assert.ok(name !== undefined, `no entry of ${cluster}`);
  return path.join(folder, name);
}

function entryOf(desk: Desk, cluster: string): Entry {
  const entry = parseEntry(readFileSync(entryFile(desk, cluster), 'utf8'), {
    broker: desk.url,
    cluster,
    max_age: undefined,
  });
  assert.ok(typeof entry === 'object', String(entry));
  return entry;
}

/** As if it had been asked for so many seconds ago. */
function age(desk: Desk, cluster: string, to: number, now = clock()): void {
  const { session, minted_local, expires_in = 0, ...entry } = entryOf(desk, cluster);
  assert.ok(session);
  const by = minted_local - (now - to);
  const broker_time = seconds(session.broker_time - by);
  const older = { ...session, broker_time, auth_time: seconds(session.auth_time - by) };
  const token = tokenOf(broker_time, broker_time + expires_in);
  const text = printEntry({
    ...entry,
    token,
    expires_in: seconds(expires_in),
    minted_local: seconds(minted_local - by),
    session: older,
  });
  writeFileSync(entryFile(desk, cluster), text, { mode: 0o600 });
}

/** What says that it was tried a moment ago. */
function forgetTries(desk: Desk): void {
  for (const file of tries(desk)) rmSync(file);
}

function tries(desk: Desk): readonly string[] {
  const folder = path.join(desk.dir, 'cache');
  const names = readdirSync(folder).filter((name) => name.startsWith('renewing'));
  return names.map((name) => path.join(folder, name));
}

describe('200 calls over ten lives of a token (native)', () => {
  it('none waits for the broker, and each token is minted once', async () => {
    const { calls, tokens, waited, mints } = await callOften({ calls: 200, lives: 10 });
    assert.equal(waited, 0, `of ${calls} calls over ${tokens} tokens`);
    assert.ok(tokens >= 10 && mints >= tokens - 1 && mints <= tokens, `${mints} mints for ${tokens} tokens`);
  });
});

for (const via of PROGRAMS)
  describe(`a token of which less than a quarter is left (${via})`, () => {
    let counted: Awaited<ReturnType<typeof openCounted>>;
    let desk: Desk;
    before(async () => {
      counted = await openCounted({ limits: { ...HALF_HOUR, token_ttl: '5m' }, segments: [] }, via);
      desk = counted.desk;
      credentialOf(await desk.getToken('dev', true));
    });
    beforeEach(() => forgetTries(desk));
    after(() => desk.stop());

    const call = () => desk.getToken('dev', false, { env: counted.env });
    const renewed = (before: string) =>
      until(() => entryOf(desk, 'dev').token !== before, 'it was not renewed in the background');

    it('is printed, and renewed for the calls after it', async () => {
      age(desk, 'dev', 230);
      const [asked, rows] = [counted.waited(), minted(desk)];
      const { token } = credentialOf(await call());
      await renewed(token);
      assert.notEqual(credentialOf(await call()).token, token);
      assert.deepEqual([counted.waited() - asked, minted(desk) - rows], [0, 1]);
    });

    it('is renewed once by 50 calls at once', async () => {
      age(desk, 'dev', 230);
      const [asked, rows, processes] = [counted.waited(), minted(desk), counted.begun(RENEW_COMMAND)];
      const before = entryOf(desk, 'dev').token ?? '';
      const results = await Promise.all(Array.from({ length: 50 }, call));
      for (const result of results) credentialOf(result);
      await renewed(before);
      credentialOf(await call());
      assert.deepEqual([counted.waited() - asked, minted(desk) - rows], [0, 1]);
      if (via === 'native') assert.equal(counted.begun(RENEW_COMMAND) - processes, 1);
    });

    it('is not renewed in CI, nor where the settings say so', async () => {
      age(desk, 'dev', 230);
      const rows = minted(desk);
      const before = entryOf(desk, 'dev').token;
      credentialOf(await desk.getToken('dev', false, { env: { ...counted.env, CI: 'true' } }));
      const file = path.join(desk.dir, 'config/config.json');
      const settings = readFileSync(file, 'utf8');
      if (via === 'native') {
        writeFileSync(file, JSON.stringify({ ...JSON.parse(settings), background_renewal: false }));
        credentialOf(await call());
        writeFileSync(file, settings);
      }
      assert.deepEqual(tries(desk), []);
      assert.deepEqual([entryOf(desk, 'dev').token, minted(desk)], [before, rows]);
    });

    it('is printed at once while the broker stands still, and while it is away; why it was not renewed is kept', async () => {
      age(desk, 'dev', 230);
      const asked = counted.waited();
      const { token } = entryOf(desk, 'dev');
      process.kill(desk.broker.pid, 'SIGSTOP');
      try {
        for (let i = 0; i < 5; i++) assert.equal(credentialOf(await call()).token, token);
      } finally {
        process.kill(desk.broker.pid, 'SIGCONT');
      }
      await renewed(token ?? '');
      await desk.stopBroker();
      age(desk, 'dev', 230);
      forgetTries(desk);
      // Node.js begins one in each 10 s by the clock.
      const fault = () => lastBackgroundFault(testHost(), path.join(desk.dir, 'cache'));
      await until(async () => {
        credentialOf(await call());
        await sleep(200);
        return fault() !== undefined;
      }, 'why it was not renewed is not kept');
      assert.equal(fault()?.code, 'broker_unreachable');
      assert.equal(counted.waited() - asked, 0);
      await desk.restartBroker();
      const before = entryOf(desk, 'dev').token ?? '';
      await until(async () => {
        forgetTries(desk);
        return credentialOf(await call()).token !== before;
      }, 'it is not renewed again');
      await until(() => fault() === undefined, 'the fault is kept although it is over');
    });
  });

describe('what renews in the background', () => {
  let desk: Desk;
  let host: ReturnType<typeof testHost>;
  let loggedIn: number;
  before(async () => {
    desk = await openDesk({ policy: { limits: { ...HALF_HOUR, token_ttl: '5m' }, segments: [] } });
    credentialOf(await desk.getToken('dev', true));
    loggedIn = clock();
    host = testHost({ ...desk.env, KUBERNETES_EXEC_INFO: execInfo(false) });
  });
  after(() => desk.stop());

  const words = (called: number) => [
    ...[RENEW_COMMAND, String(called), 'get-token', '--broker', desk.url, '--cluster', 'dev'],
    ...['--ca-file', desk.ca_file],
  ];
  const cache = () => path.join(desk.dir, 'cache');

  it('asks nobody once 10 s have passed since its call, as on a laptop that slept', async () => {
    age(desk, 'dev', 230);
    const rows = minted(desk);
    await assert.rejects(renewInBackground(host, words(clock() - 11)), { code: 'busy' });
    assert.match(lastBackgroundFault(host, cache())?.message ?? '', /^too late for a renewal in the background/);
    assert.equal(minted(desk), rows);
  });

  it('looks again before each request', async () => {
    // So far off that the broker asks for a second one, with its nonce: between the two the laptop sleeps.
    const slow = { ...host, now: () => seconds(clock() - 3_000) };
    age(desk, 'dev', 230, slow.now());
    const rows = minted(desk);
    let looked = 0;
    const still = () => {
      looked += 1;
      if (looked > 2) throw new CurfewError('busy', 'too late');
    };
    const key = { broker: desk.url, cluster: 'dev', max_age: undefined };
    await assert.rejects(renewQuietly(createClient(slow, desk.url, desk.ca_file, still), key, still), { code: 'busy' });
    assert.deepEqual([looked, minted(desk)], [3, rows]);
  });

  it('does nothing where the token is not due any more, and renews one that is, whatever the cache would answer', async () => {
    const rows = minted(desk);
    age(desk, 'dev', 230);
    await renewInBackground(host, words(clock()));
    await until(() => minted(desk) === rows + 1, 'it is not renewed');
    const { token } = entryOf(desk, 'dev');
    await renewInBackground(host, words(clock()));
    assert.equal(entryOf(desk, 'dev').token, token);
    assert.equal(minted(desk), rows + 1);
    assert.equal(lastBackgroundFault(host, cache()), undefined);
  });

  it('leaves a session that ended to the next call: the token that is there stays', async () => {
    age(desk, 'dev', 230);
    const { token } = entryOf(desk, 'dev');
    const limits = { max_age: '5s', inactivity_timeout: '4s', token_ttl: '2s' };
    await desk.restartBroker({ policy: { limits, segments: [] } });
    await until(() => clock() > loggedIn + 6, 'the clock stands still');
    await assert.rejects(renewInBackground(host, words(clock())), /^CurfewError: the broker refuses: /);
    assert.equal(entryOf(desk, 'dev').token, token);
  });

  it('holds nothing open of what its call had', async () => {
    await desk.restartBroker();
    age(desk, 'dev', 230);
    forgetTries(desk);
    process.kill(desk.broker.pid, 'SIGSTOP');
    try {
      const [program, ...more] = desk.command;
      const args = [...more, 'get-token', '--broker', desk.url, '--cluster', 'dev', '--ca-file', desk.ca_file];
      const env = { ...desk.env, KUBERNETES_EXEC_INFO: execInfo(false) };
      const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'pipe'] });
      const ends = [1, 2, 3, 4].map((fd) => {
        const stream = child.stdio[fd];
        assert.ok(stream && 'resume' in stream);
        stream.resume();
        return once(stream, 'end');
      });
      assert.deepEqual(await once(child, 'exit'), [0, null]);
      await Promise.all(ends);
      const [lock = ''] = tries(desk);
      assert.equal(statSync(lock).size, 1, 'the renewal is over already');
    } finally {
      process.kill(desk.broker.pid, 'SIGCONT');
    }
  });
});

describe('a session of which the identity provider has to confirm the account', () => {
  let desk: Desk;
  let idp: Refreshing;
  before(async () => {
    const limits = { ...HALF_HOUR, token_ttl: '5m', revalidate: '10m' };
    desk = await openDesk({ policy: { limits, segments: [] } });
    idp = await startRefreshing(desk.idp, 'alice');
  });
  after(async () => {
    idp.stop();
    await desk.stop();
  });

  it('is left to the next call: no refresh token is used in the background, where a kill would lose it', async () => {
    credentialOf(await desk.getToken('dev', true));
    const host = testHost({ ...desk.env, KUBERNETES_EXEC_INFO: execInfo(false) });
    const call = ['get-token', '--broker', desk.url, '--cluster', 'dev', '--ca-file', desk.ca_file];
    const words = () => [RENEW_COMMAND, String(clock()), ...call];
    const due = () => {
      const record = readRecord(host, desk.url);
      return record !== undefined && isDue(entryOf(desk, 'dev'), record, clock());
    };
    // Not yet: it is renewed as any other.
    age(desk, 'dev', 230);
    const rows = minted(desk);
    assert.deepEqual([isNearlyOver(entryOf(desk, 'dev'), clock()), due()], [true, false]);
    await renewInBackground(host, words());
    assert.deepEqual([minted(desk) - rows, idp.refreshes.length], [1, 0]);
    // The word of the identity provider is nearly over, and so is the token.
    age(desk, 'dev', 230);
    wordOf(desk, 330);
    assert.deepEqual([isNearlyOver(entryOf(desk, 'dev'), clock()), due()], [true, true]);
    const { token } = entryOf(desk, 'dev');
    await renewInBackground(host, words());
    assert.deepEqual([minted(desk) - rows, idp.refreshes.length], [1, 0]);
    assert.equal(entryOf(desk, 'dev').token, token);
    assert.equal(lastBackgroundFault(host, path.join(desk.dir, 'cache')), undefined, 'nothing failed');
  });

  /** As if the last word of the identity provider were so many seconds old. */
  function wordOf(of: Desk, by: number): void {
    const revalidated_at = seconds(clock() - by);
    const { session, ...entry } = entryOf(of, 'dev');
    assert.ok(session);
    const older = { ...session, auth_time: revalidated_at, revalidated_at };
    writeFileSync(entryFile(of, 'dev'), printEntry({ ...entry, session: older }), { mode: 0o600 });
    const folder = path.join(of.dir, 'config/sessions');
    const [name = ''] = readdirSync(folder);
    const record = JSON.parse(readFileSync(path.join(folder, name), 'utf8'));
    record.session = { ...record.session, auth_time: revalidated_at, revalidated_at };
    writeFileSync(path.join(folder, name), JSON.stringify(record), { mode: 0o600 });
  }
});

describe('a session that nobody uses any more', () => {
  it('is not kept up: one call renews once, and no renewal follows without a call', async () => {
    const limits = { max_age: '1h', inactivity_timeout: '30m', token_ttl: '15s' };
    const { desk, env } = await openCounted({ limits, segments: [] });
    try {
      credentialOf(await desk.getToken('dev', true));
      const call = () => desk.getToken('dev', false, { env });
      const before = () => entryOf(desk, 'dev').token;
      // Until one call has left a renewal behind.
      await until(async () => {
        const first = before();
        forgetTries(desk);
        age(desk, 'dev', 4);
        const { token } = credentialOf(await call());
        return token === first && (await changes(() => before() !== first));
      }, 'no call leaves a renewal behind');
      const [rows, called] = [minted(desk), clock()];
      // Its whole life long the next token is looked at by nobody.
      await until(() => clock() > called + 16, 'the clock stands still');
      assert.equal(minted(desk), rows);
      const { stdout } = await desk.curfew(['sessions', 'list', '-o', 'json', '--broker', desk.url]);
      const [session] = JSON.parse(stdout).sessions;
      assert.ok(session.last_used <= called, `used ${session.last_used - called}s after the last call`);
    } finally {
      await desk.stop();
    }
  });

  /** Within a second or two: it may not have been due any more on a busy machine. */
  async function changes(looks: () => boolean): Promise<boolean> {
    for (let i = 0; i < 20 && !looks(); i++) await sleep(100);
    return looks();
  }
});

describe('when a renewal is due', () => {
  const at = seconds(1_800_000_000);
  const after = (by: number, options = {}) => isNearlyOver(entryAt(at, options), seconds(at + by));

  it('is in the last quarter before the margin, of short tokens too', () => {
    assert.deepEqual([after(214), after(215), after(289)], [false, true, true]);
    const short = (by: number) => after(by, { ttl: 20 });
    assert.deepEqual([short(4), short(5)], [false, true]);
  });

  it('is never where a new token would end no later', () => {
    // `max_age` of 900 s is over as the token is.
    assert.equal(after(289, { age: 600 }), false);
    assert.equal(after(289, { age: 599 }), true);
  });

  it('is never where files do not show whose they are, or the settings cannot be read', () => {
    const folder = temporaryFolder('due');
    const now = seconds(at + 250);
    const host = testHost();
    const due = (machine: object) => renewalDue({ ...host, ...machine }, folder, entryAt(at), now, ['get-token']);
    assert.deepEqual(due({})?.args, [RENEW_COMMAND, String(now), 'get-token']);
    assert.equal(due({ uid: undefined }), undefined);
    assert.equal(due({ env: { ...host.env, CI: '1' } }), undefined);
    assert.ok(due({ env: { ...host.env, CI: 'false' } }));
    assert.ok(LIMITS.token_ttl > 0 && KEY.cluster === 'dev');
  });
});

describe('a keychain', () => {
  it('is asked in the background only while it is open', async () => {
    const keyring = await startKeyring(temporaryFolder('keyring'));
    try {
      const host = testHost(keyring.env);
      assert.equal(await isOpenKeychain(host), true);
      await keyring.lock();
      assert.equal(await isOpenKeychain(host), false);
      assert.equal(await isOpenKeychain({ ...host, platform: 'darwin' }), false);
    } finally {
      await keyring.stop();
    }
    assert.equal(await isOpenKeychain(testHost({ DBUS_SESSION_BUS_ADDRESS: 'unix:path=/nowhere' })), false);
  });
});
