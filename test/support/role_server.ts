// A PostgreSQL server in which sessions have roles, set up by what the broker prints for it: TLS alone, the gateway at 127.0.0.2, the
// broker at 127.0.0.1.

import { chownSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import pg from 'pg';
import { parseDatabaseAddress } from '../../broker/config/database_address.ts';
import type { Server } from '../../broker/databases/connections.ts';
import { printPgHba } from '../../broker/layers/pg_hba.ts';
import { printPgSetup } from '../../broker/layers/pg_setup.ts';
import { createCertificateAuthority } from './certificates.ts';
import { type Postgres, startPostgres } from './postgres.ts';

/** Where the gateway of tests comes from. */
export const GATEWAY = '127.0.0.2';
export const ADMIN_PASSWORD = 'of-the-brokers-own-account';

export interface RoleServer {
  readonly postgres: Postgres;
  readonly caFile: string;
  readonly ca: string;
  readonly accounts: readonly string[];
  readonly databases: readonly string[];
  /** Of the account of the broker. */
  readonly adminUrl: string;
  readonly server: Server;
  /** Names of roles of sessions that there are. */
  roles(): Promise<readonly string[]>;
  /** How many connections there are with such roles, also with some that are gone. */
  backends(): Promise<number>;
  stop(): Promise<void>;
}

export interface RoleServerOptions {
  readonly accounts?: readonly string[];
  readonly databases?: readonly string[];
  readonly admin?: string;
  /** From where the gateway comes, where it is no address of its own. */
  readonly gateway?: string;
  /** Whether the broker speaks to it in plain, on loopback. */
  readonly plain?: boolean;
  readonly settings?: Readonly<Record<string, string>>;
}

export async function startRoleServer(options: RoleServerOptions = {}): Promise<RoleServer> {
  const postgres = await startPostgres({ log_statement: 'all', ...options.settings });
  return setUp(postgres, options).catch(async (error: unknown) => {
    await postgres.stop();
    throw error;
  });
}

async function setUp(
  postgres: Postgres,
  {
    accounts = ['orders_rw', 'orders_ro'],
    databases = ['orders'],
    admin = 'curfew_admin',
    gateway = GATEWAY,
    plain = false,
  }: RoleServerOptions,
): Promise<RoleServer> {
  const folder = await mkdtemp(path.join(tmpdir(), 'curfew-roles-'));
  const authority = await createCertificateAuthority(folder, 'databases');
  const issued = await authority.issue({ name: 'postgres', hosts: ['127.0.0.1', 'db.example.com'] });
  const inside = (name: string, text: string) => {
    const file = path.join(postgres.data, name);
    const { uid, gid } = statSync(postgres.data);
    writeFileSync(file, text, { mode: 0o600 });
    chownSync(file, uid, gid);
  };
  inside('server.crt', readFileSync(issued.certFile, 'utf8'));
  inside('server.key', readFileSync(issued.keyFile, 'utf8'));
  for (const database of databases) await postgres.query(`create database ${pg.escapeIdentifier(database)}`);
  const adminUrl = `postgres://${encodeURIComponent(admin)}:${ADMIN_PASSWORD}@127.0.0.1:${postgres.port}/postgres`;
  const address = parseDatabaseAddress(adminUrl, 'test');
  await postgres.query(printPgSetup({ databases, accounts, admin: address }));
  await postgres.query(`alter role ${pg.escapeIdentifier(admin)} password ${pg.escapeLiteral(ADMIN_PASSWORD)}`);
  for (const database of databases)
    for (const account of accounts)
      await postgres.query(`grant create, usage on schema public to ${pg.escapeIdentifier(account)}`, database);
  const printed = printPgHba({
    ...{ name: 'orders-db', databases, admin: address, ...(!plain && { ca: authority.caPem }) },
    ...{ gateway: [`${gateway}/32`], broker: ['127.0.0.1/32'] },
  });
  // Behind what is printed it is as open as it can be.
  inside('pg_hba.conf', `${printed}host all all 127.0.0.0/8 trust\nlocal all all trust\n`);
  await postgres.end();
  postgres.configure({ ssl: 'on', listen_addresses: '127.0.0.1,127.0.0.4' });
  await postgres.start();
  const server = { name: 'orders-db', admin: address, ca: authority.caPem };
  return {
    ...{ postgres, adminUrl, server, accounts, databases, caFile: authority.caFile, ca: authority.caPem },
    async roles() {
      const rows = await postgres.query(`select rolname as name from pg_roles where rolname ~ '^curfew_[0-9a-f]{10}_'`);
      return (rows as { name: string }[]).map(({ name }) => name);
    },
    async backends() {
      const [row] = (await postgres.query(
        `select count(*)::int as count from pg_stat_activity where usename ~ '^curfew_[0-9a-f]{10}_'
         or (backend_type = 'client backend' and usename is null)`,
      )) as { count: number }[];
      return row?.count ?? 0;
    },
    async stop() {
      await postgres.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export interface Person {
  readonly role: string;
  readonly password: string;
  readonly database?: string;
  /** From where; the gateway's address, unless another is to be tried. */
  readonly from?: string;
}

/** A connection as a person has it, TLS verified end to end. */
export async function connectAs(to: RoleServer, person: Person): Promise<pg.Client> {
  const { role: user, password, database = to.databases[0], from: localAddress = GATEWAY } = person;
  const client = new pg.Client({
    ...{ user, password, host: 'db.example.com', port: to.postgres.port, database: database ?? 'postgres' },
    ssl: { ca: to.ca },
    stream: () => connectFrom(localAddress, to.postgres.port),
  });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

function connectFrom(localAddress: string, port: number): Socket {
  const socket = new Socket();
  const connect = socket.connect.bind(socket);
  // The driver says where to; from where is said here.
  socket.connect = () => connect({ host: '127.0.0.1', port, localAddress });
  return socket;
}
