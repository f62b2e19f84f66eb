// The whole way to databases: identity provider, broker, gateway of targets and plugin as they are shipped, a real PostgreSQL behind them.

import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { stringify } from 'yaml';
import { brokerOf } from '../../cli/session/trust.ts';
import { buildBundles } from '../../scripts/bundle.ts';
import type { RunOptions, RunResult } from '../../scripts/run.ts';
import { run } from '../../scripts/run.ts';
import { type Desk, openDesk } from '../cli/desk.ts';
import { freePort } from '../cluster/ports.ts';
import { makeBrowser } from './browser.ts';
import { type CertificateAuthority, createCertificateAuthority } from './certificates.ts';
import { commandOf } from './command_of.ts';
import { compileCache } from './compile_cache.ts';
import { until } from './patience.ts';
import { postgresPrograms } from './postgres_programs.ts';
import { type RoleServer, startRoleServer } from './role_server.ts';
import { ACCOUNTS } from './role_site.ts';
import { type Running, startRunning } from './running.ts';

export interface DatabasePerson {
  readonly name: string;
  readonly env: Readonly<Record<string, string>>;
  curfew(args: readonly string[], options?: RunOptions): Promise<RunResult>;
  /** `connect orders-db --` and a program of PostgreSQL. */
  connect(program: string, ...args: readonly string[]): Promise<RunResult>;
  /** The same, and looked at while it runs. */
  start(target: string, ...command: readonly string[]): Running;
  /** Of its newest session. */
  sid(): string;
}

export interface DatabaseSite {
  readonly desk: Desk;
  readonly server: RoleServer;
  readonly gateway: Running;
  /** Of a program that talks to PostgreSQL. */
  readonly programs: string;
  /** A person with a configuration and a browser of their own, who is logged in. */
  person(name: string): Promise<DatabasePerson>;
  /** Sections of the broker's configuration. */
  readonly sections: Readonly<Record<string, unknown>> & {
    readonly targets: readonly Readonly<Record<string, unknown>>[];
  };
  startGateway(): Promise<void>;
  stop(): Promise<void>;
}

export interface DatabaseSiteOptions {
  /** Beside the database. */
  readonly targets?: readonly Readonly<Record<string, unknown>>[];
  /** Other names of the database. */
  readonly again?: readonly string[];
  readonly policy?: Readonly<Record<string, unknown>>;
  readonly people?: readonly string[];
  readonly settings?: Readonly<Record<string, string>>;
}

