// MariaDB and Redis for tests, from Debian's packages taken apart into the cache, each on a free port of loopback.

import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import path from 'node:path';
import { run } from '../../scripts/run.ts';
import { freePort } from '../cluster/ports.ts';
import { unpackedPackages } from './debian_unpacked.ts';
import { until } from './patience.ts';
import { startRunning } from './running.ts';

export interface OtherDatabase {
  readonly port: number;
  /** Of its client, and of those that tests call. */
  readonly env: Readonly<Record<string, string>>;
  /** The client's program. */
  readonly client: string;
  /** Asks it something by that, past any gateway. */
  ask(...words: readonly string[]): Promise<string>;
  stop(): Promise<void>;
}

async function programs() {
  const release = execFileSync('sh', ['-c', '. /etc/os-release; echo "$ID-$VERSION_ID"'], { encoding: 'utf8' }).trim();
  const packages = ['mariadb-server-core', 'mariadb-client-core', 'redis-server', 'redis-tools'];
  const wanted = { name: `other-databases-${release}-${process.arch}`, what: 'MariaDB and Redis', packages };
  const { root, libraries } = await unpackedPackages(wanted, (line) => void process.stderr.write(`test: ${line}\n`));
  return { root, env: { PATH: process.env.PATH ?? '', LC_ALL: 'C', LD_LIBRARY_PATH: libraries.join(':') } };
}

async function serve(
  { root, env }: Awaited<ReturnType<typeof programs>>,
  parts: {
    readonly server: readonly string[];
    readonly client: string;
    readonly base: readonly string[];
    readonly probe: readonly string[];
    readonly port: number;
    readonly folder: string;
  },
): Promise<OtherDatabase> {
  const [program = '', ...words] = parts.server;
  const running = startRunning(path.join(root, program), words, env);
  const client = path.join(root, parts.client);
  const database: OtherDatabase = {
    ...{ port: parts.port, env, client },
    async ask(...more) {
      const { code, stdout, stderr } = await run(client, [...parts.base, ...more], { env });
      if (code !== 0) throw new Error(stderr);
      return stdout;
    },
    async stop() {
      await running.kill();
      await rm(parts.folder, { recursive: true, force: true });
    },
  };
  await until(async () => {
    if (running.ended) throw new Error(`${program} ended: ${running.stderr()}${running.stdout()}`);
    return database.ask(...parts.probe).then(
      () => true,
      () => false,
    );
  }, `${program} does not answer`);
  return database;
}

export async function startRedis(): Promise<OtherDatabase> {
  const found = await programs();
  const [port, folder] = [await freePort(), await mkdtemp(path.join(tmpdir(), 'curfew-redis-'))];
  const settings = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--dir', folder];
  const base = ['-h', '127.0.0.1', '-p', String(port)];
  const names = { server: ['usr/bin/redis-server', ...settings], client: 'usr/bin/redis-cli', base, probe: ['ping'] };
  return serve(found, { ...names, port, folder });
}

/** Its superuser is `root`, without a password. */
export async function startMariadb(): Promise<OtherDatabase> {
  const found = await programs();
  const [port, folder] = [await freePort(), await mkdtemp(path.join(tmpdir(), 'curfew-mariadb-'))];
  const [data, basedir] = [path.join(folder, 'data'), path.join(found.root, 'usr')];
  const common = ['--no-defaults', `--basedir=${basedir}`, `--datadir=${data}`, `--user=${userInfo().username}`];
  const installed = await run(
    'sh',
    [
      ...[path.join(basedir, 'bin/mariadb-install-db'), ...common, `--tmpdir=${folder}`],
      ...['--auth-root-authentication-method=normal', '--skip-test-db'],
    ],
    { env: found.env, timeout: 120_000 },
  );
  if (installed.code !== 0) throw new Error(`mariadb-install-db: ${installed.stderr}`);
  const settings = [...common, `--port=${port}`, '--bind-address=127.0.0.1', `--socket=${path.join(folder, 'socket')}`];
  const base = ['--no-defaults', '-h', '127.0.0.1', '-P', String(port), '-u', 'root', '-N', '-B'];
  const names = {
    server: ['usr/sbin/mariadbd', ...settings, `--pid-file=${path.join(folder, 'pid')}`, `--tmpdir=${folder}`],
    client: 'usr/bin/mariadb',
  };
  return serve(found, { ...names, base, probe: ['-e', 'select 1'], port, folder });
}
