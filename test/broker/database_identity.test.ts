// A database is looked at before it is changed: one that is not the one that is known is not brought to this version.

import assert from 'node:assert/strict';
import { createSecretKey, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { createSealer } from '../../broker/audit_log/chain.ts';
import { parseDatabaseAddress } from '../../broker/config/database_address.ts';
import { openForCommand, openStore } from '../../broker/open_store.ts';
import { Witness } from '../../broker/store/witness.ts';
import { type Postgres, startPostgres } from '../support/postgres.ts';

describe('a database that a witness does not know', () => {
  let server: Postgres;
  const folder = mkdtempSync(path.join(tmpdir(), 'curfew-identity-'));
  const sealer = createSealer(createSecretKey(randomBytes(32)));
  const options = { sealer, onAudit: () => undefined, onBroken: () => undefined };
  let own: string;
  let witness_file: string;
  let count = 0;
  before(async () => {
    server = await startPostgres();
  });
  after(async () => {
    await server?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

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
    const text = `select column_name from information_schema.columns where table_name = 'store_state' and column_name = 'moved'`;
    return (await server.query(text, database(url))).length;
  };
  /** As a version before left it. */
  const takeBack = async (url: string) => {
    await server.query('alter table store_state drop column moved', database(url));
    await server.query(`delete from kysely_migration where name = '0008_moved'`, database(url));
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
});
