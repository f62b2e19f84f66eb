// 50 real kubectls at once: cold, with a token to renew, with a login that is too old, logged out; at a terminal and not; through
// the native program and through Node.js. What they cause is counted.

import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { quote } from '../../cli/host/launcher.ts';
import { run } from '../../scripts/run.ts';
import { countOf } from '../counts.ts';
import { PROGRAMS } from '../native/launcher.ts';
import type { Person } from '../support/person.ts';
import { runInPty } from '../support/pty.ts';
import { startWorld, type World } from '../support/world.ts';

let world: World;
let person: Person;

before(async () => {
  const policy = {
    limits: { max_age: '8h', inactivity_timeout: '8h', token_ttl: '5m' },
    segments: [{ name: 'production', match: { clusters: ['dev'] }, limits: { max_age: '15m' } }],
  };
  world = await startWorld({ policy, kwok: false });
});

/** As nobody who ever logged in here: a logout would have the next login come in person. */
const forget = () => {
  world.idp.setAuthTimeOffset(null, 0);
  const { CURFEW_CONFIG_DIR = '' } = person.env;
  for (const folder of [cache(), `${CURFEW_CONFIG_DIR}/sessions`, `${CURFEW_CONFIG_DIR}/secrets`])
    rmSync(folder, { recursive: true, force: true });
};
after(() => world?.stop());

const plugin = () => path.join(person.env.CURFEW_CONFIG_DIR ?? '', 'bin/kubectl-curfew');
const cache = () => person.env.CURFEW_CACHE_DIR ?? '';
/** Without the note of who was told of a refusal last. */
const files = () => (existsSync(cache()) ? readdirSync(cache()).filter((name) => name !== 'refused') : []);
const forgetTokens = () => {
  for (const name of files()) if (name.startsWith('https')) rmSync(path.join(cache(), name));
};

/** What has happened so far, as the broker, the browser and the identity provider know it. */
const counts = () => {
  const events = world.broker.audit().map(({ event }) => event);
  const of = (name: string) => events.filter((event) => event === name).length;
  return { logins: of('login'), mints: of('mint'), rows: events.length, tabs: person.browser.visits().length };
};
const since = (earlier: ReturnType<typeof counts>) => {
  const now = counts();
  return {
    logins: now.logins - earlier.logins,
    mints: now.mints - earlier.mints,
    rows: now.rows - earlier.rows,
    tabs: now.tabs - earlier.tabs,
  };
};

/** @returns all that was said, and how many got their answer */
const crowd = async (
  where: 'at a terminal' | 'without one',
  size: number,
): Promise<{ output: string; served: number }> => {
  const call = `${quote(world.plane.kubectlPath)} get namespaces -o name`;
  const stdin = where === 'at a terminal' ? '<&3' : '</dev/null';
  const script = `exec 3<&0; i=0; while [ $i -lt ${size} ]; do ${call} ${stdin} & i=$((i+1)); done; wait`;
  let output: string;
  if (where === 'at a terminal') {
    using pty = runInPty('/bin/sh', ['-c', script], { env: person.env, cols: 1_000 });
    await pty.exit;
    output = pty.output();
  } else {
    const { stdout, stderr } = await run('/bin/sh', ['-c', script], { env: person.env });
    output = `${stdout}${stderr}`;
  }
  return { output, served: output.match(/namespace\/default(?=\r?\n)/g)?.length ?? 0 };
};
const lines = (output: string, pattern: RegExp) => output.match(new RegExp(pattern.source, 'gm'))?.length ?? 0;

