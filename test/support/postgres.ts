// A PostgreSQL server of a test's own, on a free port of loopback; as another user where the test runs as root.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  chmodSync,
  chownSync,
  closeSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Client } from 'pg';
import { adopt } from '../../scripts/process.ts';
import { type RunResult, run } from '../../scripts/run.ts';
import { freePort } from '../cluster/ports.ts';
import { until } from './patience.ts';
import { ensurePostgres, type PostgresPrograms } from './postgres_programs.ts';

export interface Postgres {
  /** On loopback. */
  readonly port: number;
  /** The folder of its data. */
  readonly data: string;
  /** A new, empty database. @returns its URL */
  createDatabase(name?: string): Promise<string>;
  /** One statement as superuser. */
  query(text: string, database?: string): Promise<unknown[]>;
  start(): Promise<void>;
  /** `SIGINT` is a fast end, `SIGQUIT` an immediate one, `SIGKILL` none at all. */
  end(signal?: 'SIGINT' | 'SIGQUIT' | 'SIGKILL'): Promise<void>;
  /** While it is ended: what it is to be started with from then on, beside what it has. */
  configure(settings: Settings, env?: Settings): void;
  /** While it is ended: keeps its data as they are. @returns what puts them back, while it is ended again */
  keep(): () => void;
  /** Keeps this process waiting for it no longer. */
  unref(): void;
  stop(): Promise<void>;
}

export type Settings = Readonly<Record<string, string>>;

const SETTINGS = {
  max_connections: '60',
  shared_buffers: '32MB',
  listen_addresses: '127.0.0.1',
  jit: 'off',
  autovacuum_naptime: '1d',
};

/** Where it runs, and as whom. */
export interface Place {
  readonly folder: string;
  readonly bin: string;
  readonly env: Readonly<Record<string, string>>;
  readonly uid?: number;
  readonly gid?: number;
}

/** @param settings of the server, beside those of all tests @param initdb more options of `initdb` */
export async function startPostgres(settings: Settings = {}, initdb: readonly string[] = []): Promise<Postgres> {
  const place = makePlace(await ensurePostgres());
  const data = path.join(place.folder, 'data');
  const made = await asOwner(place, 'initdb', [
    '-D',
    data,
    '-U',
    'postgres',
    '--auth=trust',
    '--locale=C',
    '-E',
    'UTF8',
    '--no-sync',
    '--no-instructions',
    ...initdb,
  ]);
  if (made.code !== 0) throw new Error(`initdb: ${made.stderr}`);
  return serve(place, data, await freePort(), settings);
}

let shared: Promise<Postgres> | undefined;

/** One for this process, for tests that need a database alone: it ends with the process. */
export function sharedPostgres(): Promise<Postgres> {
  shared ??= startPostgres().then((server) => {
    server.unref();
    return server;
  });
  return shared;
}

