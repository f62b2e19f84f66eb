// Of several hosts more than one may take writes: after a failover, an old primary that was started again, or that nobody stopped. So
// all of them are asked before a connection is opened, and the one that was promoted last is tried first.

import { type ConnectOptions, connect, cut } from './client.ts';

/** Before each of many connections: those that are opened at once ask together. */
export function newestFirstEach<T extends ConnectOptions>(database: T): () => Promise<T> {
  let asking: Promise<T> | undefined;
  return () => {
    asking ??= newestFirst(database).finally(() => {
      asking = undefined;
    });
    return asking;
  };
}

/** The server's own: raised with each promotion. */
export const TIMELINE = `('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint`;

/** @returns the same, with its hosts in the order in which they are to be tried. A host that cannot be asked keeps its place after the others */
export async function newestFirst<T extends ConnectOptions>(database: T): Promise<T> {
  const { address } = database;
  if (address.hosts.length < 2) return database;
  const timelines = address.hosts.map(async (host) => ({
    host,
    timeline: await timelineOf({ ...database, address: { ...address, hosts: [host] } }).catch(() => 0),
  }));
  const found = await Promise.all(timelines);
  const hosts = found.toSorted((a, b) => b.timeline - a.timeline).map(({ host }) => host);
  return { ...database, address: { ...address, hosts } };
}

/** @throws what `connect` throws, also for a standby */
async function timelineOf(database: ConnectOptions): Promise<number> {
  const { client } = await connect(database);
  try {
    const { rows } = await client.query<{ timeline: number }>(`select ${TIMELINE} as timeline`);
    return rows[0]?.timeline ?? 0;
  } finally {
    await cut(client);
  }
}
