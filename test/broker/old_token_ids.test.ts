// Which stores have tokens of 0.4.0 out: those that it left with sessions in them, and no others.

import assert from 'node:assert/strict';
import { createSecretKey, randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { Kysely, sql } from 'kysely';
import { Migrator } from 'kysely/migration';
import { createSealer } from '../../broker/audit_log/chain.ts';
import { migrationsWith } from '../../broker/store/migrations.ts';
import { openSqlite } from '../../broker/store/sqlite.ts';
import { SqliteStore } from '../../broker/store/sqlite_store.ts';
import type { Schema } from '../../broker/store/tables.ts';
import { isOldTokenId, oldTokenIds } from '../../broker/tokens/old_token_ids.ts';
import { randomHandle, randomId } from '../../broker/tokens/random.ts';
import { seconds } from '../../shared/time.ts';
import { rowOf } from '../bench/store.ts';

const key = createSecretKey(randomBytes(32));
const NOW = seconds(1_800_000_000);
const LIMITS = { max_age: seconds(3600), inactivity_timeout: seconds(1800), token_ttl: seconds(300) };
let folder: string;
before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'curfew-old-'));
});
after(() => rm(folder, { recursive: true, force: true }));

/** A store as version 0.4.0 left it. */
async function leftBy040(file: string, sessions: number): Promise<void> {
  const db = new Kysely<Schema>({ dialect: openSqlite(file).writing });
  const known = Object.entries(migrationsWith(createSealer(key)));
  const of040 = Object.fromEntries(known.filter(([name]) => name < '0004'));
  await new Migrator({ db, provider: { getMigrations: async () => of040 } }).migrateToLatest();
  for (let i = 0; i < sessions; i++) {
    const names = { sid: randomId(), username: `u${i}`, jkt: randomHandle(), handle_hash: randomBytes(32) };
    const row = rowOf(i, names, { iss: 'https://idp.example.com', limits: LIMITS, now: NOW });
    // Columns that came later are not there.
    const { rows } = await sql<{ name: string }>`select name from pragma_table_info('session')`.execute(db);
    const there = new Set(rows.map(({ name }) => name));
    const then = Object.fromEntries(Object.entries(row).filter(([name]) => there.has(name))) as typeof row;
    await db.insertInto('session').values(then).execute();
  }
  await db.destroy();
}

async function started(file: string, now: number) {
  const options = { sealer: createSealer(key), onAudit: () => undefined, onBroken: () => undefined };
  const store = await SqliteStore.open(openSqlite(file), options);
  try {
    return await oldTokenIds(store, seconds(310), seconds(now));
  } finally {
    await store.close();
  }
}

test('H10 on a store of 0.4.0 the first start says until when, and no later one moves it', async () => {
  const file = path.join(folder, 'old.db');
  await leftBy040(file, 2);
  const first = await started(file, NOW + 5);
  assert.deepEqual(first, { since: NOW + 5, until: NOW + 315 });
  assert.deepEqual(await started(file, NOW + 100), first);
  const id = randomId();
  const judged = [NOW + 4, NOW + 5, NOW + 314, NOW + 315].map((now) => isOldTokenId(id, first, seconds(now)));
  assert.deepEqual(judged, [false, true, true, false]);
  for (const other of ['', `${id}x`, id.slice(1), `${id}.1.x`, `${id}\n`]) {
    assert.equal(isOldTokenId(other, first, NOW), false, other);
  }
});

test('H10 a first start by a clock that was far ahead opens no door once the clock is right', async () => {
  const file = path.join(folder, 'ahead.db');
  await leftBy040(file, 1);
  const ahead = await started(file, 4_000_000_000);
  assert.equal(isOldTokenId(randomId(), ahead, NOW), false);
});

test('H10 on a new store, and on one of 0.4.0 without a session, no such id is ever judged', async () => {
  const empty = path.join(folder, 'empty.db');
  await leftBy040(empty, 0);
  for (const file of [empty, path.join(folder, 'new.db')]) assert.equal(await started(file, NOW), undefined);
  assert.equal(isOldTokenId(randomId(), undefined, NOW), false);
});
