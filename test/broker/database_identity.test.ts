// A store is looked at before it is changed: one that is not the one that is known is not brought to this version.

import assert from 'node:assert/strict';
import { createSecretKey, randomBytes } from 'node:crypto';
import { copyFileSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, beforeEach, describe, test } from 'node:test';
import { createSealer } from '../../broker/audit_log/chain.ts';
import { parseDatabaseAddress } from '../../broker/config/database_address.ts';
import { openForCommand, openStore, settleStore } from '../../broker/open_store.ts';
import { declareAllOver } from '../../broker/sessions/all_over.ts';
import { Witness } from '../../broker/store/witness.ts';
import { seconds } from '../../shared/time.ts';
import { type Postgres, startPostgres } from '../support/postgres.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'curfew-identity-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const encryption_key = createSecretKey(randomBytes(32));
const sealer = createSealer(encryption_key);
const options = { sealer, onAudit: () => undefined, onBroken: () => undefined };

/** Tables of the versions that are taken back. */
const LATER = ['connection', 'ssh_ca_key', 'session_role'] as const;

describe('a database that a witness does not know', () => {
  let server: Postgres;
  let own: string;
  let witness_file: string;
  let count = 0;
  before(async () => {
    server = await startPostgres();
  });
  after(() => server?.stop());

  const at = (url: string, witness?: string) => ({
    postgres: { address: parseDatabaseAddress(url, 'url'), connections: 2 },
    witness_file: witness,
  });
  const open = async (url: string, witness?: string) => {
    const { store, guard } = await openStore(at(url, witness), options);
    await store.close();
    guard.close();
  };
  const database = (url: string) => new URL(url).pathname.slice(1);
  const tables = async (url: string) => {
    const rows = await server.query(`select tablename from pg_tables where schemaname = 'public'`, database(url));
    return rows.length;
  };
  const columns = async (url: string) => {
    const text = `select column_name from information_schema.columns where table_name = 'store_state' and column_name = 'epoch_id'`;
    return (await server.query(text, database(url))).length;
  };
  /** As a version before left it. */
  const takeBack = async (url: string) => {
    await server.query('alter table store_state drop column epoch_id', database(url));
    await server.query('alter table signing_key drop column sign_from, drop column longest_token', database(url));
    for (const table of LATER) await server.query(`drop table ${table}`, database(url));
    await server.query(`delete from kysely_migration where name >= '0009'`, database(url));
  };

  beforeEach(async () => {
    own = await server.createDatabase();
    witness_file = path.join(folder, `witness-${++count}`);
    await open(own, witness_file);
  });

  test('is left empty where it is empty; an administrator may begin there', async () => {
    const other = await server.createDatabase();
    await assert.rejects(open(other, witness_file), { code: 'store', message: /has no store in it/ });
    assert.equal(await tables(other), 0);
    await (await openForCommand(at(other, witness_file), options, true)).close();
    assert.ok((await tables(other)) > 0);
  });

  test('is not brought to this version where it is another store', async () => {
    const other = await server.createDatabase();
    await open(other);
    await takeBack(other);
    await assert.rejects(open(other, witness_file), {
      code: 'store',
      message: /is another one than its witness knows/,
    });
    assert.equal(await columns(other), 0);
    // Who knows none takes it as it is.
    await open(other);
    assert.equal(await columns(other), 1);
  });

  test('is not brought to this version where it is an old primary', async () => {
    const witness = new Witness(witness_file, sealer);
    const [known] = witness.read();
    assert.ok(known?.server);
    witness.begin({ ...known, server: { ...known.server, timeline: known.server.timeline + 1 } });
    witness.close();
    await takeBack(own);
    await assert.rejects(open(own, witness_file), { code: 'store', message: /is an old primary/ });
    assert.equal(await columns(own), 0);
  });

  test('is not used where it is a copy that was accepted apart, as often as the one that is known', async () => {
    const copy = own.replace(database(own), `copy_of_${database(own)}`);
    await server.query(`create database ${database(copy)} template ${database(own)}`);
    const accept = async (url: string) => {
      const store = await openForCommand(at(url), options, true);
      const declaration = { command: 'store accept', by: 'test', now: seconds(1_800_000_000) } as const;
      await store.transaction((t) =>
        declareAllOver(t, {
          ...declaration,
          keys: { encryption: encryption_key, longest_token: seconds(300) },
          known_epoch: 0,
        }),
      );
      await settleStore(store, at(url), sealer);
      await store.close();
    };
    for (const url of [own, copy]) await accept(url);
    await open(own, witness_file);
    await assert.rejects(open(copy, witness_file), { code: 'store', message: /it is not the one that was accepted/ });
    await open(own, witness_file);
    await accept(copy);
    await open(copy, witness_file);
  });
});

