// Roles of sessions at a real PostgreSQL, set up by what is printed for it: made, used as their person uses them, and taken away.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import pg from 'pg';
import { makeRole, prolongRole } from '../../broker/databases/make.ts';
import { LONGEST_NAME, labelOf, nameOf } from '../../broker/databases/name.ts';
import { newPassword, verifierOf } from '../../broker/databases/password.ts';
import { findOurs, removeRoles } from '../../broker/databases/remove.ts';
import { createServers, type Servers } from '../../broker/databases/servers.ts';
import { CurfewError } from '../../shared/errors.ts';
import { fromMilliseconds, plus, seconds } from '../../shared/time.ts';
import { createCertificateAuthority } from '../support/certificates.ts';
import { until } from '../support/patience.ts';
import { connectAs, type Person, type RoleServer, startRoleServer } from '../support/role_server.ts';

const HOSTILE = ['o"ers; drop role x --', "it's", 'Ünï çødé', 'all', '$$ end $b0$', 'back\\slash'];
const ODD_DATABASE = 'or"ders $$ #';
const label = labelOf(randomBytes(16).toString('hex'));
const opened: pg.Client[] = [];
let server: RoleServer;
let servers: Servers;

before(async () => {
  server = await startRoleServer({
    accounts: ['orders_rw', 'orders_ro', ...HOSTILE],
    databases: ['orders', ODD_DATABASE],
  });
  servers = createServers();
});
after(async () => {
  await servers?.close();
  await server?.stop();
});
afterEach(async () => {
  await Promise.all(opened.splice(0).map((client) => client.end().catch(() => undefined)));
});

const now = () => fromMilliseconds(Date.now());
const makes = () => servers.of(server.server).makes;
const removes = () => servers.of(server.server).removes;

interface Made extends Person {
  readonly account: string;
}

async function make(account = 'orders_rw', { sid = 'a-sid-of-22-characters', lasts = 600, username = 'alice' } = {}) {
  const [role, password] = [nameOf(label, sid), newPassword()];
  const verifier = await verifierOf(password);
  const valid_until = plus(now(), seconds(lasts));
  await makes().use((query) => makeRole(query, label, { name: role, account, verifier, valid_until, sid, username }));
  return { role, password, account };
}

async function open(person: Person): Promise<pg.Client> {
  const client = await connectAs(server, person);
  opened.push(client);
  return client;
}

async function remove(...roles: readonly Made[]) {
  const leaving = roles.map(({ role: name, account }) => ({ name, account }));
  return (await removeRoles(servers.of(server.server), leaving)).failures;
}

const stateOf = (error: unknown) => (error as { code?: unknown }).code;
const refusedWith = (state: string) => (error: unknown) => {
  assert.equal(stateOf(error), state, String(error));
  return true;
};

async function ownerOf(table: string, database?: string): Promise<unknown> {
  const rows = await server.postgres.query(
    `select tableowner from pg_tables where tablename = ${pg.escapeLiteral(table)}`,
    database ?? 'orders',
  );
  return (rows[0] as { tableowner?: unknown } | undefined)?.tableowner;
}

