// The threat model: roles of sessions in a database (D1 to D4), with a real broker on both stores and a real PostgreSQL: what a person gets, that
// it goes with whatever ends the session, and that what was decided before the database was asked says nothing afterwards.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import { isTargetTokenReply } from '../../shared/targets.ts';
import { claimsOf } from '../support/holder.ts';
import { until } from '../support/patience.ts';
import { connectAs, type RoleServer, startRoleServer } from '../support/role_server.ts';
import { ACCOUNTS, type GivenRole, type RolePerson, type RoleSite, startRoleSite } from '../support/role_site.ts';
import { DATABASES } from '../support/stores.ts';

let server: RoleServer;
before(async () => {
  server = await startRoleServer();
});
after(async () => {
  await server?.stop();
});

const gone = (role: string) => async () => !(await server.roles()).includes(role);

/** A person who runs something that would take an hour. */
async function busy(given: GivenRole): Promise<{ readonly ended: Promise<unknown> }> {
  const client = await connectAs(server, given);
  const ended = client.query('select pg_sleep(3600)').then(
    () => 'not stopped',
    (error: unknown) => (error as { code?: unknown }).code,
  );
  await until(async () => {
    const text = `select from pg_stat_activity where wait_event = 'PgSleep' and usename = ${pg.escapeLiteral(given.role)}`;
    return (await server.postgres.query(text)).length === 1;
  }, 'it does not run');
  return { ended };
}

/** Nothing can be made or changed meanwhile. */
async function hang<T>(work: () => Promise<T>): Promise<T> {
  const client = new pg.Client({
    host: '127.0.0.1',
    port: server.postgres.port,
    user: 'postgres',
    database: 'postgres',
  });
  await client.connect();
  await client.query('begin; lock table pg_authid in share mode');
  try {
    return await work();
  } finally {
    await client.end();
  }
}

async function waits(): Promise<void> {
  await until(async () => {
    return (
      (
        await server.postgres.query(
          `select from pg_stat_activity where wait_event_type = 'Lock' and query ~ 'create role'`,
        )
      ).length > 0
    );
  }, 'nobody waits');
}