describe('a file that a witness does not know', () => {
  let count = 0;
  let file: string;
  let witness_file: string;

  const open = async (name: string, witness?: string) => {
    const { store, guard } = await openStore({ sqlite: { file: name }, witness_file: witness }, options);
    await store.transaction(({ audit }) =>
      audit({ event: 'administration', at: seconds(1_800_000_000), command: 'clock accept', by: 'test', sessions: 0 }),
    );
    await store.close();
    guard.close();
  };
  const inFile = (name: string, text: string) => {
    const database = new DatabaseSync(name);
    try {
      return database.prepare(text).all();
    } finally {
      database.close();
    }
  };
  const isOfThisVersion = (name: string) =>
    inFile(name, `select name from pragma_table_info('store_state') where name = 'epoch_id'`).length === 1;
  /** As a version before left it. */
  const takeBack = (name: string) => {
    inFile(name, 'alter table store_state drop column epoch_id');
    for (const column of ['sign_from', 'longest_token']) inFile(name, `alter table signing_key drop column ${column}`);
    for (const table of LATER) inFile(name, `drop table ${table}`);
    inFile(name, `delete from kysely_migration where name >= '0009'`);
    assert.ok(!isOfThisVersion(name));
  };

  beforeEach(async () => {
    file = path.join(folder, `${++count}.db`);
    witness_file = path.join(folder, 'witnesses', `${count}`);
    await open(file, witness_file);
  });

  test('is brought to this version where it is the one that is known', async () => {
    takeBack(file);
    await open(file, witness_file);
    assert.ok(isOfThisVersion(file));
  });

  const others: Readonly<Record<string, readonly [make: (other: string) => Promise<void>, message: RegExp]>> = {
    'is another store': [(other) => open(other), /is another one than its witness knows/],
    'was put back': [
      async (other) => {
        copyFileSync(file, other);
        // What one has written the next one's witness knows.
        for (let n = 0; n < 2; n++) await open(file, witness_file);
      },
      /was put back to an earlier state/,
    ],
  };
  for (const [what, [make, message]] of Object.entries(others)) {
    test(`is not brought to this version where it ${what}`, async () => {
      const other = `${file}.other`;
      await make(other);
      takeBack(other);
      await assert.rejects(open(other, witness_file), { code: 'store', message });
      assert.ok(!isOfThisVersion(other));
      // Who knows none takes it as it is.
      await open(other);
      assert.ok(isOfThisVersion(other));
    });
  }

  test('is not brought to this version where its witness is gone', async () => {
    takeBack(file);
    rmSync(witness_file);
    await assert.rejects(open(file, witness_file), { code: 'store', message: /had a witness, which is not there/ });
    assert.ok(!isOfThisVersion(file));
  });

  test('is left empty where it is empty', async () => {
    const empty = `${file}.empty`;
    writeFileSync(empty, '');
    await assert.rejects(open(empty, witness_file), { code: 'store', message: /has no store in it/ });
    assert.equal(statSync(empty).size, 0);
  });
});