/** @param data its folder, made before */
export async function serve(place: Place, data: string, port: number, settings: Settings): Promise<Postgres> {
  const log = path.join(place.folder, 'log');
  const given = { ...SETTINGS, ...settings, port: String(port), unix_socket_directories: place.folder };
  let environment: Settings = place.env;
  const configure = (more: Settings, env: Settings = {}) => {
    environment = { ...environment, ...env };
    const lines = Object.entries(more).map(([name, value]) => `${name} = '${value}'\n`);
    appendFileSync(path.join(data, 'postgresql.auto.conf'), lines.join(''));
  };
  configure(given);
  let server: ChildProcess | undefined;
  let release = () => {};
  let count = 0;
  const url = (database: string) => `postgres://postgres@127.0.0.1:${port}/${database}`;
  const query: Postgres['query'] = async (text, database = 'postgres') => {
    const client = new Client({
      ...{ host: '127.0.0.1', port, user: 'postgres', database, connectionTimeoutMillis: 30_000 },
    });
    client.on('error', () => undefined);
    await client.connect();
    try {
      return (await client.query(text)).rows;
    } finally {
      await client.end();
    }
  };
  const postgres: Postgres = {
    port,
    data,
    query,
    configure,
    async createDatabase(name = `test_${process.pid}_${++count}`) {
      await query(`create database ${name}`);
      return url(name);
    },
    async start() {
      const out = openSync(log, 'a');
      server = spawn(path.join(place.bin, 'postgres'), ['-D', data], {
        ...{ env: environment, cwd: place.folder, detached: true, stdio: ['ignore', out, out] },
        ...(place.uid !== undefined && { uid: place.uid, gid: place.gid }),
      });
      closeSync(out);
      release = adopt(server.pid ?? 0);
      const answers = async () => {
        if (server?.exitCode !== null) throw new Error(`postgres ended: ${readFileSync(log, 'utf8').slice(-2_000)}`);
        return query('select 1').then(
          () => true,
          () => false,
        );
      };
      await until(answers, 'PostgreSQL does not answer');
    },
    async end(signal = 'SIGINT') {
      if (!server || server.exitCode !== null || server.signalCode !== null) return;
      const ended = once(server, 'exit');
      server.kill(signal);
      await ended;
      release();
      // Its processes notice within a second that it was killed, and the data are theirs until then.
      if (signal === 'SIGKILL')
        await until(() => processesIn(data).length === 0, 'the processes of PostgreSQL do not end');
    },
    keep() {
      const kept = `${data}.kept`;
      // With its owner.
      execFileSync('cp', ['-a', data, kept]);
      return () => {
        rmSync(data, { recursive: true });
        renameSync(kept, data);
      };
    },
    unref: () => server?.unref(),
    async stop() {
      await postgres.end('SIGQUIT');
      rmSync(place.folder, { recursive: true, force: true });
    },
  };
  await postgres.start();
  return postgres;
}

/** Processes that have their working folder there. */
export function processesIn(data: string): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readlinkSync(`/proc/${pid}/cwd`) === data;
      } catch {
        // Another user's, or gone.
        return false;
      }
    })
    .map(Number);
}

export function makePlace({ bin, libraries, root }: PostgresPrograms): Place {
  const folder = mkdtempSync(path.join(tmpdir(), 'curfew-pg-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  const env = {
    PATH: process.env.PATH ?? '',
    LC_ALL: 'C',
    ...(libraries.length > 0 && { LD_LIBRARY_PATH: libraries.join(':') }),
  };
  if (process.getuid?.() !== 0) return { folder, bin, env };
  // It refuses to run as root.
  const { uid, gid } = ownerOf();
  chmodSync(folder, 0o700);
  chownSync(folder, uid, gid);
  // The cache may lie where only root may go.
  if (root === undefined) return { folder, bin, env, uid, gid };
  const copy = path.join(folder, 'root');
  mkdirSync(copy);
  cpSync(root, copy, { recursive: true, verbatimSymlinks: true });
  const moved = (name: string) => path.join(copy, path.relative(root, name));
  return { folder, bin: moved(bin), env: { ...env, LD_LIBRARY_PATH: libraries.map(moved).join(':') }, uid, gid };
}

function ownerOf(): { uid: number; gid: number } {
  for (const name of ['postgres', 'nobody']) {
    const [, , uid, gid] = textOf('getent', ['passwd', name]).split(':');
    if (uid !== undefined && gid !== undefined) return { uid: Number(uid), gid: Number(gid) };
  }
  throw new Error('there is no user that PostgreSQL could run as: postgres or nobody');
}

/** What a command says; nothing where it fails. */
function textOf(command: string, args: readonly string[]): string {
  try {
    return execFileSync(command, args, { encoding: 'utf8' });
  } catch {
    return '';
  }
}

export function asOwner(place: Place, name: string, args: readonly string[]): Promise<RunResult> {
  const { uid, gid, env, bin, folder } = place;
  return run(path.join(bin, name), args, { env, cwd: folder, ...(uid !== undefined && { uid, gid }) });
}
