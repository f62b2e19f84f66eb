// Releases meet: the plugin of each earlier one, as it was shipped, works with today's broker and gateway; today's plugin with the broker
// of 0.4.0. The main job, the end of a session, and a login after it; with real kubectl and kube-apiserver.

import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type GatewayWorld, startGatewayWorld } from '../support/gateway_world.ts';
import { until } from '../support/patience.ts';
import type { Person } from '../support/person.ts';
import { releasesOf, unpackRelease } from '../support/releases.ts';
import { startWorld, type World } from '../support/world.ts';

const ALICE = 'curfew:alice@example.com';
const PLUGINS = releasesOf('kubectl-curfew');
assert.ok(PLUGINS.length >= 4, PLUGINS.join(' '));
const kubectl = (person: Person, ...args: readonly string[]) => person.kubectl(['--context', 'dev', ...args]);

interface Sessions {
  readonly sessions: readonly { readonly username: string; readonly user_agent?: string }[];
}

async function who(person: Person): Promise<string> {
  const { code, stdout, stderr } = await kubectl(
    person,
    'auth',
    'whoami',
    '-o',
    'jsonpath={.status.userInfo.username}',
  );
  assert.equal(code, 0, stderr);
  return stdout;
}

/** What a person does on a first day, and after somebody ended the session. */
async function mainJob(person: Person, end: () => Promise<void>): Promise<void> {
  const setUp = await person.setup();
  assert.equal(setUp.code, 0, setUp.stderr);
  // Nobody can be asked: it refuses, and no browser opens.
  const refused = await kubectl(person, 'get', 'namespaces');
  assert.notEqual(refused.code, 0);
  assert.match(refused.stderr, /kubectl curfew login/);
  // At a terminal the call itself logs in.
  const pty = person.kubectlAtTerminal('--context', 'dev', 'get', 'namespaces');
  const { code } = await pty.exit;
  assert.equal(code, 0, pty.output());
  assert.match(pty.output(), /default +Active/);
  assert.equal(await who(person), ALICE);
  const status = await person.curfew(['status']);
  assert.equal(status.code, 0, status.stderr);
  assert.match(status.stdout, /curfew:alice@example\.com/);

  await end();
  await until(async () => (await kubectl(person, 'get', 'namespaces')).code !== 0, 'the session goes on');
  const over = await kubectl(person, 'get', 'namespaces');
  assert.match(over.stderr, /kubectl curfew login|session is over/);
  const again = await person.curfew(['login']);
  assert.equal(again.code, 0, again.stderr);
  assert.equal(await who(person), ALICE);
  const out = await person.curfew(['logout']);
  assert.equal(out.code, 0, out.stderr);
  assert.notEqual((await kubectl(person, 'get', 'namespaces')).code, 0);
}

describe('today’s broker and gateway', () => {
  let world: GatewayWorld;
  let other: Person;
  before(async () => {
    const admins = { groups: ['security'], limits: { max_age: '1h' } };
    world = await startGatewayWorld({
      plane: { webhook: { on_failure: 'deny' } },
      sections: { admins },
    });
    other = await world.person('carol');
    assert.equal((await other.setup()).code, 0);
  });
  after(() => world?.stop());

  for (const version of PLUGINS)
    test(`the plugin of ${version} does the main job through them, and logs in again after its session was ended`, async () => {
      const folder = path.join(world.dir, `plugin-${version}`);
      const person = await world.person('alice', {}, { program: unpackRelease('kubectl-curfew', version, folder) });
      await mainJob(person, async () => {
        // As an administrator, with today's plugin; the session was opened by that of then.
        assert.equal((await other.curfew(['login'])).code, 0);
        const listed = JSON.parse((await other.curfew(['sessions', 'list', '--all', '-o', 'json'])).stdout) as Sessions;
        const [agent, ...more] = listed.sessions.filter((one) => one.username === ALICE).map((one) => one.user_agent);
        assert.deepEqual(more, []);
        // The first did not say who it is.
        if (version === '0.1.0') assert.ok(!agent?.startsWith('kubectl-curfew/'), agent);
        else assert.ok(agent?.startsWith(`kubectl-curfew/${version} `), agent);
        const ended = await other.curfew(['sessions', 'end', '--user', ALICE]);
        assert.equal(ended.code, 0, ended.stderr);
      });
    });
});

describe('the broker of 0.4.0', () => {
  let world: World;
  before(async () => {
    const brokerProgram = unpackRelease('curfew-broker', '0.4.0', path.join(import.meta.dirname, '../releases/dist'));
    world = await startWorld({ brokerProgram, planes: [{ name: 'dev', webhook: { on_failure: 'deny' } }] });
  });
  after(() => world?.stop());

  test('today’s plugin does the main job with it, and logs in again after its session was ended', async () => {
    const alice = await world.person('alice');
    const elsewhere = await world.person('alice');
    assert.equal((await elsewhere.setup()).code, 0);
    await mainJob(alice, async () => {
      assert.equal((await elsewhere.curfew(['login'])).code, 0);
      const ended = await elsewhere.curfew(['sessions', 'end', '--user', ALICE]);
      assert.equal(ended.code, 0, ended.stderr);
    });
  });
});
