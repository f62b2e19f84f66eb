// The record on a real store: what `audit verify` finds, and where it says that it is.

import assert from 'node:assert/strict';
import { createHash, createSecretKey, randomBytes } from 'node:crypto';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, test } from 'node:test';
import { Kysely } from 'kysely';
import { createSealer } from '../../broker/audit_chain.ts';
import { exportAudit, tailAudit, verifyAudit } from '../../broker/audit_commands.ts';
import { MIGRATIONS, type Schema } from '../../broker/store/schema.ts';
import { openSqlite } from '../../broker/store/sqlite.ts';
import { Store } from '../../broker/store/store.ts';
import { seconds } from '../../shared/time.ts';
import { startTestService, T0, type TestService } from '../support/service.ts';

let service: TestService;
let folder: string;
let encryption_key: ReturnType<typeof createSecretKey>;
let copies = 0;

before(async () => {
  service = await startTestService();
  folder = await mkdtemp(path.join(tmpdir(), 'curfew-audit-'));
  const key = await readFile(path.join(path.dirname(service.storeFile), 'key'), 'utf8');
  encryption_key = createSecretKey(Buffer.from(key, 'base64'));
  for (let i = 0; i < 12; i++) {
    service.advance(60);
    const holder = service.holder();
    const { granted } = await service.login(holder, { sub: `s${i}`, email: `s${i}@example.com` }, { audience: 'dev' });
    if (i % 3 === 0) await holder.revoke(granted.refresh_token ?? '');
  }
});
after(async () => {
  await service.stop();
  await rm(folder, { recursive: true, force: true });
});

async function verify(file: string, anchor?: string, key = encryption_key): Promise<{ exit: number; lines: string[] }> {
  const lines: string[] = [];
  const exit = await verifyAudit({ store: { sqlite: { file } }, encryption_key: key }, anchor, async (line) => {
    lines.push(line);
  });
  return { exit, lines };
}

/** A copy of the store as it is now, with something done to it. */
async function tampered(...statements: readonly string[]): Promise<string> {
  const file = path.join(folder, `${copies++}.db`);
  const source = new DatabaseSync(service.storeFile);
  source.exec('pragma wal_checkpoint(truncate)');
  source.close();
  await copyFile(service.storeFile, file);
  const database = new DatabaseSync(file);
  for (const statement of statements) database.exec(statement);
  database.close();
  return file;
}

const rows = async (file: string) => {
  const database = new DatabaseSync(file, { readOnly: true });
  const found = database.prepare('select seq, data, hash from audit order by seq').all();
  database.close();
  return found as { seq: number; data: string; hash: string }[];
};

