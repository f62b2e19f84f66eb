// One connection to the database, checked before it is used: that it takes writes, keeps what it acknowledges, and is one backend's.

import { isIP } from 'node:net';
import { Kysely, type KyselyPlugin, PostgresDialect } from 'kysely';
import pg from 'pg';
import { CurfewError } from '../../shared/errors.ts';
import { STRONG_TLS } from '../../shared/tls.ts';
import { type DatabaseAddress, type Host, leavesMachine } from '../config/database_address.ts';
import type { Schema } from '../store/tables.ts';

export interface ConnectOptions {
  readonly address: DatabaseAddress;
  /** PEM, beside the roots of the system. */
  readonly ca?: string | undefined;
  readonly application: string;
  /** Milliseconds after which a connection that does not answer is cut; longer than the server's own patience unless told. */
  readonly query_ms?: number | undefined;
}

export interface Connected {
  readonly client: pg.Client;
  /** Of the server, where it was looked at. */
  readonly timeline: number;
}

/** Whether what a connection leads to is to be used. @returns the server's timeline @throws CurfewError `store` */
export type Look = (client: pg.Client) => Promise<number>;

const CONNECT_MS = 2_000;
/** The server gives up first; a connection on which it did not answer by then is cut. */
const STATEMENT_MS = 5_000;
const QUERY_MS = STATEMENT_MS + 3_000;
const SESSION = {
  statement_timeout: STATEMENT_MS,
  lock_timeout: 2_000,
  idle_in_transaction_session_timeout: STATEMENT_MS,
  synchronous_commit: 'on',
  timezone: 'UTC',
} as const;
/** Debian 12's. */
const OLDEST_VERSION = 150_000;
/** Texts that the server keeps parsed and planned for a connection; bounded, as a text that was built could be new each time. */
const MOST_NAMED = 256;
/** What these give changes when a later version adds to a table, and the server refuses one that was prepared before: each is parsed again each time. */
const ALL_COLUMNS = /\b(?:select|returning) (?:"\w+"\.)?\*/;

/** Texts with values are prepared once on each connection, by a name: half of the server's work for a short one. */
class NamingClient extends pg.Client {
  readonly #names = new Map<string, string>();

  // biome-ignore lint/suspicious/noExplicitAny: the driver's own overloads
  override query(...given: any[]): any {
    const [text, values] = given;
    const ask: (...given: unknown[]) => unknown = super.query;
    if (typeof text !== 'string' || !Array.isArray(values) || values.length === 0) return ask.apply(this, given);
    const name = this.#nameOf(text);
    return ask.apply(this, name === undefined ? given : [{ name, text, values }, ...given.slice(2)]);
  }

  #nameOf(text: string): string | undefined {
    const known = this.#names.get(text);
    if (known !== undefined || this.#names.size >= MOST_NAMED || ALL_COLUMNS.test(text)) return known;
    const name = `q${this.#names.size}`;
    this.#names.set(text, name);
    return name;
  }
}

/** Integers come as numbers, and never as one that was rounded. */
const TYPES = {
  getTypeParser(oid: number, format?: 'text' | 'binary') {
    if (oid === pg.types.builtins.INT8 && format !== 'binary') return wholeNumber;
    return pg.types.getTypeParser(oid, format as 'text');
  },
};

function wholeNumber(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new RangeError('a number of the store is too large');
  return value;
}

