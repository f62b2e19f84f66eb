// The warning before a cut, with its default of 60 s: once, to whoever types or reads a command's output, and to nobody else.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type GatewayWorld, kubectlOf, startGatewayWorld } from '../support/gateway_world.ts';
import { logIn } from '../support/log_in.ts';
import { applyContainers, openPipes, openTerminal, PROTOCOLS } from '../support/open_terminals.ts';
import { until } from '../support/patience.ts';
import type { Person } from '../support/person.ts';

const LIMITS = { max_age: '1h', inactivity_timeout: '30m', token_ttl: '5m' };
const POLICY = { limits: LIMITS, segments: [] };
/** Seconds that are left when the end is known. */
const LEFT = 10;
const WARNING = /curfew: this session ends in \d+s; to continue, run: kubectl curfew login/;

let world: GatewayWorld;

before(async () => {
  world = await startGatewayWorld({ policy: POLICY, kubelet: true, more: { warn: '60s' } });
  await applyContainers(world);
});
after(() => world?.stop());

const loggedIn = () => logIn(world, 'alice');

/** Where the broker sees it first. */
const ENDED = 'session is over: the login reached its longest age; run: kubectl curfew login';

/** A login is now too old in a moment, where it was far from it before. */
async function endSoon(logged_in_at: number): Promise<string> {
  const max_age = `${Math.ceil((Date.now() - logged_in_at) / 1000) + LEFT}s`;
  await world.rewriteConfig({ policy: { ...POLICY, limits: { ...LIMITS, max_age } } });
  return `limit ${max_age}; run: kubectl curfew login`;
}

const warningsIn = (text: string) => text.split(WARNING).length - 1;

/** All of them, seen to work. */
async function openAll(person: Person) {
  const terminals = await Promise.all(
    PROTOCOLS.flatMap((over) => [
      openTerminal(world, person, 'exec', over),
      openTerminal(world, person, 'attach', over),
    ]),
  );
  const pipes = await Promise.all(
    PROTOCOLS.flatMap((over) => [openPipes(world, person, 'exec', over), openPipes(world, person, 'attach', over)]),
  );
  const others = [
    ['port-forward', 'pod/pipes', ':80'],
    ['logs', '-f', 'pipes'],
    ['get', 'pods', '-w'],
  ].map((args) => kubectlOf(person, world.plane.kubectlPath, '-n', 'dev', ...args));
  for (const other of others) await other.says(/Forwarding|begun|pipes/);
  const kill = async () => {
    for (const { pty } of terminals) pty.kill();
    for (const running of [...pipes, ...others]) await running.kill();
  };
  return { terminals, pipes, others, kill };
}

describe('before its end', () => {
  test('exec and attach are warned once, on the terminal or on stderr, and nothing else is; then they are cut', async () => {
    const logged_in_at = Date.now();
    const { terminals, pipes, others, kill } = await openAll(await loggedIn());
    try {
      const words = await endSoon(logged_in_at);
      for (const { pty } of terminals) await pty.waitFor(WARNING);
      for (const { name, stderr } of pipes) await until(() => warningsIn(stderr()) > 0, `${name} is not warned`);
      // All still work, and nobody is warned again.
      for (const one of [...terminals, ...pipes]) await one.check();
      for (const one of [...terminals, ...pipes]) await one.assertCut(words, ENDED);
      for (const other of others) await other.exit;
      for (const { name, pty } of terminals) assert.equal(warningsIn(pty.output()), 1, name);
      for (const { name, stderr, stdout } of pipes)
        assert.deepEqual([warningsIn(stderr()), warningsIn(stdout())], [1, 0], name);
      for (const other of others) assert.equal(warningsIn(other.stdout() + other.stderr()), 0);
    } finally {
      await kill();
      await world.rewriteConfig({ policy: POLICY });
    }
  });

  test('nothing is warned with `warn: off`', async () => {
    await world.gateway.kill();
    await world.startGateway({ warn: 'off' });
    const logged_in_at = Date.now();
    const { terminals, pipes, kill } = await openAll(await loggedIn());
    try {
      const words = await endSoon(logged_in_at);
      for (const one of [...terminals, ...pipes]) await one.assertCut(words, ENDED);
      for (const { name, pty } of terminals) assert.equal(warningsIn(pty.output()), 0, name);
      for (const { name, stderr, stdout } of pipes) assert.equal(warningsIn(stderr() + stdout()), 0, name);
    } finally {
      await kill();
    }
  });
});