describe('audit verify', () => {
  test('finds nothing in a record that is whole, beside the broker that writes it, and prints its anchor', async () => {
    const { exit, lines } = await verify(service.storeFile);
    const all = await rows(service.storeFile);
    assert.ok(all.length > 25);
    assert.deepEqual([exit, lines], [0, [`ok: ${all.length} rows, anchor ${all.length}:${all.at(-1)?.hash}`]]);
  });

  test('finds one byte changed anywhere in a row, and says in which', async () => {
    const row = (await rows(service.storeFile))[6];
    assert.ok(row);
    for (let at = 1; at < row.data.length; at += 17) {
      const changed = `${row.data.slice(0, at)}${row.data[at] === 'x' ? 'y' : 'x'}${row.data.slice(at + 1)}`;
      const file = await tampered(`update audit set data = '${changed.replaceAll("'", "''")}' where seq = 7`);
      const { exit, lines } = await verify(file);
      assert.equal(exit, 78);
      assert.match(
        lines[0] ?? '',
        /^error: row 7 \(\w+, 2027-01-15T08:\d\d:\d\dZ\): its hash does not follow .*: it was changed/,
      );
    }
  });

  test('finds a column beside the row changed', async () => {
    for (const change of ['at = at + 1', "event = 'mint2'", "sid = 'other'"]) {
      const file = await tampered(`update audit set ${change} where seq = 9`);
      const { exit, lines } = await verify(file);
      assert.equal(exit, 78);
      assert.match(lines[0] ?? '', /^error: row 9 .*its column (at|event|sid) was changed$/);
      assert.equal(lines.length, 1);
    }
  });

  test('finds rows removed, put in, exchanged, cut off, and a head that was replaced', async () => {
    const all = await rows(service.storeFile);
    const last = all.length;
    const swap = [
      'update audit set seq = -1 where seq = 4',
      'update audit set seq = 4 where seq = 5',
      'update audit set seq = 5 where seq = -1',
    ];
    const cases: readonly (readonly [string, readonly string[], RegExp])[] = [
      ['one removed', ['delete from audit where seq = 5'], /^error: row 5 is missing$/m],
      ['three removed', ['delete from audit where seq between 5 and 7'], /^error: rows 5 to 7 are missing$/m],
      ['the first removed', ['delete from audit where seq = 1'], /^error: row 1 is missing$/m],
      ['two exchanged', swap, /^error: row 4 .* it was changed, or put there$/m],
      [
        'cut off',
        [`delete from audit where seq > ${last - 2}`],
        new RegExp(`^error: rows ${last - 1} to ${last} are missing: cut off at the end$`, 'm'),
      ],
      ['all removed', ['delete from audit'], new RegExp(`^error: rows 1 to ${last} are missing`, 'm')],
      ['the seal removed', ['delete from audit_head'], /^error: the seal of the newest row is missing$/m],
      [
        'cut off, and the head set back',
        [
          `delete from audit where seq > ${last - 2}`,
          `update audit_head set seq = ${last - 2}, hash = '${all[last - 3]?.hash}'`,
        ],
        /^error: the seal of the newest row was not made with this encryption key$/m,
      ],
    ];
    for (const [what, statements, expected] of cases) {
      const { exit, lines } = await verify(await tampered(...statements));
      assert.equal(exit, 78, what);
      assert.match(lines.join('\n'), expected, what);
    }
  });

  test('finds a chain that was made anew by somebody without the encryption key', async () => {
    const all = await rows(service.storeFile);
    let hash = '0'.repeat(64);
    const statements: string[] = [];
    for (const { seq, data } of all) {
      const changed = seq === 3 ? data.replace('example.com', 'example.org') : data;
      hash = createHash('sha256').update(`${hash}\n${seq}\n${changed}`).digest('hex');
      statements.push(
        `update audit set data = '${changed.replaceAll("'", "''")}', hash = '${hash}' where seq = ${seq}`,
      );
    }
    const { exit, lines } = await verify(await tampered(...statements));
    assert.deepEqual([exit, lines], [78, [`error: row ${all.length} is not the one that was sealed`]]);
    const sealed = createSealer(createSecretKey(randomBytes(32))).seal({ seq: all.length, hash });
    const resealed = await tampered(...statements, `update audit_head set hash = '${hash}', seal = '${sealed}'`);
    assert.match((await verify(resealed)).lines.join(), /seal of the newest row was not made with this encryption key/);
  });

  test('an anchor noted earlier shows that an older state of the whole store was put back', async () => {
    const old = await tampered();
    const noted = (await rows(service.storeFile)).at(-1);
    service.advance(60);
    await service.login(service.holder(), { sub: 'later', email: 'later@example.com' });
    const newest = (await rows(service.storeFile)).at(-1);
    assert.ok(noted && newest && newest.seq > noted.seq);
    assert.equal((await verify(service.storeFile, `${noted.seq}:${noted.hash}`)).exit, 0);
    assert.equal((await verify(old)).exit, 0, 'an old state is whole in itself');
    const { exit, lines } = await verify(old, `${newest.seq}:${newest.hash}`);
    assert.equal(exit, 78);
    assert.match(lines.join(), new RegExp(`row ${newest.seq} is not the one that the anchor names`));
    await assert.rejects(verify(old, 'nonsense'), { code: 'usage', message: /--anchor: expected SEQ:HASH/ });
  });

  test('what is no store of this version is said to be that', async () => {
    const text = path.join(folder, 'text.db');
    await writeFile(text, 'this is no database, and long enough to be looked at'.repeat(100));
    const older = path.join(folder, 'older.db');
    await makeOlderStore(older);
    await assert.rejects(verify(path.join(folder, 'none.db')), { code: 'configuration', message: /no such file/ });
    await assert.rejects(verify(text), { code: 'configuration', message: /not a store/ });
    await assert.rejects(verify(older), { code: 'configuration', message: /not a store of this version/ });
  });
});