/** The host that takes writes, of those that are given. @throws what the driver throws, or CurfewError `store`, `configuration` */
export async function connect(
  { address, ca, application, query_ms = QUERY_MS }: ConnectOptions,
  look?: Look,
): Promise<Connected> {
  let failure: unknown;
  for (const host of address.hosts) {
    const client = new NamingClient({
      host: host.host,
      port: host.port,
      user: address.user,
      database: address.database,
      password: address.password?.export().toString() ?? '',
      // The only sources are these settings: no PG* variables of the environment, no ~/.pgpass.
      ssl: leavesMachine(host) || ca !== undefined ? tlsFor(host, ca) : false,
      types: TYPES,
      application_name: application,
      connectionTimeoutMillis: CONNECT_MS,
      query_timeout: query_ms,
      keepAlive: true,
      options: Object.entries(SESSION)
        .map(([name, value]) => `-c ${name}=${value}`)
        .join(' '),
    });
    // Without a listener the end of an idle connection would end this process. Whoever uses it next finds it dead.
    client.on('error', () => undefined);
    try {
      await client.connect();
      if (await takesWrites(client)) return { client, timeline: (await look?.(client)) ?? 0 };
      failure ??= new CurfewError('store', 'the database takes no writes: it is a standby');
    } catch (error) {
      // Another host may be the right one. What was found says more than that one is away.
      if (!(failure instanceof CurfewError)) failure = error;
      if (error instanceof CurfewError && error.code === 'configuration') {
        await cut(client);
        throw error;
      }
    }
    await cut(client);
  }
  throw failure;
}

export function tlsFor({ host }: Host, ca: string | undefined) {
  return {
    ...(ca !== undefined && { ca }),
    ...STRONG_TLS,
    rejectUnauthorized: true,
    // For whom the certificate must be; an address is never sent as a name (RFC 6066 3).
    ...(host.startsWith('/') ? {} : isIP(host) ? { host } : { servername: host }),
  };
}

/** At once, without a word to the server, which may not listen. */
export async function cut(client: pg.Client): Promise<void> {
  // biome-ignore lint/suspicious/noExplicitAny: the socket is not part of the driver's types
  (client as any).connection?.stream?.destroy();
  await client.end().catch(() => undefined);
}

interface Examined {
  readonly standby: boolean;
  readonly version: number;
  readonly fsync: string;
  readonly synchronous_commit: string;
  readonly encoding: string;
  readonly backend: number;
}

/** @throws CurfewError `configuration` for what can keep nothing */
async function takesWrites(client: pg.Client): Promise<boolean> {
  const { rows } = await client.query<Examined>(`select pg_is_in_recovery() as standby,
    current_setting('server_version_num')::int as version, current_setting('fsync') as fsync,
    current_setting('synchronous_commit') as synchronous_commit, current_setting('server_encoding') as encoding,
    pg_backend_pid() as backend`);
  const [found] = rows;
  if (!found) throw new CurfewError('store', 'the database does not say what it is');
  const refuse = (what: string) => new CurfewError('configuration', `store.postgres: ${what}`);
  if (found.version < OLDEST_VERSION) throw refuse('the server is older than PostgreSQL 15');
  if (found.encoding !== 'UTF8') throw refuse(`the database's encoding is ${found.encoding}, not UTF8`);
  if (found.fsync !== 'on') throw refuse('the server runs with fsync = off: it would lose what it has acknowledged');
  if (!['on', 'remote_apply'].includes(found.synchronous_commit))
    throw refuse(`synchronous_commit is ${found.synchronous_commit}: it would lose what it has acknowledged`);
  // biome-ignore lint/suspicious/noExplicitAny: not part of the driver's types
  if (found.backend !== (client as any).processID)
    throw refuse('between here and the server is a pooler that shares connections: connect to the server itself');
  return !found.standby;
}

/** Statements built by kysely, on this one connection. */
export function kyselyOn(
  client: pg.Client,
  { plugins = [], onQuery = () => {} }: { readonly plugins?: KyselyPlugin[]; readonly onQuery?: () => void } = {},
): Kysely<Schema> {
  // biome-ignore lint/suspicious/noExplicitAny: the driver's own overloads
  const ask: (...given: any[]) => unknown = client.query.bind(client);
  // biome-ignore lint/suspicious/noExplicitAny: likewise
  const query = (...given: any[]) => {
    onQuery();
    return ask(...given);
  };
  const pool = {
    connect: async () => ({ query, release: () => {} }),
    end: async () => {},
  };
  // biome-ignore lint/suspicious/noExplicitAny: the pool is this one connection
  return new Kysely<Schema>({ dialect: new PostgresDialect({ pool: pool as any }), plugins });
}
