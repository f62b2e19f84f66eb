// What a walk over faults goes through: brokers as processes on one of both stores, a gateway before an API server, and between them all
// that can be broken. One broker with SQLite, or two with PostgreSQL.

import { globSync, readdirSync, readFileSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { parse, stringify } from 'yaml';
import { freePort } from '../cluster/ports.ts';
import { type Brokers, makeBrokers, type Replica } from './brokers.ts';
import { type Disk, makeDisk } from './disk.ts';
import { type GatewayBetween, makeGatewayBetween } from './gateway_between.ts';
import { heapOf, inspectedAt } from './heap.ts';
import { type Postgres, startPostgres } from './postgres.ts';
import { type CommitTimes, KEEPS_COMMIT_TIMES } from './record_check.ts';
import type { Database } from './stores.ts';
import { type Link, startLink } from './tcp_link.ts';

export const MAX_AGE = 12 * 3_600;
const NAME = 'walk';
const NOWHERE = 'http://127.0.0.1:1';
const [FAKETIME = ''] = globSync('/usr/lib/*/faketime/libfaketime.so.1');

export interface StartOfWalk {
  /** On the disk that may lose its power: that one syncs by itself, so no fault of syncs reaches it. */
  readonly powered?: boolean;
  /** MiB that its heap may have, when fewer than usual. */
  readonly heap_mib?: number;
}

/** Of a process. */
export interface Held {
  /** MiB that are in use once its garbage is collected. */
  readonly heap: number;
  /** MiB */
  readonly rss: number;
  readonly descriptors: number;
}

export interface WalkSite {
  readonly database: Database;
  readonly brokers: Brokers;
  readonly between: GatewayBetween;
  /** Of PostgreSQL; and the connections of each broker to it. */
  readonly server: Postgres | undefined;
  readonly links: readonly Link[];
  /** Of the file of SQLite. */
  readonly disk: Disk | undefined;
  readonly commits: CommitTimes | undefined;
  /** Brokers that stand still: no balancer would send anybody there. */
  readonly still: Set<Replica>;
  start(replica: Replica, how?: StartOfWalk): Promise<void>;
  startGateway(): Promise<void>;
  /** Of brokers and gateway, in this order. */
  held(): Promise<readonly Held[]>;
  /** @param by as libfaketime is told it: `+3600` */
  bend(replica: Replica, by: string): Promise<void>;
  /** Writes the configuration of each broker with this lifetime of tokens. */
  configure(token_ttl: string): Promise<void>;
  remove(): Promise<void>;
}

/** All of it serves. @param program another broker than the one that is shipped @param sections further ones of its configuration */
export async function makeWalkSite(
  database: Database,
  { program, sections = {} }: { program?: string; sections?: Readonly<Record<string, unknown>> } = {},
): Promise<WalkSite> {
  if (FAKETIME === '') throw new Error('libfaketime is missing (Debian: libfaketime)');
  const still = new Set<Replica>();
  const behind = () => brokers.replicas.find((one) => one.url !== undefined && !still.has(one))?.url ?? NOWHERE;
  const between = await makeGatewayBetween(behind);
  const server = database === 'postgres' ? await startPostgres(KEEPS_COMMIT_TIMES) : undefined;
  const url = await server?.createDatabase(NAME);
  const [cluster] = between.sections.clusters as readonly object[];
  const policy = (token_ttl: string) => ({
    policy: { limits: { max_age: `${MAX_AGE}s`, inactivity_timeout: `${MAX_AGE}s`, token_ttl }, segments: [] },
  });
  const brokers: Brokers = await makeBrokers({
    ...{ database: url, count: server ? 2 : 1 },
    sections: {
      issuer: between.sections.issuer,
      clusters: [{ ...cluster, webhook: { token_file: 'hook', on_failure: 'deny', authentication: true } }],
      admins: { groups: ['admins'], limits: { max_age: '12h' } },
      ...policy('5m'),
      ...sections,
    },
  });
  const folderOf = ({ configFile }: Replica) => path.dirname(configFile);
  const links: Link[] = [];
  for (const replica of brokers.replicas) {
    await between.prepare(folderOf(replica));
    await writeFile(path.join(brokers.folder, `${path.basename(folderOf(replica))}.time`), '+0\n');
    if (!server || url === undefined) continue;
    const link = await startLink(server.port);
    links.push(link);
    const through = new URL(url);
    through.port = String(link.port);
    await writeFile(path.join(folderOf(replica), 'database'), through.href, { mode: 0o600 });
  }
  const [first] = brokers.replicas;
  if (!first) throw new Error('no broker');
  const disk = server ? undefined : await makeDisk(folderOf(first), brokers.folder);
  const inspectors = new Map<object, number>();
  for (const one of [...brokers.replicas, between]) inspectors.set(one, await freePort());
  const inspected = (one: object) => inspectedAt(inspectors.get(one) ?? 0);
  const timeOf = (replica: Replica) => path.join(brokers.folder, `${path.basename(folderOf(replica))}.time`);
  const site: WalkSite = {
    ...{ database, brokers, between, server, links, disk, still },
    commits: server && { server, name: NAME },
    async start(replica, { powered = false, heap_mib } = {}) {
      const of_disk = powered ? disk?.env : undefined;
      const preload = [of_disk?.LD_PRELOAD ?? [], FAKETIME].flat().join(':');
      const time = { FAKETIME_TIMESTAMP_FILE: timeOf(replica), FAKETIME_CACHE_DURATION: '1', NO_FAKE_STAT: '1' };
      const { NODE_OPTIONS } = inspected(replica);
      const options = heap_mib === undefined ? NODE_OPTIONS : `${NODE_OPTIONS} --max-old-space-size=${heap_mib}`;
      const env = {
        ...{ ...of_disk, LD_PRELOAD: preload, ...time, FAKETIME_DONT_FAKE_MONOTONIC: '1' },
        NODE_OPTIONS: options,
      };
      await replica.start({ env, ...(program !== undefined && { program }) });
    },
    async startGateway() {
      await between.startGateway({}, inspected(between));
    },
    async held() {
      const all = [
        ...brokers.replicas.map((one) => [one, one.process?.pid] as const),
        [between, between.gateway.pid] as const,
      ];
      return Promise.all(all.map(([one, pid = 0]) => heldBy(pid, inspectors.get(one) ?? 0)));
    },
    bend: (replica, by) => writeFile(timeOf(replica), `${by}\n`),
    async configure(token_ttl) {
      for (const { configFile } of brokers.replicas) {
        const settings = parse(await readFile(configFile, 'utf8')) as object;
        await writeFile(configFile, stringify({ ...settings, ...policy(token_ttl) }));
      }
    },
    async remove() {
      await between.stop();
      await brokers.remove();
      await server?.stop();
      for (const link of links) await link.stop();
    },
  };
  for (const replica of brokers.replicas) await site.start(replica);
  await site.startGateway();
  return site;
}

async function heldBy(pid: number, inspector: number): Promise<Held> {
  const heap = Math.round((await heapOf(pid, inspector)) / 1024 / 1024);
  const rss = Math.round(Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024);
  return { heap, rss, descriptors: readdirSync(`/proc/${pid}/fd`).length };
}
