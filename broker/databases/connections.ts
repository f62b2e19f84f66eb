// Connections of the broker's own account at a database server: few, each with a deadline, kept for a moment, and cut where anything
// went wrong on them.

import pg from 'pg';
import { CurfewError } from '../../shared/errors.ts';
import { type DatabaseAddress, type Host, leavesMachine } from '../config/database_address.ts';
import { cut, tlsFor } from '../postgres/client.ts';
import { isLost } from '../postgres/faults.ts';
import { databaseFailure } from './failure.ts';

/** A database server, and the account of the broker there. */
export interface Server {
  /** Of the target, for messages. */
  readonly name: string;
  readonly admin: DatabaseAddress;
  /** PEM: who vouches for its certificate, in place of the system's roots. */
  readonly ca?: string | undefined;
}

/** One statement or several, as text without values of others but escaped ones, or with values. */
export type Query = <Row extends pg.QueryResultRow>(
  text: string,
  values?: readonly unknown[],
) => Promise<readonly Row[]>;

export interface Waits {
  /** Milliseconds for a connection, and for a statement by the server's own clock. */
  readonly connect: number;
  readonly statement: number;
}

interface Kept {
  readonly client: pg.Client;
  readonly database: string;
  readonly timer: NodeJS.Timeout;
}

/** Milliseconds for which a connection that nobody uses is kept. */
const KEEP_MS = 20_000;
/** Connections at a time. */
const MOST = 4;

export class Connections {
  readonly #server: Server;
  readonly #waits: Waits;
  readonly #kept = new Set<Kept>();
  readonly #waiting: (() => void)[] = [];
  #open = 0;
  #closed = false;

  constructor(server: Server, waits: Waits) {
    this.#server = server;
    this.#waits = waits;
  }

  /**
   * Runs what is to be asked on a connection of its own for that time.
   *
   * @param database another than the one that the account's address names
   * @throws CurfewError `database` in words
   */
  async use<T>(work: (query: Query) => Promise<T>, database = this.#server.admin.database): Promise<T> {
    const where = `the database server of ${this.#server.name}`;
    await this.#take();
    try {
      const client = await this.#connect(database);
      try {
        const result = await work((text, values) => ask(client, text, values));
        this.#keep(client, database);
        return result;
      } catch (error) {
        // Of one that a transaction may be open on nothing is known: a rollback of the server's own ends it.
        await cut(client);
        throw error;
      }
    } catch (error) {
      throw databaseFailure(error, where);
    } finally {
      this.#open -= 1;
      this.#waiting.shift()?.();
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#kept].map((kept) => this.#drop(kept)));
  }

  async #take(): Promise<void> {
    while (this.#open >= MOST) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#open += 1;
  }

  async #connect(database: string): Promise<pg.Client> {
    for (;;) {
      const kept = [...this.#kept].findLast((one) => one.database === database);
      if (!kept) return await connect(this.#server, database, this.#waits);
      this.#kept.delete(kept);
      clearTimeout(kept.timer);
      // The server may have started again since.
      if (await answers(kept.client)) return kept.client;
      await cut(kept.client);
    }
  }

  #keep(client: pg.Client, database: string): void {
    if (this.#closed || this.#kept.size >= MOST) {
      void client.end().catch(() => undefined);
      return;
    }
    const timer = setTimeout(() => void this.#drop(kept), KEEP_MS);
    timer.unref();
    const kept = { client, database, timer };
    this.#kept.add(kept);
  }

  async #drop(kept: Kept): Promise<void> {
    this.#kept.delete(kept);
    clearTimeout(kept.timer);
    await kept.client.end().catch(() => undefined);
  }
}

async function ask<Row extends pg.QueryResultRow>(client: pg.Client, text: string, values?: readonly unknown[]) {
  const { rows } = await client.query<Row>(text, values === undefined ? undefined : [...values]);
  return rows;
}

async function answers(client: pg.Client): Promise<boolean> {
  return client.query('select 1').then(
    () => true,
    () => false,
  );
}

/** The host that takes writes, of those that the address names. */
async function connect(server: Server, database: string, waits: Waits): Promise<pg.Client> {
  let failure: unknown;
  for (const host of server.admin.hosts) {
    const client = clientOf(server, host, database, waits);
    // Without a listener the end of an idle connection would end this process.
    client.on('error', () => undefined);
    try {
      await client.connect();
      const [found] = await ask<{ standby: boolean }>(client, 'select pg_is_in_recovery() as standby');
      if (found?.standby === false) return client;
      failure ??= new CurfewError('database', `the database server of ${server.name} takes no writes: it is a standby`);
    } catch (error) {
      if (!(failure instanceof CurfewError) && !(failure !== undefined && isLost(error))) failure = error;
    }
    await cut(client);
  }
  throw failure;
}

function clientOf({ admin, ca }: Server, host: Host, database: string, waits: Waits): pg.Client {
  // What people may have made in a database is never found by a name of the broker's statements.
  const session = {
    search_path: 'pg_catalog,pg_temp',
    statement_timeout: waits.statement,
    lock_timeout: waits.statement,
    idle_in_transaction_session_timeout: waits.statement,
    client_min_messages: 'error',
  };
  return new pg.Client({
    host: host.host,
    port: host.port,
    user: admin.user,
    database,
    // The only source: no PG* variables of the environment, no ~/.pgpass.
    password: admin.password?.export().toString() ?? '',
    ssl: leavesMachine(host) || ca !== undefined ? tlsFor(host, ca) : false,
    application_name: 'curfew-broker',
    connectionTimeoutMillis: waits.connect,
    query_timeout: waits.statement + 1_000,
    keepAlive: true,
    options: Object.entries(session)
      .map(([name, value]) => `-c ${name}=${value}`)
      .join(' '),
  });
}
