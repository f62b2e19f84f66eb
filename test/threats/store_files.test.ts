// The threat model: the store's files deleted, cut off, exchanged or put back (S22), and what others may read of them.

import assert from 'node:assert/strict';
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  existsSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { createClusterApis } from '../../broker/api_servers/apis.ts';
import { accept } from '../../broker/commands/administration_commands.ts';
import { check } from '../../broker/commands/check.ts';
import { loadConfig } from '../../broker/config/load.ts';
import { CurfewError } from '../../shared/errors.ts';
import type { Holder } from '../support/holder.ts';
import { until } from '../support/patience.ts';
import { askAuthorization, jtiOf } from '../support/review.ts';
import { startTestService, type TestService } from '../support/service.ts';

const CLUSTERS = [
  {
    ...{ name: 'dev', server: 'https://127.0.0.1:1', audience: 'dev', allowed_groups: ['*'] },
    webhook: { token_file: 'dev-hook', on_failure: 'deny' },
  },
];
const QUIET = { info: () => undefined, warn: () => undefined, error: () => undefined };

interface Opened {
  readonly holder: Holder;
  readonly handle: string;
  readonly sid: string;
  readonly token: string;
  readonly email: string;
}

async function open(service: TestService, email = 'a@example.com'): Promise<Opened> {
  const holder = service.holder();
  const { granted } = await service.login(holder, { sub: email, email }, { audience: 'dev' });
  const { access_token: token, refresh_token: handle = '', session } = granted;
  return { holder, handle, sid: session.sid, token, email };
}

/** A copy as a backup makes it, of a store that is in use. */
function backUp(file: string, to: string): void {
  rmSync(to, { force: true });
  const database = new DatabaseSync(file, { readOnly: true });
  database.exec(`vacuum into '${to}'`);
  database.close();
}

const ready = async (service: TestService) =>
  ((await (await fetch(`${service.url}/readyz`)).json()) as { status: string }).status;

async function acceptStore(service: TestService): Promise<readonly string[]> {
  const config = await loadConfig(service.configFile, { env: process.env });
  const apis = createClusterApis();
  try {
    const { lines } = await accept('store accept', config, { now: () => service.now, by: 'root', apis, log: QUIET });
    return lines;
  } finally {
    await apis.close();
  }
}

describe('S22 the files of the store change while it is open', () => {
  let service: TestService;
  beforeEach(async () => {
    service = await startTestService({ clusters: CLUSTERS });
  });
  afterEach(() => service.stop());

  const changes: Readonly<Record<string, (file: string) => void>> = {
    deleted: (file) => unlinkSync(file),
    'deleted with its log': (file) => {
      for (const part of ['', '-wal', '-shm']) unlinkSync(file + part);
    },
    'moved away': (file) => renameSync(file, `${file}.old`),
    'cut off': (file) => truncateSync(file, 4096),
    emptied: (file) => truncateSync(file, 0),
    'exchanged for a copy of this moment': (file) => {
      backUp(file, `${file}.copy`);
      renameSync(`${file}.copy`, file);
    },
    'written over with a copy': (file) => {
      backUp(file, `${file}.copy`);
      copyFileSync(`${file}.copy`, file);
    },
    'appended to': (file) => appendFileSync(file, Buffer.alloc(4096)),
    'its log deleted': (file) => unlinkSync(`${file}-wal`),
    'its log emptied': (file) => truncateSync(`${file}-wal`, 0),
    'its log cut off': (file) => truncateSync(`${file}-wal`, statSync(`${file}-wal`).size - 1),
    'its log exchanged': (file) => {
      copyFileSync(`${file}-wal`, `${file}-copy`);
      renameSync(`${file}-copy`, `${file}-wal`);
    },
    'its index deleted': (file) => unlinkSync(`${file}-shm`),
    'exchanged for an empty file': (file) => {
      unlinkSync(file);
      writeFileSync(file, '');
    },
  };
  for (const [name, change] of Object.entries(changes)) {
    test(`S22 ${name}: not ready at once, nothing is acknowledged, and it is said`, async () => {
      const { holder, handle, sid, token, email } = await open(service);
      assert.equal(await ready(service), 'ok');
      change(service.storeFile);
      assert.equal(await ready(service), 'store');
      for (const answer of [await holder.renew(handle, 'dev'), await holder.revoke(handle)]) {
        assert.deepEqual([answer.status, answer.refused.reason], [503, 'store']);
      }
      assert.equal((await service.login(service.holder(), { sub: 'b', email: 'b@example.com' })).status, 503);
      const asked = { user: `curfew:${email}`, sid, jti: jtiOf(token) };
      const opinion = await askAuthorization(service.url, service.webhook_tokens.dev ?? '', asked);
      assert.ok(opinion.status >= 500 || opinion.denied);
      await until(() => service.log.some((line) => line.includes('"code":"store"')), 'the log does not say so');
    });
  }

  test('S22 an end that comes first is not acknowledged either: the change is seen before the answer', async () => {
    const { holder, handle } = await open(service);
    unlinkSync(service.storeFile);
    assert.equal((await holder.revoke(handle)).status, 503);
  });

  test('S22 moved away and back: it heals', async () => {
    const { holder, handle } = await open(service);
    renameSync(service.storeFile, `${service.storeFile}.away`);
    assert.equal((await holder.renew(handle, 'dev')).status, 503);
    renameSync(`${service.storeFile}.away`, service.storeFile);
    assert.equal(await ready(service), 'ok');
    assert.equal((await holder.renew(handle, 'dev')).status, 200);
  });

  test('S22 others who read it, also to copy it, disturb nothing', async () => {
    const { holder, handle } = await open(service);
    for (let i = 0; i < 3; i++) {
      backUp(service.storeFile, `${service.storeFile}.copy`);
      assert.equal((await holder.renew(handle, 'dev')).status, 200);
    }
    assert.equal(await ready(service), 'ok');
  });

  test('S22 the witness deleted while the broker runs is made again', async () => {
    const { holder, handle } = await open(service);
    const witness = path.join(path.dirname(service.storeFile), 'witness', 'curfew.db');
    unlinkSync(witness);
    await until(() => existsSync(witness), 'the witness does not come back');
    assert.equal((await holder.renew(handle, 'dev')).status, 200);
    await service.restart();
    assert.equal((await holder.renew(handle, 'dev')).status, 200);
  });
});

