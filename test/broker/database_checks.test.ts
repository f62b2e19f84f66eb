// What is printed for a PostgreSQL server, and what check --live says of one: of what is printed nothing, of each thing that is otherwise its name.

import assert from 'node:assert/strict';
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { parseDatabaseAddress } from '../../broker/config/database_address.ts';
import type { PostgresTarget } from '../../broker/config/target_settings.ts';
import { printPgHba } from '../../broker/layers/pg_hba.ts';
import { printPgSetup } from '../../broker/layers/pg_setup.ts';
import { lookAtDatabase } from '../../broker/live/database.ts';
import { faultOfHba, type HbaLine } from '../../broker/live/pg_hba_lines.ts';
import { buildBundles } from '../../scripts/bundle.ts';
import { run } from '../../scripts/run.ts';
import { commandOf } from '../support/command_of.ts';
import { GATEWAY, type RoleServer, startRoleServer } from '../support/role_server.ts';
import { type RoleSite, startRoleSite } from '../support/role_site.ts';

const admin = parseDatabaseAddress('postgres://curfew_admin:secret-word@db.example.com/postgres', 'test');

describe('print pg-hba', () => {
  const PARTS = { name: 'orders-db', databases: ['orders'], admin, gateway: ['10.0.9.4', '2001:db8::/64'] };

  test('the account of the broker, then the gateway, then nobody; an address alone is a block of one', () => {
    const lines = printPgHba({ ...PARTS, broker: ['10.0.9.8', '10.0.10.0/24'] })
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
      .map((line) => line.split(/ +/).join(' '));
    assert.deepEqual(lines, [
      'hostssl all curfew_admin 10.0.9.8/32 scram-sha-256',
      'hostssl all curfew_admin 10.0.10.0/24 scram-sha-256',
      'hostssl orders +curfew 10.0.9.4/32 scram-sha-256',
      'hostssl orders +curfew 2001:db8::/64 scram-sha-256',
      'host all +curfew all reject',
      'local all +curfew reject',
    ]);
  });

  test('words that mean something else, and what ends a field, are in quotes; an end of line is refused (D7)', () => {
    const text = printPgHba({ ...PARTS, databases: ['all', 'replication', 'a b', 'x"y', '#z', 'Upper'] });
    assert.match(text, /^hostssl {2}"all","replication","a b","x""y","#z","Upper" {2}\+curfew/m);
    assert.throws(() => printPgHba({ ...PARTS, databases: ['a\nlocal all all trust'] }), { code: 'configuration' });
    const [first = ''] = printPgHba({ ...PARTS, name: 'x\nlocal all all trust' }).split('\n');
    assert.match(first, /^#.*trust/);
  });

  test('a server on the same machine: loopback, or its socket', () => {
    const of = (url: string) => printPgHba({ ...PARTS, admin: parseDatabaseAddress(url, 'test') });
    assert.match(of('postgres://a:b@127.0.0.1/x'), /^host {5}all {2}a {2}127\.0\.0\.1\/32/m);
    assert.match(of('postgres://a@/x?host=/run/postgresql'), /^local {4}all {2}a {2}scram-sha-256$/m);
  });
});

describe('print pg-setup', () => {
  test('holds no secret, and quotes every name (D7)', () => {
    const odd = parseDatabaseAddress(
      `postgres://${encodeURIComponent('o"x')}:secret-word@db.example.com/postgres`,
      'test',
    );
    const text = printPgSetup({ databases: ['a"b'], accounts: ["it's", 'rw', 'rw'], admin: odd });
    assert.ok(!text.includes('secret-word'));
    for (const part of ['GRANT "it\'s" TO "o""x" WITH ADMIN OPTION', 'ON DATABASE "a""b" TO', "rolname = 'it''s'"])
      assert.ok(text.includes(part), part);
    assert.equal(text.split('GRANT "rw"').length, 2);
  });
});

describe('lines of pg_hba.conf', () => {
  const row = (line: number, more: Partial<HbaLine>): HbaLine => ({
    ...{ line, type: 'host', databases: ['all'], users: ['+curfew'], address: 'all', netmask: null, method: 'reject' },
    ...{ error: null, ...more },
  });
  const byGateway = {
    type: 'hostssl',
    databases: ['orders'],
    address: '10.0.9.4',
    netmask: '255.255.255.255',
    method: 'scram-sha-256',
  };
  const printed = [
    row(1, { type: 'hostssl', users: ['curfew_admin'], method: 'scram-sha-256' }),
    row(2, byGateway),
    row(3, {}),
    row(4, { type: 'local', address: null }),
  ];
  const open = row(9, { users: ['all'], method: 'trust' });
  const faults: readonly (readonly [string, readonly HbaLine[]])[] = [
    ['an open line first', [open, ...printed]],
    ['a group first', [row(9, { users: ['+staff'], method: 'md5' }), ...printed]],
    ['a pattern first', [row(9, { users: ['/^curfew'], method: 'scram-sha-256' }), ...printed]],
    ['without TLS', [row(9, { ...byGateway, type: 'host' }), ...printed]],
    ['by another method', [row(9, { ...byGateway, method: 'trust' }), ...printed]],
    ['a wider block', [row(9, { ...byGateway, netmask: '255.255.255.0' }), ...printed]],
    ['from elsewhere', [row(9, { ...byGateway, address: '10.0.9.5' }), ...printed]],
    ['a name in place of an address', [row(9, { ...byGateway, address: 'gw.example.com', netmask: null }), ...printed]],
    ['the socket', [...printed.slice(0, 3), row(9, { ...open, type: 'local', address: null })]],
    ['rejected for one database alone', [...printed.slice(0, 2), row(3, { databases: ['orders'] }), open]],
    ['rejected with TLS alone', [...printed.slice(0, 2), row(3, { type: 'hostssl' }), open]],
    [
      'rejected from some addresses alone',
      [...printed.slice(0, 2), row(3, { address: '10.0.0.0', netmask: '255.0.0.0' }), open],
    ],
    ['rejected too early', [row(0, {}), ...printed.slice(1)]],
    ['nothing of ours', [row(1, { users: ['postgres'], method: 'peer', type: 'local' })]],
    ['a fault in the file', [row(1, { error: 'invalid' }), ...printed]],
  ];
  test('those that are printed, and what comes behind them, let sessions in by the gateway alone', () => {
    assert.equal(faultOfHba(printed, ['10.0.9.4/32']), undefined);
    assert.equal(faultOfHba([...printed, open, { ...open, type: 'local', address: null }], ['10.0.9.4']), undefined);
    assert.equal(faultOfHba(printed, ['10.0.0.0/8']), undefined);
    const v6 = { ...byGateway, address: '2001:db8::', netmask: 'ffff:ffff:ffff:ffff::' };
    assert.equal(faultOfHba([...printed.slice(0, 1), row(2, v6), ...printed.slice(2)], ['2001:db8::/64']), undefined);
    assert.notEqual(
      faultOfHba([...printed.slice(0, 1), row(2, v6), ...printed.slice(2)], ['2001:db8::/65']),
      undefined,
    );
  });
  for (const [what, lines] of faults) {
    test(`${what}: a fault`, () => assert.notEqual(faultOfHba(lines, ['10.0.9.4/32']), undefined));
  }
});

describe('check --live at a database', () => {
  let server: RoleServer;
  let site: RoleSite;
  let target: PostgresTarget;
  before(async () => {
    server = await startRoleServer();
    site = await startRoleSite({ server });
    const accounts = server.accounts.map((account) => ({ account, groups: ['*'] }));
    const address = { host: '127.0.0.1', port: server.postgres.port };
    target = {
      ...{ name: 'orders-db', kind: 'postgres', audience: 'orders-db', allowed_groups: ['*'], accounts, address },
      ...{ admin: server.server.admin, ca: server.ca, databases: server.databases },
    };
  });
  after(async () => {
    await site?.stop();
    await server?.stop();
  });

  const look = () => lookAtDatabase(target, [GATEWAY]);
  const faults = async () => (await look()).filter(({ state }) => state !== 'ok').map(({ says }) => says);

  test('set up as it is printed: nothing is wrong', async () => {
    assert.deepEqual(await faults(), []);
    assert.equal((await look()).length, 2);
  });

  const CHANGES: readonly (readonly [string, string, RegExp])[] = [
    ['alter role curfew_admin nocreaterole', 'alter role curfew_admin createrole', /CREATEROLE/],
    ['alter role curfew_admin superuser', 'alter role curfew_admin nosuperuser', /superuser: it needs less/],
    ['revoke pg_signal_backend from curfew_admin', 'grant pg_signal_backend to curfew_admin', /pg_signal_backend/],
    [
      'revoke admin option for orders_rw from curfew_admin',
      'grant orders_rw to curfew_admin with admin option',
      /orders_rw/,
    ],
    ['revoke curfew from curfew_admin', 'grant curfew to curfew_admin with admin option', /not in curfew/],
    ['alter role curfew login', 'alter role curfew nologin', /curfew has LOGIN/],
    ['alter role orders_ro createrole', 'alter role orders_ro nocreaterole', /orders_ro: it has CREATEROLE/],
    ['alter role orders_rw bypassrls', 'alter role orders_rw nobypassrls', /orders_rw: it has BYPASSRLS/],
    ['alter role orders_rw login', 'alter role orders_rw nologin', /orders_rw: it has LOGIN/],
    [
      'revoke execute on function pg_hba_file_rules() from curfew_admin',
      'grant execute on function pg_hba_file_rules() to curfew_admin',
      /not seen/,
    ],
  ];
  for (const [change, back, words] of CHANGES) {
    test(`${change}: said`, async () => {
      await server.postgres.query(change);
      try {
        const found = await faults();
        assert.equal(found.length, 1, found.join('\n'));
        assert.match(found[0] ?? '', words);
      } finally {
        await server.postgres.query(back);
      }
      assert.deepEqual(await faults(), []);
    });
  }

  test('a line before the printed ones, and a server that is away: said', async () => {
    const file = path.join(server.postgres.data, 'pg_hba.conf');
    const text = readFileSync(file, 'utf8');
    writeFileSync(file, `host orders all 10.0.0.0/8 scram-sha-256\n${text}`);
    assert.match((await faults()).join(), /line 1 lets roles of sessions in/);
    writeFileSync(file, text);
    appendFileSync(file, 'nonsense\n');
    assert.match((await faults()).join(), /cannot be read/);
    writeFileSync(file, text);
    assert.deepEqual(await faults(), []);
    await server.postgres.end('SIGKILL');
    assert.match((await faults()).join(), /cannot be reached \(ECONNREFUSED\)/);
    await server.postgres.start();
  });

  test('the commands print for a target of kind postgres, by the configuration, and no secret', async () => {
    const [program = '', ...args] = commandOf((await buildBundles()).broker);
    const print = (what: string, name = 'orders-db') =>
      run(program, [...args, 'print', what, '--config', site.configFile, '--target', name], { timeout: 60_000 });
    const [hba, setup] = [await print('pg-hba'), await print('pg-setup')];
    assert.equal(hba.code, 0, hba.stderr);
    assert.match(hba.stdout, /^hostssl {2}orders {2}\+curfew {2}127\.0\.0\.2\/32 {2}scram-sha-256$/m);
    assert.equal(setup.code, 0, setup.stderr);
    // It may be run again.
    await server.postgres.query(setup.stdout);
    assert.deepEqual(await faults(), []);
    for (const { stdout } of [hba, setup])
      assert.ok(!stdout.includes(server.server.admin.password?.export().toString() ?? ''));
    assert.equal((await print('pg-hba', 'nowhere')).code, 64);
  });
});
