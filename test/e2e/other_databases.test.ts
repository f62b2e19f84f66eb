// MariaDB and Redis by kind tcp, with the whole way as it is shipped: people have accounts of their own there, and at the end of the session client and
// connection are gone.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type DatabaseSite, startDatabaseSite } from '../support/database_site.ts';
import { type OtherDatabase, startMariadb, startRedis } from '../support/other_databases.ts';
import { until } from '../support/patience.ts';

let site: DatabaseSite;
let redis: OtherDatabase;
let mariadb: OtherDatabase;

before(async () => {
  redis = await startRedis();
  mariadb = await startMariadb();
  const tcp = (name: string, { port }: OtherDatabase) => ({
    ...{ name, kind: 'tcp', address: `127.0.0.1:${port}`, allowed_groups: ['sre'] },
  });
  site = await startDatabaseSite({ people: ['bob'], targets: [tcp('cache', redis), tcp('shop-db', mariadb)] });
});
after(async () => {
  await site?.stop();
  await mariadb?.stop();
  await redis?.stop();
});

const ended = (sid: string) =>
  site.desk.broker.audit().filter(({ event, sid: of }) => event === 'disconnect' && of === sid);

test('Redis: what is set by connect is there; a command that waits is cut at the end of the session', async () => {
  const alice = await site.person('alice');
  const cli = (words: string) => [
    ...['cache', '--', 'sh', '-c', `LD_LIBRARY_PATH="$0" exec "$1" -h "$CURFEW_HOST" -p "$CURFEW_PORT" ${words}`],
    ...[redis.env.LD_LIBRARY_PATH ?? '', redis.client],
  ];
  const set = alice.start(...(cli('set greeting hello') as [string, ...string[]]));
  assert.equal(await set.exit, 0, set.stderr());
  assert.match(await redis.ask('get', 'greeting'), /^hello\n$/);
  const waiting = alice.start(...(cli('blpop nothing 0') as [string, ...string[]]));
  const blocked = async () => /cmd=blpop/.test(await redis.ask('client', 'list'));
  await until(async () => {
    if (waiting.ended) throw new Error(waiting.stderr());
    return blocked();
  }, 'it does not wait');
  const sid = alice.sid();
  assert.equal((await alice.curfew(['logout'])).code, 0);
  assert.equal(await waiting.exit, 77, waiting.stderr());
  assert.match(waiting.stderr(), /logged out/);
  await until(async () => !(await blocked()), 'its connection is left');
  await until(() => ended(sid).length === 2, 'the ends are not recorded');
});

test('MariaDB: who logs in there does so with an account of their own, and its connection is gone at the end of the session', async () => {
  await mariadb.ask(
    '-e',
    "create user bob@'127.0.0.1' identified by 'his own'; create database shop; grant all on shop.* to bob@'127.0.0.1'",
  );
  const bob = await site.person('bob');
  const client = 'LD_LIBRARY_PATH="$0" exec "$1" --no-defaults -u bob -p"his own" -N -B -n shop';
  const running = bob.start('shop-db', '--', 'sh', '-c', client, mariadb.env.LD_LIBRARY_PATH ?? '', mariadb.client);
  running.write('select substring_index(user(), "@", 1);\n');
  await until(() => {
    if (running.ended) throw new Error(running.stderr());
    return running.stdout() === 'bob\n';
  }, 'it does not answer');
  const there = async () => /\tbob\t/.test(await mariadb.ask('-e', 'show processlist'));
  assert.ok(await there());
  const carol = await site.person('carol');
  const sid = bob.sid();
  assert.equal((await carol.curfew(['sessions', 'end', sid])).code, 0);
  await until(async () => !(await there()), 'its connection is left');
  running.write('select 2;\n');
  running.endInput();
  assert.equal(await running.exit, 77, running.stderr());
  assert.match(running.stderr(), /ended by an administrator/);
  await until(() => ended(sid).length === 1, 'the end is not recorded');
});