describe('S22 the store and its witness at a start', () => {
  let service: TestService;
  let witness: string;
  let copy: string;
  before(async () => {
    service = await startTestService({ clusters: CLUSTERS });
    witness = path.join(path.dirname(service.storeFile), 'witness', 'curfew.db');
    copy = `${service.storeFile}.copy`;
  });
  after(() => service.stop());

  const put = (from: string) => {
    for (const part of ['-wal', '-shm']) rmSync(service.storeFile + part, { force: true });
    copyFileSync(from, service.storeFile);
  };

  test('S22 put back to before a logout: no start until an administrator says so, and then the session is over', async () => {
    const { holder, handle } = await open(service, 'put-back@example.com');
    backUp(service.storeFile, copy);
    assert.equal((await holder.revoke(handle)).status, 200);
    await service.halt();
    put(copy);
    await assert.rejects(service.restart(), { code: 'store', message: /put back to an earlier state/ });
    service.advance(2);
    await acceptStore(service);
    await service.restart();
    assert.notEqual((await holder.renew(handle, 'dev')).status, 200);
    service.advance(2);
    await open(service, 'put-back@example.com');
  });

  test('S22 killed right after the logout, put back: the witness knows of it', async () => {
    const { holder, handle } = await open(service, 'killed@example.com');
    backUp(service.storeFile, copy);
    const before = readFileSync(witness);
    assert.equal((await holder.revoke(handle)).status, 200);
    assert.notDeepEqual(readFileSync(witness), before, 'it was told before the answer');
    const then = readFileSync(witness);
    await service.halt();
    writeFileSync(witness, then);
    put(copy);
    await assert.rejects(service.restart(), { code: 'store' });
    service.advance(2);
    await acceptStore(service);
    await service.restart();
  });

  test('S22 the store is gone: none is made in its place until an administrator says so', async () => {
    service.advance(2);
    const { holder, handle } = await open(service, 'gone@example.com');
    await service.halt();
    for (const part of ['', '-wal', '-shm']) rmSync(service.storeFile + part, { force: true });
    await assert.rejects(service.restart(), { code: 'store', message: /is gone/ });
    assert.ok(!existsSync(service.storeFile));
    const lines = await acceptStore(service);
    assert.ok(lines.some((line) => line.startsWith('ok: everything before now is over')));
    await service.restart();
    assert.notEqual((await holder.renew(handle, 'dev')).status, 200);
    service.advance(2);
    await open(service, 'gone@example.com');
  });

  const damages: Readonly<Record<string, () => void>> = {
    'is gone': () => unlinkSync(witness),
    'is empty': () => truncateSync(witness, 0),
    'is of another store': () => {
      const [line = ''] = readFileSync(witness, 'utf8').split('\n');
      const other = JSON.stringify({ ...(JSON.parse(line) as object), database_id: 'f'.repeat(32) });
      writeFileSync(witness, `${other.padEnd(511)}\n`.repeat(2));
    },
    'was written by hand': () => {
      const [line = ''] = readFileSync(witness, 'utf8').split('\n');
      const earlier = JSON.stringify({ ...(JSON.parse(line) as object), seq: 1 });
      writeFileSync(witness, `${earlier.padEnd(511)}\n`.repeat(2));
    },
  };
  for (const [name, damage] of Object.entries(damages)) {
    test(`S22 the witness ${name}: no start until an administrator says so`, async () => {
      await service.halt();
      damage();
      await assert.rejects(service.restart(), { code: 'store' });
      service.advance(2);
      await acceptStore(service);
      await service.restart();
      service.advance(2);
      await open(service);
    });
  }

  test('S22 a torn record, or a witness that is older than the store, is no fault', async () => {
    const before = readFileSync(witness);
    await open(service, 'torn@example.com');
    await service.halt();
    const now = readFileSync(witness);
    for (const turn of [0, 1]) {
      const torn = Buffer.from(now);
      torn.fill(0, turn * 512 + 100, turn * 512 + 300);
      writeFileSync(witness, torn);
      await service.restart();
      await service.halt();
    }
    writeFileSync(witness, before);
    await service.restart();
    await open(service, 'torn@example.com');
  });

  test('S22 a witness beside the store is refused, one elsewhere is taken, and it can be left out', async () => {
    await service.halt();
    const beside = { sqlite: { file: 'curfew.db' }, witness_file: 'curfew.witness' };
    await assert.rejects(service.restart({ store: beside }), { code: 'configuration', message: /another folder/ });
    const elsewhere = { sqlite: { file: 'other.db' }, witness_file: 'elsewhere/deep/witness' };
    await service.restart({ store: elsewhere });
    assert.ok(existsSync(path.join(path.dirname(service.storeFile), 'elsewhere/deep/witness')));
    await service.restart({ store: { sqlite: { file: 'third.db' }, witness_file: false } });
    assert.ok(!existsSync(path.join(path.dirname(service.storeFile), 'witness', 'third.db')));
    await service.restart();
  });
});

