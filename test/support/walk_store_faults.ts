// The faults of what keeps the sessions that a walk draws from: of the file of SQLite and its disk, and of a server of PostgreSQL.

import { setTimeout as sleep } from 'node:timers/promises';
import type { Replica } from './brokers.ts';
import { chanceOf } from './chance.ts';
import { processesIn } from './postgres.ts';
import type { WalkSite } from './walk_site.ts';
import { type Begin, type Faults, nothing, pidOf, trace } from './walk_step.ts';

const traced =
  (calls: string, how: string): Begin =>
  (_, replica) =>
    trace([pidOf(replica)], calls, how);

export const OF_SQLITE: Faults = {
  'each sync fails': traced('fsync,fdatasync', 'error=EIO'),
  'no write is taken': traced('pwrite64', 'error=ENOSPC'),
  'syncs of half a second': traced('fsync,fdatasync', 'delay_enter=500000'),
};

/** For a while it works on the disk that may lose its power, or be full. */
async function powered(site: WalkSite, replica: Replica, seed: number): Promise<void> {
  await replica.stop();
  site.disk?.take();
  await site.start(replica, { powered: true });
  await sleep(1_000 + (seed % 1_000));
}

export const KILLS_SQLITE: Faults = {
  async 'disk full'(site, replica, { seed }) {
    await powered(site, replica, seed);
    const end = site.disk?.fill();
    return async () => {
      end?.();
      await replica.kill();
      await site.start(replica);
    };
  },
  async 'power cut'(site, replica, { seed }) {
    await powered(site, replica, seed);
    site.disk?.cut();
    await replica.kill();
    site.disk?.restore(chanceOf('power', seed));
    return () => site.start(replica);
  },
};

const signalServer = (data: string, name: NodeJS.Signals) => {
  for (const pid of processesIn(data)) process.kill(pid, name);
};

export const OF_POSTGRES: Faults = {
  async 'database killed'({ server }) {
    await server?.end('SIGKILL');
    return async () => server?.start();
  },
  async 'database restarted'({ server }) {
    await server?.end('SIGINT');
    return async () => server?.start();
  },
  async 'database stopped'({ server }) {
    const data = server?.data ?? '';
    signalServer(data, 'SIGSTOP');
    return async () => signalServer(data, 'SIGCONT');
  },
  async 'disk of the database full'({ server }) {
    const end = await trace(processesIn(server?.data ?? ''), 'pwrite64,pwritev,pwritev2,fallocate', 'error=ENOSPC');
    return async () => {
      await end();
      // It may have given up meanwhile, which is for its own administrator to mend.
      await server?.end('SIGKILL');
      await server?.start();
    };
  },
  'syncs of the database of half a second': ({ server }) =>
    trace(processesIn(server?.data ?? ''), 'fsync,fdatasync', 'delay_enter=500000'),
  async 'connections cut'({ server, commits }) {
    await server?.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${commits?.name}' and pid <> pg_backend_pid()`,
    );
    return nothing;
  },
  async 'database out of reach'({ links, brokers }, replica) {
    const link = links[brokers.replicas.indexOf(replica)];
    link?.become('hold');
    return async () => link?.become('pass');
  },
  async 'connections to the database reset'({ links, brokers }, replica) {
    const link = links[brokers.replicas.indexOf(replica)];
    link?.become('reset');
    return async () => link?.become('pass');
  },
};