/** As 0.1.0 left it, with rows that had no chain. */
async function makeOlderStore(file: string): Promise<void> {
  const db = new Kysely<Schema>({ dialect: openSqliteDialect(file) });
  await MIGRATIONS['0001_first']?.up(db as never);
  for (let i = 1; i <= 1200; i++) {
    const event = { event: 'login', at: i, sid: `s${i}`, username: 'alice' };
    const row = { at: seconds(i), event: 'login', sid: `s${i}`, data: JSON.stringify(event) };
    await db
      .insertInto('audit')
      .values(row as never)
      .execute();
  }
  await db.destroy();
  const database = new DatabaseSync(file);
  database.exec(
    'create table kysely_migration (name varchar(255) not null primary key, timestamp varchar(255) not null)',
  );
  database.exec("insert into kysely_migration values ('0001_first', '2026-01-01T00:00:00Z')");
  database.close();
}

function openSqliteDialect(file: string) {
  return openSqlite(file).writing;
}

test('a store of 0.1.0 is taken over: its rows get their place in the chain, and further ones follow', async () => {
  const file = path.join(folder, 'upgraded.db');
  await makeOlderStore(file);
  const sealer = createSealer(encryption_key);
  const store = await Store.open(openSqlite(file), { onAudit: () => undefined, sealer });
  assert.deepEqual((await verify(file)).exit, 0);
  await store.transaction((transaction) =>
    transaction.audit({ event: 'policy', at: T0, outcome: 'loaded', digest: 'd' }),
  );
  await store.close();
  assert.match((await verify(file)).lines[0] ?? '', /^ok: 1201 rows/);
});

test('a transaction that is undone leaves no gap in the chain, also within a group', async () => {
  const file = path.join(folder, 'undone.db');
  const sealer = createSealer(encryption_key);
  const store = await Store.open(openSqlite(file), { onAudit: () => undefined, sealer });
  const add = (digest: string, fail = false) =>
    store.transaction(async (transaction) => {
      await transaction.audit({ event: 'policy', at: T0, outcome: 'loaded', digest });
      if (fail) throw new TypeError('undone');
    });
  const results = await Promise.allSettled([add('a'), add('b', true), add('c'), add('d', true), add('e')]);
  assert.deepEqual(
    results.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled', 'rejected', 'fulfilled'],
  );
  await store.close();
  assert.match((await verify(file)).lines[0] ?? '', /^ok: 3 rows/);
});

describe('audit tail and export', () => {
  const collect = async (work: (print: (line: string) => Promise<void>) => Promise<void>) => {
    const lines: string[] = [];
    await work(async (line) => {
      lines.push(line);
    });
    return lines.map((line) => JSON.parse(line) as { seq: number; at: number; event: string; hash: string });
  };
  const target = () => ({ store: { sqlite: { file: service.storeFile } }, encryption_key });

  test('tail prints the newest 20 in their order, with their place in the chain', async () => {
    const lines = await collect((print) => tailAudit(target(), false, print));
    const all = await rows(service.storeFile);
    assert.deepEqual(
      lines.map(({ seq, hash }) => [seq, hash]),
      all.slice(-20).map(({ seq, hash }) => [seq, hash]),
    );
  });

  test('export prints all, or those since an instant or for a length of time', async () => {
    const all = await rows(service.storeFile);
    const everything = await collect((print) => exportAudit(target(), undefined, () => service.now, print));
    assert.deepEqual(
      everything.map(({ seq }) => seq),
      all.map(({ seq }) => seq),
    );
    const since = seconds(service.now - 300);
    const recent = await collect((print) => exportAudit(target(), '5m', () => service.now, print));
    assert.ok(recent.length > 0 && recent.length < all.length);
    assert.deepEqual(
      recent,
      everything.filter(({ at }) => at >= since),
    );
    const instant = new Date(since * 1000).toISOString();
    assert.deepEqual(await collect((print) => exportAudit(target(), instant, () => service.now, print)), recent);
    await assert.rejects(
      exportAudit(
        target(),
        'yesterday',
        () => service.now,
        async () => undefined,
      ),
      { code: 'usage' },
    );
  });
});