for (const store of DATABASES) {
  describe(`roles of sessions, with ${store}`, () => {
    let site: RoleSite;
    before(async () => {
      site = await startRoleSite({ server, store });
    });
    after(async () => {
      await site?.stop();
    });

    const rows = (event: string, { sid }: RolePerson) =>
      site.audit().filter((row) => row.event === event && row.sid === sid);

    test('D1 comes with the token, as the account that is asked for or the first that is theirs; the audit log names it, and no secret', async () => {
      const person = await site.login();
      const first = await site.role(person);
      const { credential, account, access_token, token_type } = first.reply;
      assert.equal(token_type, 'DPoP');
      assert.equal(account, 'orders_rw');
      assert.ok(credential?.kind === 'postgres');
      assert.deepEqual(credential.databases, ['orders']);
      assert.equal(Buffer.from(credential.certificate_authority_data ?? '', 'base64').toString(), server.ca);
      assert.ok(first.role.includes(`_${person.sid.slice(0, 8)}_`) && first.role.length <= 63);
      assert.equal(Buffer.from(first.password, 'base64url').length, 32);
      const claims = claimsOf(access_token);
      assert.equal(claims.target, 'orders-db');
      const second = await site.role(person, { account: 'orders_ro' });
      assert.notEqual(second.role, first.role);
      assert.notEqual(second.password, first.password);
      const dev = await site.login(['dev']);
      assert.equal((await site.role(dev)).reply.account, 'orders_ro');
      assert.equal((await site.ask(dev, { account: 'orders_rw' })).refused.error, 'invalid_target');
      for (const { role, account } of [
        { ...first, account: 'orders_rw' },
        { ...second, account: 'orders_ro' },
      ]) {
        const [row] = rows('credential', person).filter((one) => one.role === role);
        assert.deepEqual([row?.target, row?.account, row?.kind], ['orders-db', account, 'postgres']);
      }
      assert.equal(rows('mint', person).length, 2);
      for (const { password } of [first, second]) assert.ok(!site.broker.output().includes(password));
      const client = await connectAs(server, second);
      assert.deepEqual((await client.query('select current_user as whom')).rows, [{ whom: 'orders_ro' }]);
      await client.end();
    });

    test('D1 its comment says whose session it is', async () => {
      const person = await site.login();
      const { role } = await site.role(person);
      const [row] = (await server.postgres.query(
        `select shobj_description(oid, 'pg_authid') as said from pg_roles where rolname = ${pg.escapeLiteral(role)}`,
      )) as { said: string }[];
      assert.match(
        row?.said ?? '',
        new RegExp(`^curfew-broker [0-9a-f]+ .*${person.sid}.*curfew:${person.sub}@example.com`),
      );
    });

    test('D2 a logout takes it away with all that runs with it', async () => {
      const person = await site.login();
      const [given, other] = [await site.role(person), await site.role(person)];
      const { ended } = await busy(given);
      assert.equal((await person.holder.revoke(person.handle)).status, 200);
      assert.equal(await ended, '57P01');
      for (const { role } of [given, other]) {
        await until(gone(role), 'a role is left');
        await until(() => rows('role_removed', person).some((row) => row.role === role), 'its end is not recorded');
      }
      await assert.rejects(connectAs(server, given));
    });

    test('D2 so does a reload that takes the account away from its person, and one that takes away the target', async () => {
      const [sre, dev] = [await site.login(), await site.login(['dev'])];
      const [of_sre, of_dev] = [await site.role(sre), await site.role(dev)];
      const { ended } = await busy(of_sre);
      const [target] = targetsOf(site);
      await site.reload({ targets: [{ ...target, accounts: ACCOUNTS.slice(1) }] });
      assert.equal(await ended, '57P01');
      await until(gone(of_sre.role), 'the role of the account that was taken away is left');
      assert.ok(!(await gone(of_dev.role)()), 'the other account is still theirs');
      const held = await busy(of_dev);
      await site.reload({ targets: [], target_gateway: undefined });
      assert.equal(await held.ended, '57P01');
      await until(gone(of_dev.role), 'a role is left at the target that was taken away');
      await site.reload({ targets: [target], target_gateway: GATEWAY_SETTINGS });
    });

    test('D2 so does max_age, though nobody asks', async () => {
      await site.reload({ policy: policyOf({ max_age: '1m' }) });
      const begun = Math.floor(Date.now() / 1000);
      const person = await site.login(['sre'], { auth_time: begun - 56 });
      const given = await site.role(person);
      const { ended } = await busy(given);
      assert.equal(await ended, '57P01');
      assert.ok(Date.now() / 1000 >= begun + 4);
      await until(gone(given.role), 'the role is left');
      const [removed] = rows('role_removed', person);
      assert.ok(Number(removed?.due_at) >= begun + 4);
      await site.reload({ policy: policyOf({}) });
    });

    test('D3 a session that ends while the database makes the role gets nothing, and the role goes at once', async () => {
      const person = await site.login();
      const answer = await hang(async () => {
        const asked = site.ask(person);
        await waits();
        assert.equal((await person.holder.revoke(person.handle)).status, 200);
        return asked;
      }).then((one) => one);
      assert.equal(answer.status, 400);
      await until(
        async () => (await server.roles()).every((role) => !role.includes(person.sid.slice(0, 8))),
        'it is left',
      );
      assert.equal(rows('credential', person).length, 0);
      assert.equal(rows('mint', person).length, 0);
    });

    test('D3 so does one whose person may not be the account any more', async () => {
      const person = await site.login();
      const [target] = targetsOf(site);
      const answer = await hangAnd(person, () =>
        site.reload({ targets: [{ ...target, accounts: ACCOUNTS.slice(1) }] }),
      );
      assert.equal(answer.refused.error, 'invalid_target');
      await until(
        async () => (await server.roles()).every((role) => !role.includes(person.sid.slice(0, 8))),
        'it is left',
      );
      assert.equal(rows('credential', person).length, 0);
      await site.reload({ targets: [target] });
    });

    async function hangAnd(person: RolePerson, work: () => Promise<void>) {
      const asked = await hang(async () => {
        const under_way = site.ask(person);
        await waits();
        await work();
        return { under_way };
      });
      return asked.under_way;
    }

    test('D3 a database that is away: 503, a login has its session all the same, and nothing is left once it is back', async () => {
      const person = await site.login();
      await server.postgres.end('SIGKILL');
      const asked = (async () => {
        const answer = await site.ask(person);
        // On PostgreSQL the store is away with it.
        const late = store === 'sqlite' ? await site.login(['sre'], {}, { audience: 'orders-db' }) : undefined;
        return { answer, late };
      })();
      const { answer, late } = await asked.finally(() => server.postgres.start());
      assert.equal(answer.status, 503);
      await until(async () => {
        const { status, body } = await site.ask(person);
        return status === 200 && isTargetTokenReply(body);
      }, 'it gives no role again');
      if (late) await site.role(late);
    });

    test('D4 roles that no row knows are found at the start and go; those of others stay', async () => {
      const person = await site.login();
      const { role } = await site.role(person);
      const [mark] = (await server.postgres.query(
        `select split_part(shobj_description(oid, 'pg_authid'), '{', 1) as mark from pg_roles where rolname = ${pg.escapeLiteral(role)}`,
      )) as { mark: string }[];
      const prefix = role.slice(0, -`${person.sid.slice(0, 8)}_${'0'.repeat(32)}`.length);
      const lost = `${prefix}lost0000_${'0'.repeat(32)}`;
      const others = [`${prefix}planted1_${'1'.repeat(32)}`, `${prefix}somebody`];
      await server.postgres.query(
        `create role "${lost}" login in role curfew, orders_rw; comment on role "${lost}" is ${pg.escapeLiteral(`${mark?.mark}{}`)};
         create role "${others[0]}" in role curfew; create role "${others[1]}"; comment on role "${others[1]}" is ${pg.escapeLiteral(`${mark?.mark}{}`)}`,
      );
      await site.kill();
      await site.start();
      await until(gone(lost), 'it is left');
      assert.ok(!(await gone(role)()), 'the role of a session that is active stays');
      for (const other of others) {
        assert.equal((await server.postgres.query(`select from pg_roles where rolname = '${other}'`)).length, 1);
        await server.postgres.query(`drop role "${other}"`);
      }
      await site.role(person);
    });

    test('D4 one that cannot be dropped is shut, said by log and metric, and goes once it can', async () => {
      const person = await site.login();
      const { role } = await site.role(person);
      await server.postgres.query(`create schema held; grant usage on schema held to "${role}"`, 'orders');
      await person.holder.revoke(person.handle);
      await until(() => site.broker.log().includes('could not be removed'), 'nobody says so');
      const [found] = (await server.postgres.query(
        `select rolcanlogin as login from pg_roles where rolname = '${role}'`,
      )) as { login: boolean }[];
      assert.equal(found?.login, false);
      await server.postgres.query('drop schema held', 'orders');
      await until(gone(role), 'it is left');
    });
  });
}

const GATEWAY_SETTINGS = {
  ...{ public_url: 'wss://gw.example.com', token_file: 'gateway-token', source_addresses: ['127.0.0.2/32'] },
};

const policyOf = (limits: Readonly<Record<string, string>>) => ({
  limits: { max_age: '1h', inactivity_timeout: '30m', token_ttl: '5m', ...limits },
  segments: [],
});

function targetsOf(_site: RoleSite): readonly [Record<string, unknown>] {
  return [
    {
      ...{ name: 'orders-db', kind: 'postgres', address: `127.0.0.1:${server.postgres.port}`, allowed_groups: ['*'] },
      ...{
        admin_url_file: 'orders-admin',
        databases: [...server.databases],
        accounts: ACCOUNTS,
        ca_file: server.caFile,
      },
    },
  ];
}
