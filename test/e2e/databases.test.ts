// The whole way to a database, with what is shipped: psql, pg_dump and COPY by `kubectl curfew connect`, through the real gateway, with roles of a real
// broker in a real PostgreSQL; and for each cause of an end, that client, statement and role are gone.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type DatabasePerson, type DatabaseSite, startDatabaseSite } from '../support/database_site.ts';
import { until } from '../support/patience.ts';

let site: DatabaseSite;
let alice: DatabasePerson;

interface Cause {
  readonly name: string;
  /** What the person reads. */
  readonly words: RegExp;
  readonly target?: string;
  /** Seconds since the login, by the identity provider's word. */
  readonly age?: number;
  end?(person: DatabasePerson): Promise<unknown>;
}

const CAUSES: readonly Cause[] = [
  { name: 'logout', words: /logged out/, end: (person) => person.curfew(['logout']) },
  {
    ...{ name: 'ended', words: /ended by an administrator/ },
    end: async (person) => (await site.person('carol')).curfew(['sessions', 'end', person.sid()]),
  },
  { name: 'gone', words: /logged out at the identity provider/, end: () => site.desk.idp.logOut('gone') },
  { name: 'old', words: /login is too old/, age: 3_585 },
  { name: 'idle', words: /idle for too long/, target: 'idle-db' },
  // The last: it changes the configuration.
  {
    ...{ name: 'outcast', words: /not admitted|no access/ },
    end: () => {
      const [orders, ...others] = site.sections.targets;
      return site.desk.reconfigure({
        targets: [{ ...orders, accounts: [{ account: 'orders_ro', groups: ['*'] }] }, ...others],
      });
    },
  },
];

before(async () => {
  site = await startDatabaseSite({
    people: CAUSES.map(({ name }) => name),
    again: ['idle-db'],
    policy: {
      limits: { max_age: '1h', inactivity_timeout: '30m', token_ttl: '5m' },
      segments: [{ name: 'idle', match: { targets: ['idle-db'] }, limits: { inactivity_timeout: '10s' } }],
    },
  });
  alice = await site.person('alice');
});
after(async () => {
  await site?.stop();
});

const hash = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const rows = (event: string, sid: string) =>
  site.desk.broker.audit().filter((row) => row.event === event && row.sid === sid);

describe('a database by connect', () => {
  test('psql is let in by TLS that it verifies itself, as the account, and what it makes belongs to that (D1)', async () => {
    const asked = ['-c', "select current_user, session_user ~ '^curfew_'", '-c', '\\conninfo'];
    const { code, stdout, stderr } = await alice.connect('psql', '-XAt', ...asked);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^orders_rw\|t\n.*SSL connection \(protocol: TLSv1\.[23]/s);
    const made = await alice.connect('psql', '-XAtq', '-c', 'create table of_alice (n int)', '-c', '\\dt of_alice');
    assert.equal(made.code, 0, made.stderr);
    assert.match(made.stdout, /\|orders_rw\n$/);
    const [row] = rows('connect', alice.sid());
    assert.deepEqual([row?.target, row?.kind, row?.account], ['orders-db', 'postgres', 'orders_rw']);
    await until(() => rows('disconnect', alice.sid()).length >= 2, 'the ends of connections are not recorded');
    assert.equal(rows('credential', alice.sid()).length, 2, 'a role for each call');
  });

  test('a program that connects again and again has one role', async () => {
    const before = rows('credential', alice.sid()).length;
    const { code, stdout, stderr } = await alice.connect(
      'psql',
      '-XAtq',
      '-c',
      'select 1',
      '-c',
      '\\c',
      '-c',
      'select 2',
      '-c',
      '\\c',
      '-c',
      'select 3',
    );
    assert.equal(code, 0, stderr);
    assert.match(stdout, /1\n.*2\n.*3\n/s);
    assert.equal(rows('credential', alice.sid()).length, before + 1);
  });

  test('COPY of 64 MB, there and back, is to the byte; pg_dump makes what can be restored', async () => {
    const [from, to] = [path.join(site.desk.dir, 'from'), path.join(site.desk.dir, 'to')];
    // Of each line 1 KiB: hexadecimal digits, so that no escape is in it.
    await writeFile(from, Array.from({ length: 2 ** 16 }, () => `${randomBytes(511).toString('hex')}\n`).join(''));
    const bytes = 2 ** 16 * 1023;
    const { code, stderr } = await alice.connect(
      ...['psql', '-XAtq', '-c', 'create table copied (line text)', '-c', `\\copy copied from '${from}'`],
      ...['-c', `\\copy copied to '${to}'`, '-c', 'drop table copied'],
    );
    assert.equal(code, 0, stderr);
    const [sent, came] = [await readFile(from), await readFile(to)];
    assert.equal(sent.length, bytes);
    assert.equal(hash(came), hash(sent));
    await until(() => {
      const row = rows('disconnect', alice.sid()).at(-1);
      return Number(row?.bytes_sent) > bytes && Number(row?.bytes_received) > bytes;
    }, 'its bytes are not counted');
    const dump = await alice.connect('pg_dump', '--no-owner', '--table', 'of_alice');
    assert.equal(dump.code, 0, dump.stderr);
    assert.match(dump.stdout, /CREATE TABLE public\.of_alice/);
  });
});

describe('a statement that runs when it is over', () => {
  for (const { name, words, target = 'orders-db', age, end } of CAUSES) {
    test(`${name}: it is stopped, the person reads why, the role is gone, and all of it is recorded (D2)`, async () => {
      if (age !== undefined) site.desk.idp.setAuthTimeOffset(name, age);
      const person = await site.person(name);
      const running = person.start(
        target,
        '--',
        path.join(site.programs, 'psql'),
        '-XAtq',
        '-c',
        'select pg_sleep(3600)',
      );
      const sid = person.sid();
      const role = () => String(rows('credential', sid).at(-1)?.role);
      const runs = async () => {
        if (running.ended) throw new Error(running.stderr());
        const text = "select usename from pg_stat_activity where wait_event = 'PgSleep'";
        return ((await site.server.postgres.query(text)) as { usename: string }[]).some(
          ({ usename }) => usename === role(),
        );
      };
      await until(runs, 'it does not run');
      await end?.(person);
      assert.equal(await running.exit, 77, running.stderr());
      assert.match(running.stderr(), words);
      await until(async () => (await site.server.backends()) === 0, 'a backend is left');
      await until(async () => !(await site.server.roles()).includes(role()), 'the role is left');
      await until(() => rows('role_removed', sid).some((row) => row.role === role()), 'that it went is not recorded');
      await until(() => rows('disconnect', sid).length > 0, 'the end of the connection is not recorded');
      assert.equal(rows('connect', sid).length, rows('disconnect', sid).length);
    });
  }
});
