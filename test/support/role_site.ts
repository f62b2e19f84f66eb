// A broker of its own process whose sessions have roles in a real PostgreSQL, with people who log in at a static issuer.

import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { stringify } from 'yaml';
import { isTargetTokenReply, type TargetTokenReply } from '../../shared/targets.ts';
import { freePort } from '../cluster/ports.ts';
import { type BrokerProcess, startBroker } from './broker_process.ts';
import { type Answer, Holder } from './holder.ts';
import type { RoleServer } from './role_server.ts';
import { ISSUER, identityProvider } from './service.ts';
import { startStaticIssuer } from './static_issuer.ts';
import type { Database } from './stores.ts';

export interface RolePerson {
  readonly holder: Holder;
  readonly handle: string;
  readonly sid: string;
  readonly sub: string;
}

export interface RoleSite {
  readonly broker: BrokerProcess;
  readonly folder: string;
  readonly configFile: string;
  readonly url: string;
  /** The store: a file, or the URL of a database. */
  readonly store: string;
  /** In all rows so far, of all processes. */
  audit(): readonly Readonly<Record<string, unknown>>[];
  /** Logs a person in; without a target, so without a role. */
  login(
    groups?: readonly string[],
    more?: Readonly<Record<string, unknown>>,
    fields?: Readonly<Record<string, string>>,
  ): Promise<RolePerson>;
  /** Asks for a role. */
  ask(person: RolePerson, fields?: Readonly<Record<string, string>>): Promise<Answer>;
  /** Has a role. */
  role(person: RolePerson, fields?: Readonly<Record<string, string>>): Promise<GivenRole>;
  /** Writes the configuration, with changes from here on. */
  configure(changes: Readonly<Record<string, unknown>>): Promise<void>;
  reload(changes: Readonly<Record<string, unknown>>): Promise<void>;
  start(): Promise<void>;
  kill(): Promise<void>;
  /** Another broker on the same store. */
  replica(): Promise<BrokerProcess>;
  stop(): Promise<void>;
}

export interface GivenRole {
  readonly role: string;
  readonly password: string;
  readonly reply: TargetTokenReply;
}

export interface RoleSiteOptions {
  readonly server: RoleServer;
  /** Of the broker's account, where it is another than the server's own. */
  readonly adminUrl?: string;
  /** Whether the server's certificate is verified; else it is spoken to in plain on loopback. */
  readonly tls?: boolean;
  readonly store?: Database;
  readonly limits?: Readonly<Record<string, string>>;
}

/** Those that have roles of orders_rw, and of orders_ro. */
export const ACCOUNTS = [
  { account: 'orders_rw', groups: ['sre'] },
  { account: 'orders_ro', groups: ['dev', 'sre'] },
];

export async function startRoleSite(options: RoleSiteOptions): Promise<RoleSite> {
  const { server, adminUrl = server.adminUrl, tls = true, store = 'sqlite', limits = {} } = options;
  const folder = await mkdtemp(path.join(tmpdir(), 'curfew-role-site-'));
  const issuer = await startStaticIssuer();
  const url = `http://127.0.0.1:${await freePort()}`;
  const configFile = path.join(folder, 'config.yaml');
  const secret = (name: string, text: string) => writeFile(path.join(folder, name), text, { mode: 0o600 });
  await secret('key', randomBytes(32).toString('hex'));
  await secret('gateway-token', randomBytes(32).toString('hex'));
  await secret('orders-admin', adminUrl);
  const place = store === 'postgres' ? await server.postgres.createDatabase() : path.join(folder, 'curfew.db');
  if (store === 'postgres') await secret('store-url', place);
  const target = {
    ...{ name: 'orders-db', kind: 'postgres', address: `127.0.0.1:${server.postgres.port}`, allowed_groups: ['*'] },
    ...{ admin_url_file: 'orders-admin', databases: [...server.databases], accounts: ACCOUNTS },
    ...(tls && { ca_file: server.caFile }),
  };
  let config: Record<string, unknown> = {
    issuer: ISSUER,
    listen: { address: '127.0.0.1', port: Number(new URL(url).port) },
    keys: { encryption_key_file: 'key' },
    identity_provider: identityProvider(issuer.issuer),
    clusters: [{ name: 'dev', server: 'https://dev.example.com', audience: 'dev', allowed_groups: ['*'] }],
    target_gateway: {
      ...{ public_url: 'wss://gw.example.com', token_file: 'gateway-token', source_addresses: ['127.0.0.2/32'] },
    },
    targets: [target],
    admins: { groups: ['admins'], limits: { max_age: '1h' } },
    store: store === 'sqlite' ? { sqlite: { file: 'curfew.db' } } : { postgres: { url_file: 'store-url' } },
    policy: { limits: { max_age: '1h', inactivity_timeout: '30m', token_ttl: '5m', ...limits }, segments: [] },
  };
  const configure: RoleSite['configure'] = async (changes) => {
    config = { ...config, ...changes };
    await writeFile(configFile, stringify(config));
  };
  await configure({});
  let broker = await startBroker({ configFile, url });
  let runs = true;
  const before: Readonly<Record<string, unknown>>[] = [];
  const others: BrokerProcess[] = [];
  let people = 0;
  const site: RoleSite = {
    folder,
    configFile,
    url,
    store: place,
    configure,
    get broker() {
      return broker;
    },
    audit: () => [...before, ...broker.audit(), ...others.flatMap((other) => other.audit())],
    async login(groups = ['sre'], more = {}, fields = {}) {
      people += 1;
      const holder = new Holder({ url, issuer: ISSUER });
      const now = holder.now();
      const sub = `person-${people}`;
      const who = { sub, email: `${sub}@example.com`, email_verified: true, groups, nonce: holder.nonce };
      const times = { iat: now, exp: now + 300, auth_time: now };
      const id_token = issuer.sign({ iss: issuer.issuer, aud: 'curfew', ...who, ...times, ...more });
      const { refresh_token: handle = '', session } = (await holder.exchange(id_token, fields)).granted;
      return { holder, handle, sid: session.sid, sub };
    },
    ask: ({ holder, handle }, fields = {}) => holder.renew(handle, 'orders-db', fields),
    async role(person, fields) {
      const { status, body } = await site.ask(person, fields);
      if (status !== 200 || !isTargetTokenReply(body) || body.credential?.kind !== 'postgres')
        throw new Error(`no role was given: ${status} ${JSON.stringify(body)}`);
      const { role, password } = body.credential;
      return { role, password, reply: body };
    },
    async reload(changes) {
      const rows = site.audit().filter(({ event }) => event === 'policy').length;
      await configure(changes);
      process.kill(broker.pid, 'SIGHUP');
      for (;;) {
        if (site.audit().filter(({ event }) => event === 'policy').length > rows) return;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
    async start() {
      broker = await startBroker({ configFile, url });
      runs = true;
    },
    async kill() {
      runs = false;
      await broker.kill();
      before.push(...broker.audit());
    },
    async replica() {
      const port = await freePort();
      const file = path.join(folder, `replica-${port}.yaml`);
      await writeFile(file, stringify({ ...config, listen: { address: '127.0.0.1', port } }));
      const other = await startBroker({ configFile: file, url: `http://127.0.0.1:${port}` });
      others.push(other);
      return other;
    },
    async stop() {
      await Promise.all(others.map((other) => other.kill()));
      if (runs) await broker.kill();
      await issuer.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
  return site;
}