export async function startDatabaseSite(options: DatabaseSiteOptions = {}): Promise<DatabaseSite> {
  const { targets = [], again = [], policy, people = [], settings } = options;
  // The gateway has no address of its own here; that others are refused is shown with one that has.
  const server = await startRoleServer({ gateway: '127.0.0.1', ...(settings && { settings }) });
  const { clients } = postgresPrograms();
  const port = await freePort();
  const orders = {
    ...{
      name: 'orders-db',
      kind: 'postgres',
      address: `127.0.0.1:${server.postgres.port}`,
      allowed_groups: ['*'],
    },
    ...{ admin_url_file: 'orders-admin', ca_file: server.caFile, databases: [...server.databases], accounts: ACCOUNTS },
  };
  const sections = {
    target_gateway: {
      ...{
        public_url: `wss://127.0.0.1:${port}`,
        ca_file: 'gateway-ca/curfew-test-ca.crt',
        token_file: 'gateway-token',
      },
      source_addresses: ['127.0.0.1/32'],
    },
    targets: [orders, ...again.map((name) => ({ ...orders, name })), ...targets],
    admins: { groups: ['admins'], limits: { max_age: '1h' } },
    policy: policy ?? { limits: { max_age: '1h', inactivity_timeout: '30m', token_ttl: '5m' }, segments: [] },
  };
  const users = Object.fromEntries(
    ['alice', 'carol', ...people].map((name) => [
      name,
      {
        ...{ password: 'wonderland', email: `${name}@example.com`, email_verified: true, name },
        groups: name === 'carol' ? ['admins', 'sre'] : ['sre'],
      },
    ]),
  );
  let made: CertificateAuthority | undefined;
  const prepare = async (dir: string) => {
    await writeFile(path.join(dir, 'orders-admin'), server.adminUrl, { mode: 0o600 });
    await writeFile(path.join(dir, 'gateway-token'), randomBytes(32).toString('base64'), { mode: 0o600 });
    made = await createCertificateAuthority(path.join(dir, 'gateway-ca'));
  };
  const desk = await openDesk(sections, { idp: { users }, backchannel: true, prepare });
  const dir = path.join(desk.dir, 'gateway');
  await mkdir(dir);
  if (!made) throw new TypeError('there is no authority for the gateway');
  const tls = await (made as CertificateAuthority).issue({ name: 'gateway', hosts: ['127.0.0.1'] });
  const health = await freePort();
  const config = path.join(dir, 'gateway.yaml');
  const yaml = {
    broker: { url: desk.url, ca_file: desk.ca_file, token_file: path.join(desk.dir, 'gateway-token') },
    ...{ targets: true, public_url: `wss://127.0.0.1:${port}` },
    listen: { address: '127.0.0.1', port, tls: { cert_file: tls.certFile, key_file: tls.keyFile } },
    ...{ on_lost_broker: { cut_after: '10s' }, warn: 'off' },
    metrics: { address: '127.0.0.1', port: health },
  };
  await writeFile(config, stringify(yaml));
  let gateway: Running | undefined;
  const everybody: Running[] = [];
  const site: DatabaseSite = {
    ...{ desk, server, sections, programs: clients.bin },
    get gateway() {
      if (!gateway) throw new TypeError('the gateway was not started');
      return gateway;
    },
    async startGateway() {
      const [command, ...words] = commandOf((await buildBundles()).gateway);
      const started = startRunning(command, [...words, 'serve', '--config', config], {
        ...{ PATH: process.env.PATH ?? '', HOME: '/nonexistent', ...compileCache() },
      });
      gateway = started;
      await until(async () => {
        if (started.ended) throw new Error(`the gateway ended: ${started.stderr()}`);
        return fetch(`http://127.0.0.1:${health}/readyz`).then(
          ({ ok }) => ok,
          () => false,
        );
      }, 'the gateway is not ready');
    },
    async person(name) {
      const folder = path.join(desk.dir, `of-${name}-${randomBytes(3).toString('hex')}`);
      await mkdir(folder, { mode: 0o700 });
      const settings_folder = path.join(folder, 'config');
      await mkdir(settings_folder, { mode: 0o700 });
      const brokers = { [desk.url]: brokerOf(desk.ca_file, desk.idp.issuer) };
      const known = { secret_storage: 'file', default: desk.url, brokers };
      await writeFile(path.join(settings_folder, 'config.json'), JSON.stringify(known), { mode: 0o600 });
      await mkdir(path.join(folder, 'browser'));
      const browser = await makeBrowser(path.join(folder, 'browser'), { user: name, password: 'wonderland' });
      const env = {
        ...desk.env,
        ...{ HOME: folder, CURFEW_CONFIG_DIR: settings_folder, CURFEW_CACHE_DIR: path.join(folder, 'cache') },
        ...(clients.libraries.length > 0 && { LD_LIBRARY_PATH: clients.libraries.join(':') }),
        BROWSER: browser.command,
      };
      const [program, ...words] = desk.command;
      const curfew: DatabasePerson['curfew'] = (args, more = {}) => run(program, [...words, ...args], { ...more, env });
      const { code, stderr } = await curfew(['login', '--broker', desk.url]);
      if (code !== 0) throw new Error(`${name} cannot log in: ${stderr}`);
      const command = (tool: string) => (tool.includes('/') ? tool : path.join(clients.bin, tool));
      return {
        ...{ name, env, curfew },
        connect: (tool, ...args) =>
          curfew(['connect', 'orders-db', '--', command(tool), ...args], { timeout: 120_000 }),
        start(target, ...words_of) {
          const running = startRunning(program, [...words, 'connect', target, ...words_of], env);
          everybody.push(running);
          return running;
        },
        sid() {
          const logins = desk.broker
            .audit()
            .filter(({ event, username }) => event === 'login' && username === `curfew:${name}@example.com`);
          return String(logins.at(-1)?.sid);
        },
      };
    },
    async stop() {
      await Promise.all(everybody.map((running) => running.kill()));
      await gateway?.kill();
      await desk.stop();
      await server.stop();
    },
  };
  await site.startGateway();
  return site;
}
