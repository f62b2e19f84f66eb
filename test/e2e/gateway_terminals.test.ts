// exec, attach and `kubectl debug` with stdin and terminals, copies and port-forwards through the gateway: real kubectl, kube-apiserver and
// Kubernetes' own streaming in a kubelet of the tests, over WebSocket and SPDY.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type GatewayWorld, startGatewayWorld } from '../support/gateway_world.ts';
import { logIn } from '../support/log_in.ts';
import { applyContainers, openPipes, openTerminal, PROTOCOLS } from '../support/open_terminals.ts';
import type { Person } from '../support/person.ts';

const POLICY = { limits: { max_age: '1h', inactivity_timeout: '30m', token_ttl: '5m' }, segments: [] };
const people = Object.fromEntries(
  ['dora', 'emil', 'fred', 'gina'].map((name) => [
    name,
    { password: `${name}-pw`, email: `${name}@example.com`, email_verified: true, groups: ['sre'] },
  ]),
);
const LOGGED_OUT = 'curfew: session is over: logged out; run: kubectl curfew login';

let world: GatewayWorld;
let bystander: Person;

before(async () => {
  world = await startGatewayWorld({ policy: POLICY, users: people, kubelet: true });
  await applyContainers(world);
  bystander = await loggedIn('dora');
});
after(() => world?.stop());

const loggedIn = (name: string) => logIn(world, name);

describe('what passes', () => {
  for (const over of PROTOCOLS) {
    const env = over === 'SPDY' ? { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: 'false' } : {};
    test(`a command ends over ${over} as it does without a gateway: exit status, both outputs, the end of its input`, async () => {
      const emil = await loggedIn('emil');
      const script = 'cat; echo out; echo err >&2; exit 7';
      const done = await emil.kubectl(['-n', 'dev', 'exec', '-i', 'pipes', '--', 'sh', '-c', script], {
        ...{ env, input: 'in\n' },
      });
      assert.equal(done.code, 7, done.stderr);
      assert.equal(done.stdout, 'in\nout\n');
      assert.equal(done.stderr, 'err\ncommand terminated with exit code 7\n');
    });
  }
});

describe('G1 what is typed into is cut with the words, exit status 1, and a terminal as it was before', () => {
  for (const over of PROTOCOLS) {
    test(`over ${over}, and others type on`, async () => {
      const emil = await loggedIn('emil');
      const terminals = await Promise.all(
        (['exec', 'attach', 'debug'] as const).map((kind) => openTerminal(world, emil, kind, over)),
      );
      const pipes = await Promise.all((['exec', 'attach'] as const).map((kind) => openPipes(world, emil, kind, over)));
      const theirs = await openTerminal(world, bystander, 'exec', over);
      try {
        assert.equal((await emil.curfew(['logout'])).code, 0);
        for (const one of [...terminals, ...pipes]) await one.assertCut(LOGGED_OUT);
        await theirs.check();
      } finally {
        for (const { pty } of [...terminals, theirs]) pty.kill();
        for (const one of pipes) await one.kill();
      }
    });
  }
});
