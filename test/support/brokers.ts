// Brokers as processes on one store, each with a folder of its own as on a machine of its own, and the same configuration to the byte.

import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { stringify } from 'yaml';
import { buildBundles } from '../../scripts/bundle.ts';
import { type RunResult, run } from '../../scripts/run.ts';
import { type AuditLine, type BrokerOptions, type BrokerProcess, spawnBroker, untilServing } from './broker_process.ts';
import { ISSUER, identityProvider } from './service.ts';
import { type StaticIssuer, startStaticIssuer } from './static_issuer.ts';

type How = Omit<BrokerOptions, 'configFile' | 'url'>;

export interface Replica {
  readonly configFile: string;
  /** Where it serves; undefined while it does not. */
  readonly url: string | undefined;
  /** The process that was started last. */
  readonly process: BrokerProcess | undefined;
  /** Starts a process, which is not ready yet. The one before must have ended. */
  spawn(how?: How): Promise<BrokerProcess>;
  /** Likewise, and waits until it serves. @throws Error with what it wrote, when it ends instead */
  start(how?: How): Promise<BrokerProcess>;
  /** From here on no new request goes there; what is under way meets the end. */
  kill(): Promise<void>;
  /** SIGTERM; it serves until it says otherwise. @returns its exit status */
  stop(): Promise<number | null>;
}

export interface BrokersOptions {
  /** Of the database in PostgreSQL; without it one broker is on SQLite. */
  readonly database?: string | undefined;
  /** How many. */
  readonly count: number;
  /** Further sections of the configuration. */
  readonly sections?: Readonly<Record<string, unknown>>;
}

export interface Brokers {
  readonly folder: string;
  readonly issuer: StaticIssuer;
  /** What the API server presents. */
  readonly hook: string;
  readonly replicas: readonly Replica[];
  /** Where they serve at the moment. */
  urls(): readonly string[];
  /** What all processes, those that ended too, have said of their audit log. */
  rows(): readonly AuditLine[];
  /** Runs a command with the configuration of the first. */
  command(...words: readonly string[]): Promise<RunResult>;
  /** Kills what runs, and removes all. */
  remove(): Promise<void>;
}

/** None of them is started. */
export async function makeBrokers({ database, count, sections = {} }: BrokersOptions): Promise<Brokers> {
  const folder = await mkdtemp(path.join(tmpdir(), 'curfew-brokers-'));
  const issuer = await startStaticIssuer();
  const key = randomBytes(32).toString('base64');
  const hook = randomBytes(32);
  const settings = {
    issuer: ISSUER,
    listen: { address: '127.0.0.1', port: 0 },
    keys: { encryption_key_file: 'key' },
    identity_provider: identityProvider(issuer.issuer),
    clusters: [
      {
        ...{ name: 'dev', server: 'https://127.0.0.1:1', audience: 'dev', allowed_groups: ['*'] },
        webhook: { token_file: 'hook', on_failure: 'deny' },
      },
    ],
    store:
      database === undefined
        ? { sqlite: { file: 'curfew.db' } }
        : { postgres: { url_file: 'database', connections: 4 }, witness_file: 'witness/curfew' },
    policy: { limits: { max_age: '12h', inactivity_timeout: '12h', token_ttl: '5m' }, segments: [] },
    ...sections,
  };
  const ended: BrokerProcess[] = [];
  const makeOne = async (name: string): Promise<Replica> => {
    const place = path.join(folder, name);
    await mkdir(place);
    const configFile = path.join(place, 'config.yaml');
    await writeFile(path.join(place, 'key'), key, { mode: 0o600 });
    await writeFile(path.join(place, 'hook'), hook.toString('hex'), { mode: 0o600 });
    if (database !== undefined) await writeFile(path.join(place, 'database'), database, { mode: 0o600 });
    await writeFile(configFile, stringify(settings));
    let running: BrokerProcess | undefined;
    let url: string | undefined;
    const replica: Replica = {
      configFile,
      get url() {
        return url;
      },
      get process() {
        return running;
      },
      async spawn(how = {}) {
        if (running) ended.push(running);
        const started = await spawnBroker({ configFile, ...how });
        running = started;
        void started.exit.then(() => {
          if (running === started) url = undefined;
        });
        return started;
      },
      async start(how = {}) {
        const started = await replica.spawn(how);
        await untilServing(started, how);
        url = started.url;
        return started;
      },
      async kill() {
        url = undefined;
        await running?.kill();
      },
      async stop() {
        const code = await running?.stop();
        return code ?? null;
      },
    };
    return replica;
  };
  const replicas = await Promise.all(Array.from({ length: count }, (_, n) => makeOne(String(n))));
  return {
    ...{ folder, issuer, replicas, hook: hook.toString('base64url') },
    urls: () => replicas.flatMap(({ url }) => url ?? []),
    rows: () => [...ended, ...replicas.flatMap((one) => one.process ?? [])].flatMap((one) => one.audit()),
    async command(...words) {
      const { broker } = await buildBundles();
      const [first] = replicas;
      return run(process.execPath, [broker, ...words, '--config', first?.configFile ?? ''], { timeout: 300_000 });
    },
    async remove() {
      await Promise.all(replicas.map((one) => one.kill()));
      await issuer.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
