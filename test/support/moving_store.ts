// A store in SQLite that is to be moved to PostgreSQL: a service on the file, and an empty database beside it.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parse, stringify } from 'yaml';
import { createSealer } from '../../broker/audit_log/chain.ts';
import { copyStore } from '../../broker/commands/store_copy.ts';
import { placesOf } from '../../broker/commands/store_copy_command.ts';
import { loadConfig } from '../../broker/config/load.ts';
import { type Opened, openStore } from '../../broker/open_store.ts';
import { openSqlite } from '../../broker/store/sqlite.ts';
import { SqliteStore } from '../../broker/store/sqlite_store.ts';
import { run } from '../../scripts/run.ts';
import { CurfewError } from '../../shared/errors.ts';
import { fillStore } from '../bench/store.ts';
import type { Postgres } from './postgres.ts';
import { startTestService, T0 } from './service.ts';

const COPYING = path.join(import.meta.dirname, 'store_copying.ts');
/** Rows in one transaction. */
const AT_ONCE = 500;
const SILENT = { step: () => undefined, rows: () => undefined };

/** A service on SQLite, and a configuration of its own that has an empty database beside it. */
export async function startMovingStore(server: Postgres, changes: Readonly<Record<string, unknown>> = {}) {
  const service = await startTestService({ store: { sqlite: { file: 'curfew.db' } }, ...changes });
  const folder = path.dirname(service.configFile);
  const url = await server.createDatabase();
  writeFileSync(path.join(folder, 'database'), url, { mode: 0o600 });
  const both = path.join(folder, 'both.yaml');
  const config = parse(readFileSync(service.configFile, 'utf8'));
  const file = path.join(folder, 'curfew.db');
  const postgres = { url_file: 'database' };
  writeFileSync(both, stringify({ ...config, store: { ...config.store, postgres } }));
  const load = async (store: 'sqlite' | 'postgres') => loadConfig(both, { env: process.env, store });
  const options = async () => ({
    sealer: createSealer((await load('sqlite')).encryption_key),
    onAudit: () => undefined,
    onBroken: () => undefined,
  });
  return {
    ...{ service, folder, both, url },
    name: new URL(url).pathname.slice(1),
    /** What is in it may be changed while nothing runs on it. */
    file,
    load,
    async copy() {
      const places = await placesOf({ config: both, from: 'sqlite', to: 'postgres' }, { env: process.env });
      return copyStore(places, { now: () => service.now, by: 'test', tell: SILENT });
    },
    /** In a process of its own. */
    copying: (dying: string) => run(process.execPath, [COPYING, both, dying]),
    /** The program of such a process, and its arguments. */
    copyingProcess: (): [string, string[]] => [process.execPath, [COPYING, both]],
    /** Whether a broker could start there, and would find the keys of before. */
    async usable(store: 'sqlite' | 'postgres'): Promise<boolean> {
      let opened: Opened | undefined;
      try {
        opened = await openStore((await load(store)).store, await options());
        return await opened.store.transaction(
          async ({ db }) => (await db.selectFrom('signing_key').selectAll().execute()).length === 1,
        );
      } catch (error) {
        assert.ok(error instanceof CurfewError, String(error));
        return false;
      } finally {
        await opened?.store.close();
        opened?.guard.close();
      }
    },
    options,
    /** While nothing runs on it: sessions of as many people, and as many rows of the audit log. */
    async fill(sessions: number) {
      const { encryption_key, policy } = await load('sqlite');
      const limits = policy.limits;
      await fillStore({ place: file, key: encryption_key, iss: service.issuer.issuer, limits, sessions, held: [] });
      const store = await SqliteStore.open(openSqlite(file), await options());
      try {
        for (let n = 0; n < sessions; n += AT_ONCE) await addRows(store, n, Math.min(sessions, n + AT_ONCE));
      } finally {
        await store.close();
      }
    },
    toPostgres: () => service.restart({ store: { postgres } }),
  };
}
export type MovingStore = Awaited<ReturnType<typeof startMovingStore>>;

async function addRows(store: SqliteStore, from: number, to: number): Promise<void> {
  const at = T0;
  await store.transaction(async ({ audit }) => {
    for (let n = from; n < to; n++) await audit({ event: 'end', at, sid: `sid-${n}`, reason: 'logout', ended_at: at });
  });
}