describe('a role of a session', () => {
  test('lets its person in by the gateway, acts as the account, and what they make belongs to the account (D1)', async () => {
    const made = await make();
    const client = await open(made);
    const { rows } = await client.query('select session_user as who, current_user as as_whom');
    assert.deepEqual(rows, [{ who: made.role, as_whom: 'orders_rw' }]);
    await client.query('create table made_by_a_person (n int); insert into made_by_a_person values (1)');
    assert.equal(await ownerOf('made_by_a_person'), 'orders_rw');
    // Also where they put off being the account, which nobody can keep them from.
    await client
      .query('set role none; create schema own; create table own.made_by_the_role (n int); discard all')
      .catch(async () => client.query('set role none'));
    assert.equal((await remove(made)).size, 0);
    assert.equal((await server.roles()).length, 0);
    assert.equal(await ownerOf('made_by_a_person'), 'orders_rw');
    const [row] = await server.postgres.query('select count(*)::int as n from made_by_a_person', 'orders');
    assert.deepEqual(row, { n: 1 });
  });

  test('leaves to the account what was made as the role itself, in each database, with the rights that it had there', async () => {
    const made = await make();
    for (const database of server.databases) {
      await server.postgres.query('grant create on schema public to public', database);
      const client = await open({ ...made, database });
      await client.query('set role none; create table of_the_role (n int); insert into of_the_role values (7)');
      await client.query('alter default privileges grant select on tables to public');
      const own = pg.escapeIdentifier(made.role);
      await client.query(
        `set role orders_rw; create table of_the_account (n int); grant select on of_the_account to ${own}`,
      );
      assert.equal(await ownerOf('of_the_role', database), made.role);
    }
    assert.deepEqual([...(await remove(made))], []);
    assert.equal((await server.roles()).length, 0);
    for (const database of server.databases) {
      assert.equal(await ownerOf('of_the_role', database), 'orders_rw');
      assert.deepEqual(await server.postgres.query('select n from of_the_role', database), [{ n: 7 }]);
      await server.postgres.query('drop table of_the_role, of_the_account', database);
    }
  });

  test('is refused from everywhere but the gateway, also with its password (D5)', async () => {
    const made = await make();
    for (const from of ['127.0.0.1', '127.0.0.3'])
      await assert.rejects(open({ ...made, from }), refusedWith('28000'), from);
    const plain = new pg.Client({
      ...{ host: '127.0.0.1', port: server.postgres.port, user: made.role, password: made.password },
      ...{ database: 'orders', ssl: false },
    });
    await assert.rejects(plain.connect(), refusedWith('28000'));
    // Nor to a database that is not listed.
    await assert.rejects(open({ ...made, database: 'postgres' }), refusedWith('28000'));
    await assert.rejects(open({ ...made, password: newPassword() }), refusedWith('28P01'));
    await open(made);
    await remove(made);
    await assert.rejects(open(made), refusedWith('28000'));
  });

  test('cannot be prolonged, handed on or made more of by its person (D6)', async () => {
    const made = await make();
    const client = await open(made);
    const own = pg.escapeIdentifier(made.role);
    const attempts = [
      `alter role ${own} valid until 'infinity'`,
      `alter role ${own} connection limit -1`,
      `alter role ${own} createrole`,
      `alter role ${own} rename to mine`,
      `comment on role ${own} is 'mine'`,
      `grant ${own} to orders_ro`,
      'grant orders_rw to orders_ro',
      `revoke curfew from ${own}`,
      `drop role ${own}`,
      'create role mine login',
      'set role curfew_admin',
      'set session authorization curfew_admin',
    ];
    for (const how of ['reset role', 'set role none'])
      for (const attempt of attempts) {
        await client.query(how);
        await assert.rejects(
          client.query(attempt),
          (error) => ['42501', '0LP01', '0A000'].includes(String(stateOf(error))),
          attempt,
        );
      }
    await remove(made);
  });

  test('lets nobody in once its time is over, and for longer where its session lasts longer', async () => {
    const made = await make('orders_ro', { lasts: 1 });
    await until(async () => {
      try {
        await (await open(made)).end();
        return false;
      } catch (error) {
        return stateOf(error) === '28P01';
      }
    }, 'a role lets its person in behind its end');
    await makes().use((query) => prolongRole(query, made.role, plus(now(), seconds(600))));
    await open(made);
    await remove(made);
  });

  test('has a password that is in no statement and no log of the server (D1)', async () => {
    const made = await make();
    await open(made);
    const log = readFileSync(path.join(server.postgres.data, '..', 'log'), 'utf8');
    assert.match(log, new RegExp(`create role "${made.role}"`));
    assert.ok(!log.includes(made.password));
    await remove(made);
  });

  test('is made for accounts of any name, and bears a name that PostgreSQL keeps whole (D7)', async () => {
    for (const account of HOSTILE) {
      const username = `${account}"'\\ mallory`;
      const made = await make(account, { sid: '-_-"; drop', username });
      assert.ok(Buffer.byteLength(made.role) <= LONGEST_NAME);
      for (const database of server.databases) {
        const client = await open({ ...made, database });
        const { rows } = await client.query('select session_user as who, current_user as as_whom');
        assert.deepEqual(rows, [{ who: made.role, as_whom: account }]);
      }
      assert.deepEqual([...(await remove(made))], []);
    }
    assert.equal((await server.roles()).length, 0);
  });
});

