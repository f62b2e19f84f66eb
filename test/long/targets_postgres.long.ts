// D2, D8, long form: broker and database killed at every step of the way of a role, with both stores; 100 ends one after the other while others have
// roles made, from their acknowledgement to the last backend; COPY of 1 GiB through the real gateway.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { startDatabaseSite } from '../support/database_site.ts';
import { until } from '../support/patience.ts';
import { type KillScene, openKillScene, openSchema, STEPS } from '../support/role_kills.ts';
import { connectAs, type RoleServer, startRoleServer } from '../support/role_server.ts';
import { type GivenRole, type RolePerson, startRoleSite } from '../support/role_site.ts';
import { DATABASES } from '../support/stores.ts';

for (const store of DATABASES) {
  describe(`every step, with ${store}`, () => {
    let server: RoleServer;
    let scene: KillScene;
    before(async () => {
      server = await startRoleServer({ plain: true });
      await openSchema(server);
      scene = await openKillScene(server, store);
    });
    after(async () => {
      await scene?.stop();
      await server?.stop();
    });
    for (const victim of ['broker', 'database'] as const)
      for (const moment of ['before', 'after'] as const)
        for (const words of [...STEPS.making, ...STEPS.removing])
          test(`D8 the ${victim}, ${moment} ${words.trim()}: nothing is left once it is back`, () =>
            scene.walk(victim, moment, words));
  });
}

describe('100 ends under load', () => {
  test('D2 each stops what runs: acknowledged to backend gone', async (t) => {
    const server = await startRoleServer({ settings: { max_connections: '200' } });
    const site = await startRoleSite({ server });
    try {
      const people: { person: RolePerson; given: GivenRole; ended: Promise<unknown>; pid: number }[] = [];
      for (let n = 0; n < 100; n += 1) {
        const person = await site.login();
        const given = await site.role(person);
        const client = await connectAs(server, given);
        const [row] = (await client.query('select pg_backend_pid() as pid')).rows as { pid: number }[];
        const ended = client.query('select pg_sleep(3600)').catch((error: { code?: string }) => error.code);
        people.push({ person, given, ended, pid: row?.pid ?? 0 });
      }
      let loaded = true;
      const others = (async () => {
        const other = await site.login();
        while (loaded) await site.ask(other);
      })();
      const times: number[] = [];
      for (const { person, ended, pid } of people) {
        assert.equal((await person.holder.revoke(person.handle)).status, 200);
        const acknowledged = performance.now();
        await until(() => !isRunning(pid), 'a backend is left');
        times.push(performance.now() - acknowledged);
        assert.equal(await ended, '57P01');
      }
      loaded = false;
      await others;
      times.sort((a, b) => a - b);
      const [p50, p99] = [times[49] ?? 0, times[98] ?? 0];
      t.diagnostic(
        `acknowledged to backend gone: p50 ${p50.toFixed(0)} ms, p99 ${p99.toFixed(0)} ms, of ${times.length}`,
      );
      await until(async () => {
        const roles = await server.roles();
        return people.every(({ given }) => !roles.includes(given.role));
      }, 'a role is left');
    } finally {
      await site.stop();
      await server.stop();
    }
  });
});

/** On this machine, and no zombie. */
function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

describe('1 GiB', () => {
  test('COPY there and back is to the byte', async () => {
    const site = await startDatabaseSite();
    try {
      const alice = await site.person('alice');
      const [from, to] = ['from', 'to'].map((name) => path.join(site.desk.dir, name));
      // Of hexadecimal digits, so that nothing in it is an escape.
      execFileSync('sh', ['-c', `head -c 528482304 /dev/urandom | od -An -v -tx1 -w511 | tr -d ' ' > "$0"`, `${from}`]);
      const done = alice.start(
        ...[
          'orders-db',
          '--',
          path.join(site.programs, 'psql'),
          '-XAtq',
          '-c',
          'create unlogged table copied (line text)',
        ],
        ...['-c', `\\copy copied from '${from}'`, '-c', `\\copy copied to '${to}'`],
      );
      assert.equal(await done.exit, 0, done.stderr());
      const sum = (file: string | undefined) =>
        execFileSync('sha256sum', ['--zero', `${file}`], { encoding: 'utf8' }).split(' ')[0];
      assert.equal(sum(to), sum(from));
    } finally {
      await site.stop();
    }
  });
});
