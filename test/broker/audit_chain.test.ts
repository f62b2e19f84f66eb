// The chain of the audit log, as the store writes it: whole after whatever goes wrong, and never healed over what was changed.

import assert from 'node:assert/strict';
import { createHash, createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, test } from 'node:test';
import { Kysely } from 'kysely';
import { Migrator } from 'kysely/migration';
import { createSealer } from '../../broker/audit_log/chain.ts';
import type { AuditEntry, EndEvent } from '../../broker/audit_log/events.ts';
import { verifyAuditLog } from '../../broker/commands/audit_verify.ts';
import { migrationsWith } from '../../broker/store/migrations.ts';
import { openSqlite } from '../../broker/store/sqlite.ts';
import { SqliteStore } from '../../broker/store/sqlite_store.ts';
import type { Store, Transaction } from '../../broker/store/store.ts';
import { run } from '../../scripts/run.ts';
import { CurfewError } from '../../shared/errors.ts';
import { seconds } from '../../shared/time.ts';

const key = createSecretKey(randomBytes(32));
let folder: string;
let files = 0;
before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'curfew-chain-'));
});
after(() => rm(folder, { recursive: true, force: true }));

const freshFile = () => path.join(folder, `${files++}.db`);
const event = (n: number): EndEvent => {
  const at = seconds(1_800_000_000 + n);
  return { event: 'end', at, sid: `sid-${n}`, reason: 'logout', ended_at: at };
};

interface Opened {
  readonly store: Store;
  readonly told: AuditEntry[];
  readonly broken: () => number;
}

async function open(file: string, with_key: KeyObject = key): Promise<Opened> {
  const told: AuditEntry[] = [];
  let broken = 0;
  const store = await SqliteStore.open(openSqlite(file), {
    sealer: createSealer(with_key),
    onAudit: (entry) => void told.push(entry),
    onBroken: () => void broken++,
  });
  return { store, told, broken: () => broken };
}

const write = (store: Store, n: number) => store.transaction((transaction) => transaction.audit(event(n)));

async function opened(file: string, story: (opened: Opened) => Promise<void>): Promise<void> {
  const one = await open(file);
  try {
    await story(one);
  } finally {
    await one.store.close();
  }
}

async function verified(file: string): Promise<readonly string[]> {
  return (await verifyAuditLog({ store: { sqlite: { file } }, encryption_key: key })).lines;
}

/** Changes the store as somebody would who can write the file. */
function tamper(file: string, ...statements: readonly string[]): void {
  const database = new DatabaseSync(file);
  database.function('sha256', (text) => createHash('sha256').update(String(text)).digest('hex'));
  for (const statement of statements) database.exec(statement);
  database.close();
}

/** A store as version 0.1.0 left it. */
async function firstVersion(file: string, rows: number): Promise<void> {
  const db = new Kysely<unknown>({ dialect: openSqlite(file).writing });
  const { '0001_first': first } = migrationsWith(createSealer(key));
  await new Migrator({ db, provider: { getMigrations: async () => ({ '0001_first': first }) } }).migrateToLatest();
  await db.destroy();
  const database = new DatabaseSync(file);
  const insert = database.prepare('insert into audit (at, event, sid, data) values (?, ?, ?, ?)');
  database.exec('begin');
  for (let n = 1; n <= rows; n++) {
    insert.run(event(n).at, 'end', `sid-${n}`, JSON.stringify(event(n)));
  }
  database.exec('commit');
  database.close();
}

describe('what goes wrong inside', () => {
  test('a transaction that throws leaves no row and no gap, and those around it in the same group stand', async () => {
    const file = freshFile();
    await opened(file, async ({ store, told }) => {
      const failing = async (transaction: Transaction) => {
        await transaction.audit(event(2));
        throw new CurfewError('busy', 'on purpose');
      };
      const outcomes = await Promise.allSettled([write(store, 1), store.transaction(failing), write(store, 3)]);
      assert.deepEqual(
        outcomes.map(({ status }) => status),
        ['fulfilled', 'rejected', 'fulfilled'],
      );
      assert.deepEqual(
        told.map(({ seq, event: { sid } }) => [seq, sid]),
        [
          [1, 'sid-1'],
          [2, 'sid-3'],
        ],
      );
    });
    assert.match((await verified(file))[0] ?? '', /^ok: 2 rows, anchor 2:[0-9a-f]{64}$/);
  });

  test('a group whose commit fails leaves nothing, and the next one goes on from what is there', async () => {
    const file = freshFile();
    await opened(file, async ({ store }) => {
      await write(store, 1);
      const lost = store.transaction(async ({ db, audit }) => {
        await audit(event(2));
        // Ends the group's own transaction: its commit then finds none.
        await db.executeQuery({ ...db.selectFrom('audit').compile(), sql: 'rollback', parameters: [] });
      });
      await assert.rejects(lost, { code: 'store' });
      await write(store, 3);
    });
    assert.match((await verified(file))[0] ?? '', /^ok: 2 rows/);
  });

  test('many groups one after another, from many at once, are one chain', async () => {
    const file = freshFile();
    await opened(file, async ({ store, told }) => {
      await Promise.all(Array.from({ length: 300 }, (_, n) => write(store, n)));
      assert.deepEqual(
        told.map(({ seq }) => seq),
        Array.from({ length: 300 }, (_, n) => n + 1),
      );
    });
    assert.match((await verified(file))[0] ?? '', /^ok: 300 rows/);
  });

  test('two processes that write into one file make one chain', async () => {
    const file = freshFile();
    await opened(file, ({ store: one }) =>
      opened(file, async ({ store: two, broken }) => {
        for (let n = 0; n < 10; n++) await write(n % 3 === 0 ? two : one, n);
        assert.equal(broken(), 0);
      }),
    );
    assert.match((await verified(file))[0] ?? '', /^ok: 10 rows/);
  });
});