describe('what an account role may not be', () => {
  const FAULTS: readonly (readonly [string, string, RegExp])[] = [
    ['superuser', 'alter role faulty superuser', /superuser/],
    ['createrole', 'alter role faulty createrole', /CREATEROLE/],
    ['replication', 'alter role faulty replication', /REPLICATION/],
    ['bypassrls', 'alter role faulty bypassrls', /BYPASSRLS/],
    ['login', 'alter role faulty login', /LOGIN/],
    ['admin option', 'grant orders_ro to faulty with admin option', /ADMIN OPTION/],
    ['programs', 'grant pg_execute_server_program to faulty', /machine/],
    ['the role of sessions', 'grant curfew to faulty', /roles of sessions/],
    [
      'another that is one',
      'create role behind createrole; grant behind to faulty',
      /it can become behind: it has CREATEROLE/,
    ],
    ['nothing', 'drop role faulty', /no such role/],
  ];
  for (const [what, change, words] of FAULTS) {
    test(`${what}: no role is made (D6)`, async () => {
      await server.postgres.query('drop role if exists faulty; drop role if exists behind');
      await server.postgres.query('create role faulty; grant faulty to curfew_admin with admin option');
      await remove(await make('faulty'));
      await server.postgres.query(change);
      await assert.rejects(make('faulty'), (error) => {
        assert.ok(error instanceof CurfewError && error.code === 'database', String(error));
        assert.match(error.message, words);
        return true;
      });
      assert.equal((await server.roles()).length, 0);
      await server.postgres.query('drop role if exists faulty; drop role if exists behind');
    });
  }
});

describe('the end of a role', () => {
  test('stops a statement that runs, and the next is not taken', async () => {
    const made = await make();
    const client = await open(made);
    const sleeping = assert.rejects(client.query('select pg_sleep(3600)'), refusedWith('57P01'));
    await until(async () => {
      const rows = await server.postgres.query(
        `select 1 from pg_stat_activity where wait_event = 'PgSleep' and usename ~ '^curfew_'`,
      );
      return rows.length === 1;
    }, 'it does not run');
    assert.equal((await remove(made)).size, 0);
    await sleeping;
    assert.equal(await server.backends(), 0);
    assert.equal((await server.roles()).length, 0);
  });

  test('of 200 at once, each with what it made, leaves nothing behind', async () => {
    const all: Made[] = [];
    for (let n = 0; n < 200; n += 1) all.push(await make(n % 2 === 0 ? 'orders_rw' : 'orders_ro'));
    for (const made of all.slice(0, 20)) await open(made);
    assert.equal((await server.roles()).length, 200);
    assert.deepEqual([...(await remove(...all)).values()].slice(0, 3), []);
    assert.equal((await server.roles()).length, 0);
    assert.equal(await server.backends(), 0);
    const left = await server.postgres.query(`select from pg_shdepend s where s.refclassid = 'pg_authid'::regclass
      and not exists (select from pg_authid a where a.oid = s.refobjid)`);
    assert.equal(left.length, 0);
  });

  test('that fails at one keeps it shut, and takes the others (D4)', async () => {
    const [kept, goes] = [await make(), await make()];
    // What somebody else gave it is nobody's to take but theirs.
    await server.postgres.query(`create schema held; grant usage on schema held to "${kept.role}"`, 'orders');
    const failures = await remove(kept, goes);
    assert.deepEqual([...failures.keys()], [kept.role]);
    assert.equal(failures.get(kept.role)?.code, 'database');
    assert.deepEqual(await server.roles(), [kept.role]);
    await assert.rejects(open(kept), refusedWith('28000'));
    await server.postgres.query('drop schema held', 'orders');
    assert.equal((await remove(kept)).size, 0);
    assert.equal((await server.roles()).length, 0);
  });

  test('is no fault where it is gone already, and its account too', async () => {
    const made = await make();
    await remove(made);
    assert.equal((await remove(made)).size, 0);
    await server.postgres.query('create role passing; grant passing to curfew_admin with admin option');
    const other = await make('passing');
    await server.postgres.query('grant create on schema public to public', 'orders');
    const client = await open(other);
    await client.query('set role none; create table of_nobody (n int)');
    await server.postgres.query('drop role passing');
    assert.deepEqual([...(await remove(other))], []);
    assert.equal(await ownerOf('of_nobody'), 'curfew_admin');
    await server.postgres.query('drop table of_nobody', 'orders');
  });
});

