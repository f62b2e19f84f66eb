// A standby of a test's server by streaming replication, which that server waits for with each commit.

import path from 'node:path';
import { freePort } from '../cluster/ports.ts';
import { until } from './patience.ts';
import { asOwner, makePlace, type Postgres, serve } from './postgres.ts';
import { ensurePostgres } from './postgres_programs.ts';

/**
 * From here on the primary acknowledges nothing that the standby does not have.
 *
 * @param port where it listens, if not on any that is free
 */
export async function startStandby(primary: Postgres, port?: number): Promise<Postgres> {
  const place = makePlace(await ensurePostgres());
  const data = path.join(place.folder, 'data');
  const from = ['-h', '127.0.0.1', '-p', String(primary.port), '-U', 'postgres'];
  const made = await asOwner(place, 'pg_basebackup', [...from, '-D', data, '-R', '--checkpoint=fast', '--no-sync']);
  if (made.code !== 0) throw new Error(`pg_basebackup: ${made.stderr}`);
  const standby = await serve(place, data, port ?? (await freePort()), { synchronous_standby_names: '' });
  await primary.query(`alter system set synchronous_standby_names = '*'`);
  await primary.query('select pg_reload_conf()');
  const isSynchronous = async () => {
    const rows = await primary.query(`select from pg_stat_replication where sync_state = 'sync'`);
    return rows.length === 1;
  };
  await until(isSynchronous, 'the standby does not follow');
  return standby;
}
