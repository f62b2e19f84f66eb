// What kubectl shows when something behind it goes away under all that it holds open: the broker, the gateway, the API server. Real kubectl,
// kube-apiserver and kwok; gateway, broker and plugin as shipped.

import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { type GatewayWorld, kubectlOf, startGatewayWorld } from '../support/gateway_world.ts';
import { logIn } from '../support/log_in.ts';
import { KINDS, type OpenStreams, openStreams } from '../support/open_streams.ts';
import { assertKept, until } from '../support/patience.ts';
import type { Person } from '../support/person.ts';

const CUT_AFTER = 4;
const MORE = { on_lost_broker: { cut_after: `${CUT_AFTER}s` }, drain: '2s' };
const AWAY = 'curfew: the gateway does not reach the broker, so nothing passes; try again';
const GET = ['-n', 'dev', 'get', 'pods', '-o', 'name'];
/** One of each way in which something is held open. */
const SOME = ['exec over WebSocket', 'exec over SPDY', 'port-forward over WebSocket', 'logs -f', 'get -w'];

let world: GatewayWorld;
let alice: Person;
let bob: Person;
const opened: OpenStreams[] = [];

before(async () => {
  world = await startGatewayWorld({ more: MORE });
  [alice, bob] = [await loggedIn('alice'), await loggedIn('bob')];
});
after(() => world?.stop());
afterEach(async () => {
  for (const one of opened.splice(0)) await one.kill();
});

const loggedIn = (name: string) => logIn(world, name);

async function open(kinds: readonly string[]): Promise<OpenStreams> {
  const streams = await openStreams(world, alice, 'dev', { kinds });
  opened.push(streams);
  return streams;
}

/** Whatever kubectl makes of it: nothing hangs. */
async function assertGone({ running }: OpenStreams): Promise<void> {
  for (const [name, one] of running) await until(() => one.ended, `${name} hangs: ${one.stdout()}${one.stderr()}`);
}
const isIn = async (person: Person) => (await person.kubectl(GET)).code === 0;

describe('G13 with kubectl', () => {
  test('a broker that is away: what is open is cut with the reason, and whoever waits gets in once it is back', async (t) => {
    // `wait` and informers try again until a time of their own is over.
    const streams = await open(Object.keys(KINDS).filter((name) => name !== 'wait'));
    await world.broker.kill();
    for (const row of await streams.assertCut(AWAY)) t.diagnostic(row);
    const shell = await alice.kubectl(['-n', 'dev', 'exec', 'shell', '--', 'true']);
    assert.notEqual(shell.code, 0);
    assert.match(shell.stderr, /curfew: the gateway does not reach the broker/);
    t.diagnostic(`exec meanwhile: ${shell.stderr.trim().split('\n').at(-1)}`);
    const waiting = kubectlOf(alice, world.plane.kubectlPath, ...GET);
    await world.restartBroker();
    const back_at = performance.now();
    assert.equal(await waiting.exit, 0, waiting.stderr());
    assertKept(performance.now() - back_at, 5_000, 'getting in again');
    await (await open(SOME)).check();
  });

  test('a gateway that stops cuts what is still open after a while, with words', async () => {
    const streams = await open(SOME);
    world.gateway.signal('SIGTERM');
    await streams.assertCut('curfew: this gateway is stopping; try again');
    assert.equal(await world.gateway.exit, 0);
    await world.startGateway();
    assert.equal(await isIn(alice), true);
  });
});

describe('G14 with kubectl', () => {
  test('a gateway that was killed: what was open is gone, what ended meanwhile is over, and the others get in', async () => {
    const streams = await open(SOME);
    await world.gateway.kill();
    await assertGone(streams);
    assert.equal((await bob.curfew(['logout'])).code, 0);
    await world.startGateway();
    assert.equal(await isIn(alice), true);
    assert.equal(await isIn(bob), false);
    await (await open(SOME)).check();
  });
});

test('an API server that is killed and comes back: nothing hangs, and then all works again, ends too', async () => {
  const streams = await open(SOME);
  const restarted = world.plane.restartApiServer();
  await assertGone({ ...streams, running: new Map([...streams.running].filter(([name]) => name !== 'get -w')) });
  await restarted;
  await until(() => isIn(alice), 'requests do not pass again');
  assert.equal(await world.gateway.status(), 'ok');
  for (const one of opened.splice(0)) await one.kill();
  const again = await open(SOME);
  await again.check();
  const { code } = await alice.curfew(['logout']);
  assert.equal(code, 0);
  await again.assertCut('curfew: session is over: logged out; run: kubectl curfew login');
  assert.match(await world.gateway.metrics(), /curfew_gateway_upstream_errors_total\{kind="broken"\} [1-9]/);
});