for (const via of PROGRAMS) {
  const size = countOf(via === 'native' ? 'crowd_native' : 'crowd_node');
  describe(`${size} kubectls at once (${via})`, () => {
    before(async () => {
      // Each a person of their own: after a logout of theirs no earlier login counts.
      person = await world.person(via === 'native' ? 'alice' : 'bob', {}, { nodeOnly: via === 'Node.js' });
      const { code, stderr } = await person.setup();
      assert.equal(code, 0, stderr);
      // The native program is an ELF file, the script is none.
      assert.equal(readFileSync(plugin(), 'latin1').startsWith('#!'), via === 'Node.js');
    });
    beforeEach(forget);

    test('cold, at a terminal: one login, one tab, one exchange; all are served (P1)', async () => {
      const before = counts();
      const { served, output } = await crowd('at a terminal', size);
      assert.equal(served, size, output.slice(-2_000));
      assert.deepEqual(since(before), { logins: 1, mints: 1, rows: 2, tabs: 1 });
    });

    test('with a token to renew, without a terminal: one renewal; all are served (P1)', async () => {
      assert.equal((await person.curfew(['login'])).code, 0);
      forgetTokens();
      const before = counts();
      const { served, output } = await crowd('without one', size);
      assert.equal(served, size, output.slice(-2_000));
      assert.deepEqual(since(before), { logins: 0, mints: 1, rows: 1, tabs: 0 });
      assert.equal(lines(output, /^curfew: error/), 0);
    });

    test('with a login that is too old, at a terminal: one login, one tab; all are served (P1)', async () => {
      world.idp.setAuthTimeOffset(null, 18 * 60);
      assert.equal((await person.curfew(['login'])).code, 0);
      world.idp.setAuthTimeOffset(null, 0);
      const before = counts();
      const { served, output } = await crowd('at a terminal', size);
      assert.equal(served, size, output.slice(-2_000));
      const { logins, tabs } = since(before);
      assert.deepEqual([logins, tabs], [1, 1]);
    });

    test('with a login that is too old, without a terminal: refusals alone, no tab; the broker is asked once at most (P2)', async () => {
      world.idp.setAuthTimeOffset(null, 18 * 60);
      assert.equal((await person.curfew(['login'])).code, 0);
      world.idp.setAuthTimeOffset(null, 0);
      const first = counts();
      const cold = await crowd('without one', size);
      assert.equal(cold.served, 0);
      assert.equal(lines(cold.output, /^curfew: error: login is too old: last login 18m ago, limit 15m$/), size);
      assert.equal(lines(cold.output, /^curfew: hint: run: kubectl curfew login$/), size);
      assert.ok(since(first).rows <= 1 && since(first).tabs === 0);
      const [second, there] = [counts(), files()];
      const again = await crowd('without one', size);
      assert.equal(lines(again.output, /^curfew: error: login is too old: /), size);
      assert.deepEqual(since(second), { logins: 0, mints: 0, rows: 0, tabs: 0 });
      assert.deepEqual(files(), there);
    });

    test('logged out, without a terminal: refusals alone, no network, no tab, nothing written (P2, P3)', async () => {
      assert.equal((await person.curfew(['login'])).code, 0);
      assert.equal((await person.curfew(['logout'])).code, 0);
      const [before, there] = [counts(), files()];
      const { served, output } = await crowd('without one', size);
      assert.equal(served, 0);
      assert.equal(lines(output, /^curfew: error: logged out$/), size);
      assert.equal(lines(output, /^curfew: hint: /), size);
      assert.deepEqual(since(before), { logins: 0, mints: 0, rows: 0, tabs: 0 });
      assert.deepEqual(files(), there);
    });

    test('calls of a client that nobody sits at, after the end: cheap refusals, one error and one hint each (P3)', async () => {
      const calls = countOf('refused_calls');
      assert.equal((await person.curfew(['login'])).code, 0);
      assert.equal((await person.curfew(['logout'])).code, 0);
      const [before, there] = [counts(), files()];
      const info = JSON.stringify({
        ...{ apiVersion: 'client.authentication.k8s.io/v1', kind: 'ExecCredential', spec: { interactive: false } },
      });
      const args = ['get-token', '--broker', world.brokerUrl, '--cluster', 'dev', '--ca-file', world.authority.caFile];
      const call = [plugin(), ...args].map(quote).join(' ');
      // Each call a client of its own: to one that asks again at once the same is not said again.
      const lane = `i=0; while [ $i -lt ${calls / 4} ]; do (${call}; [ $? = 77 ] && echo 77); i=$((i+1)); done`;
      const script = `${`(${lane}) & `.repeat(4)}wait`;
      const { stdout, stderr } = await run('/bin/sh', ['-c', script], {
        env: { ...person.env, KUBERNETES_EXEC_INFO: info },
        timeout: 300_000,
      });
      assert.equal(stdout, '77\n'.repeat(calls));
      const said = ['curfew: error: logged out', 'curfew: hint: run: kubectl curfew login'];
      assert.deepEqual(stderr.trimEnd().split('\n').sort(), [
        ...Array(calls).fill(said[0]),
        ...Array(calls).fill(said[1]),
      ]);
      assert.deepEqual(since(before), { logins: 0, mints: 0, rows: 0, tabs: 0 });
      assert.deepEqual(files(), there);
    });
  });
}
