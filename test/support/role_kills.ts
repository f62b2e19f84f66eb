// Broker or database is killed at each step of the way of a role, and comes back: for the test, which takes some, and its long form, which takes all.

import assert from 'node:assert/strict';
import pg from 'pg';
import { until } from './patience.ts';
import { ADMIN_PASSWORD, connectAs, type RoleServer } from './role_server.ts';
import { type RoleSite, startRoleSite } from './role_site.ts';
import { type Moment, type StatementGate, startStatementGate } from './statement_gate.ts';
import { openStoreDatabase } from './store_database.ts';
import type { Database } from './stores.ts';

export type Victim = 'broker' | 'database';

/** By words of the statement that is sent there. */
export const STEPS = {
  making: ['create role'],
  removing: [' nologin', 'pg_terminate_backend', 'reassign owned', 'drop role'],
} as const;

export interface KillScene {
  readonly site: RoleSite;
  readonly gate: StatementGate;
  /** @param words of a statement of `STEPS` */
  walk(victim: Victim, moment: Moment, words: string): Promise<void>;
  stop(): Promise<void>;
}

/** @param server set up for a broker that speaks to it in plain */
export async function openKillScene(server: RoleServer, store: Database = 'sqlite'): Promise<KillScene> {
  const gate = await startStatementGate(server.postgres.port);
  const adminUrl = `postgres://curfew_admin:${ADMIN_PASSWORD}@127.0.0.1:${gate.port}/postgres`;
  const site = await startRoleSite({ server, adminUrl, tls: false, store });
  const kill: Readonly<Record<Victim, () => Promise<void>>> = {
    broker: () => site.kill(),
    database: () => server.postgres.end('SIGKILL'),
  };
  const back: Readonly<Record<Victim, () => Promise<void>>> = {
    broker: () => site.start(),
    database: () => server.postgres.start(),
  };
  const nothingLeft = async (where: string) => {
    await until(async () => (await server.roles()).length === 0, `${where}: a role is left`);
    await until(async () => (await server.backends()) === 0, `${where}: a connection is left`);
    await until(() => rowsOf(site) === 0, `${where}: a row is left`);
  };
  const making = async (victim: Victim, moment: Moment, words: string) => {
    const person = await site.login();
    const killed = gate.at(moment, words, kill[victim]);
    const asked = site.ask(person).then(
      ({ status }) => status,
      () => 'no answer',
    );
    await killed;
    await back[victim]();
    assert.notEqual(await asked, 200);
    assert.equal(site.audit().filter(({ event, sid }) => event === 'credential' && sid === person.sid).length, 0);
  };
  const removing = async (victim: Victim, moment: Moment, words: string) => {
    const person = await site.login();
    const given = await site.role(person);
    const client = await connectAs(server, given);
    // What it owns keeps it from being dropped.
    await client.query('set role none; create table left_by_it (n int); insert into left_by_it values (1)');
    const killed = gate.at(moment, words, kill[victim]);
    const revoked = person.holder.revoke(person.handle).catch(() => undefined);
    await killed;
    await revoked;
    await back[victim]();
    await client.end().catch(() => undefined);
    await until(
      async () => !(await server.roles()).includes(given.role),
      `${victim} ${moment} ${words}: the role is left`,
    );
    const owner = `select tableowner as owner from pg_tables where tablename = 'left_by_it'`;
    assert.deepEqual(await server.postgres.query(owner, 'orders'), [{ owner: 'orders_rw' }]);
    await server.postgres.query('drop table left_by_it', 'orders');
    await assert.rejects(connectAs(server, given));
  };
  return {
    site,
    gate,
    async walk(victim, moment, words) {
      const where = `${victim} ${moment} ${words}`;
      await (STEPS.making.some((one) => one === words) ? making : removing)(victim, moment, words);
      await nothingLeft(where);
    },
    async stop() {
      await site.stop();
      await gate.stop();
    },
  };
}

function rowsOf(site: RoleSite): number {
  using database = openStoreDatabase(site.store);
  return Number(database.prepare('select count(*) as count from session_role').get()?.count);
}

/** Anybody may make tables there, as themselves too. */
export async function openSchema(server: RoleServer): Promise<void> {
  for (const database of server.databases)
    await server.postgres.query(
      `grant create on schema public to public; grant connect on database ${pg.escapeIdentifier(database)} to public`,
      database,
    );
}