describe('a store of 0.1.0', () => {
  test('its rows are chained and sealed when it is opened, and then verify', async () => {
    const file = freshFile();
    await firstVersion(file, 1200);
    await opened(file, async () => undefined);
    assert.match((await verified(file))[0] ?? '', /^ok: 1200 rows, anchor 1200:/);
    await opened(file, ({ store }) => write(store, 1201));
    assert.match((await verified(file))[0] ?? '', /^ok: 1201 rows/);
    tamper(file, `update audit set data = replace(data, 'logout', 'policy') where seq = 7`);
    assert.match((await verified(file))[0] ?? '', /^error: row 7 \(end, 2027-01-15T08:00:07Z\) was changed/);
  });

  test('an upgrade that is killed half-way leaves the old store, and the next start does it whole (F10)', async () => {
    const file = freshFile();
    await firstVersion(file, 600);
    const killed = await run(process.execPath, [path.join(import.meta.dirname, 'dying_opener.ts'), file]);
    assert.notEqual(killed.code, 0);
    const database = new DatabaseSync(file, { readOnly: true });
    const columns = database.prepare(`select name from pragma_table_info('audit')`).all();
    database.close();
    assert.equal(columns.length, 5, 'nothing of the migration is there');
    await opened(file, ({ store }) => write(store, 601));
    assert.match((await verified(file))[0] ?? '', /^ok: 601 rows/);
  });
});

describe('what was changed from outside is not sealed over by rows that come later', () => {
  const cases: Readonly<Record<string, { statements: string[]; found: RegExp; while_running?: RegExp }>> = {
    'rows cut off at the end': {
      statements: ['delete from audit where seq > 8'],
      found: /^error: rows 9 to 10 were removed: after row 8 comes row 11/,
    },
    'the end cut off together with an earlier seal that fits': {
      statements: [
        'delete from audit where seq > 8',
        `update audit_head set seq = 8, hash = (select hash from audit where seq = 8), seal = (select seal from kept)`,
      ],
      found: /./,
      while_running: /^error: rows 9 to 10 were removed: after row 8 comes row 11/,
    },
    'the seal removed': {
      statements: ['delete from audit_head'],
      found: /^error: row 11 .* its hash does not follow from row 10/,
    },
    'the seal replaced': {
      statements: [`update audit_head set seal = '${'0'.repeat(64)}'`],
      found: /^error: row 11 .* its hash does not follow from row 10/,
    },
    'rows and seal all removed': {
      statements: ['delete from audit', 'delete from audit_head'],
      found: /^error: (row 1 .* its hash does not follow from the beginning|rows 1 to 10 were removed)/,
    },
    'a row added at the end, with the hash that it must have': {
      statements: [
        `insert into audit select 11, at, event, sid, data,
          sha256(hash || char(10) || 11 || char(10) || data) from audit where seq = 10`,
      ],
      found: /^error: row 12 .* its hash does not follow from row 11/,
    },
  };
  for (const [what, { statements, found, while_running }] of Object.entries(cases)) {
    test(`${what}, while the broker runs`, async () => {
      const file = freshFile();
      await opened(file, async ({ store, broken }) => {
        for (let n = 1; n <= 8; n++) await write(store, n);
        tamper(file, 'create table kept as select seal from audit_head');
        for (let n = 9; n <= 10; n++) await write(store, n);
        tamper(file, ...statements);
        for (let n = 11; n <= 13; n++) await write(store, n);
        if (what !== 'the seal replaced') assert.ok(broken() > 0);
      });
      const [first = ''] = await verified(file);
      // No row was touched, and the broker knew what it had sealed.
      if (what.startsWith('the seal')) assert.match(first, /^ok: 13 rows/);
      else assert.match(first, while_running ?? found);
    });

    // An earlier state of the whole file is beyond what stands in the file: that is what the anchor is for.
    if (while_running) continue;
    test(`${what}, while it was stopped`, async () => {
      const file = freshFile();
      await opened(file, async ({ store }) => {
        for (let n = 1; n <= 10; n++) await write(store, n);
      });
      tamper(file, ...statements);
      await opened(file, async ({ store, broken }) => {
        for (let n = 11; n <= 13; n++) await write(store, n);
        assert.ok(broken() > 0);
      });
      assert.match((await verified(file))[0] ?? '', found);
    });
  }
});