describe('the connection of the broker', () => {
  test('is to the server that its certificate names, by name or address, and to no other', async () => {
    const { admin, ca } = server.server;
    const at = (host: string, trusted = ca) => {
      const hosts = [{ host, port: server.postgres.port }];
      return servers.of({ name: 'orders-db', admin: { ...admin, hosts }, ca: trusted });
    };
    assert.deepEqual(await at('127.0.0.1').makes.use((query) => query('select 1 as n')), [{ n: 1 }]);
    for (const connections of [at('localhost').makes, at('127.0.0.4').makes])
      await assert.rejects(
        connections.use((query) => query('select 1')),
        (error) => error instanceof CurfewError && /certificate that is not trusted/.test(error.message),
      );
    const other = await createCertificateAuthority(await mkdtemp(path.join(tmpdir(), 'curfew-other-')));
    await assert.rejects(
      at('127.0.0.1', other.caPem).makes.use((query) => query('select 1')),
      (error) => error instanceof CurfewError && /certificate that is not trusted/.test(error.message),
    );
  });

  test('is another where the server started again, and finds nothing by names that people made', async () => {
    await makes().use((query) => query('select 1'));
    await server.postgres.end('SIGKILL');
    await server.postgres.start();
    const made = await make();
    const client = await open(made);
    await client.query(
      'create function public.starts_with(text, text) returns boolean language sql as $$ select false $$',
    );
    assert.deepEqual(await findOurs(removes(), label), [{ name: made.role, account: 'orders_rw' }]);
    await remove(made);
  });
});

describe('roles of a store', () => {
  test('are told by name, comment and membership together: others are never found (D4)', async () => {
    const ours = await make();
    const strange = nameOf(labelOf('another store'), 'somebody');
    const { mark, prefix } = label;
    const named = nameOf(label, 'planted1');
    const [literal, longer] = [pg.escapeLiteral(`${mark}{}`), `${prefix}somebody_else`];
    for (const text of [
      `create role "${named}" in role curfew; comment on role "${named}" is 'of somebody else'`,
      `create role "${longer}" in role curfew; comment on role "${longer}" is ${literal}`,
      `create role commented in role curfew; comment on role commented is ${literal}`,
      `create role "${strange}" in role curfew; comment on role "${strange}" is ${pg.escapeLiteral(labelOf('another store').mark)}`,
    ])
      await server.postgres.query(text);
    const outside = nameOf(label, 'outside1');
    await server.postgres.query(`create role "${outside}"; comment on role "${outside}" is ${literal}`);
    assert.deepEqual(await findOurs(removes(), label), [{ name: ours.role, account: 'orders_rw' }]);
    await remove(ours);
    assert.deepEqual(await findOurs(removes(), label), []);
    for (const role of [named, longer, 'commented', strange, outside])
      await server.postgres.query(`drop role "${role}"`);
  });
});