describe('files that nobody else is to read', () => {
  test('the store and all beside it are made 0600 whatever the umask, and made so at the next start', async () => {
    const umask = process.umask(0o000);
    const service = await startTestService({ clusters: CLUSTERS });
    try {
      const folder = path.dirname(service.storeFile);
      const files = ['curfew.db', 'curfew.db-wal', 'curfew.db-shm', 'witness/curfew.db'].map((name) =>
        path.join(folder, name),
      );
      const modes = () => files.map((file) => (statSync(file).mode & 0o777).toString(8));
      await open(service);
      assert.deepEqual(modes(), ['600', '600', '600', '600']);
      assert.equal((statSync(path.join(folder, 'witness')).mode & 0o777).toString(8), '700');
      await service.halt();
      chmodSync(service.storeFile, 0o644);
      await service.restart();
      await open(service);
      assert.deepEqual(modes(), ['600', '600', '600', '600']);
    } finally {
      process.umask(umask);
      await service.stop();
    }
  });
});

test('check tells of a store that others can read, and of one without a witness', async () => {
  const service = await startTestService({ clusters: CLUSTERS });
  try {
    const config = await loadConfig(service.configFile, { env: process.env });
    const away = { refresh: () => Promise.reject(new CurfewError('identity_provider', 'away')) };
    const said = async () => (await check(config, away, createClusterApis(), service.now)).lines.join('\n');
    assert.doesNotMatch(await said(), /store/);
    for (const part of ['', '-wal', '-shm']) {
      chmodSync(service.storeFile + part, 0o640);
      assert.match(
        await said(),
        new RegExp(`^warning: store: .*curfew\\.db${part} is open to others \\(mode 0640\\)`, 'm'),
      );
      chmodSync(service.storeFile + part, 0o600);
    }
    const without = { ...config, store: { sqlite: { file: service.storeFile } } };
    assert.match(
      (await check(without, away, createClusterApis(), service.now)).lines.join('\n'),
      /store\.witness_file/,
    );
  } finally {
    await service.stop();
  }
});
