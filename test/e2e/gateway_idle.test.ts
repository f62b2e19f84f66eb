// Idleness through the gateway: what a person sends is use, what arrives is not, whatever pings; and where output counts, it counts for the
// stream on which it arrives alone. Real kubectl, kube-apiserver and Kubernetes' own streaming; everybody has a session of their own.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Egress, startEgress } from '../support/egress.ts';
import { type GatewayWorld, kubectlOf, startGatewayWorld } from '../support/gateway_world.ts';
import { logIn, tokenOf } from '../support/log_in.ts';
import { applyContainers, openPipes, openTerminal, PROTOCOLS } from '../support/open_terminals.ts';
import { until } from '../support/patience.ts';
import type { Person } from '../support/person.ts';
import type { Running } from '../support/running.ts';
import { applyServiceOf, openSocketBehind, startTalker, type Talker } from '../support/web_sockets_behind.ts';

/** Seconds, in the namespaces; elsewhere nobody is idle. */
const IDLE = 12;
/** Milliseconds by which what is idle is cut, and how often something is done that is to keep it. */
const [LONGER_MS, OFTEN_MS] = [(IDLE + 4) * 1000, 2_000];
const limits = { inactivity_timeout: `${IDLE}s` };
const SEGMENTS = [
  { name: 'silent', match: { namespaces: ['dev'] }, limits },
  { name: 'heard', match: { namespaces: ['prod'] }, limits, inactivity: { output_counts: ['attach', 'exec', 'log'] } },
  // Not of exec: each segment that matches must allow it.
  { name: 'shells', match: { namespaces: ['prod'], resources: ['pods/exec'] }, limits: { max_age: '50m' } },
];
const RULES = [{ name: 'short', when: 'user.name == "kate@example.com"', limits }];
const POLICY = {
  limits: { max_age: '1h', inactivity_timeout: '30m', token_ttl: '5m' },
  segments: SEGMENTS,
  rules: RULES,
};
const wordsIn = (segment: string) => `limit ${IDLE}s (segment ${segment}); run: kubectl curfew login --cluster dev`;
const TICKS = 'while echo tick; do sleep 1; done\n';

const NAMES = ['dora', 'emil', 'fred', 'gina', 'hugo', 'ivan', 'kate', 'lara', 'mark', 'nina'];
const people = Object.fromEntries(
  NAMES.map((name) => [
    name,
    { password: `${name}-pw`, email: `${name}@example.com`, email_verified: true, groups: ['sre'] },
  ]),
);

let world: GatewayWorld;
/** Where the control plane reaches pods by. */
let [egress, folder, talker]: [Egress, string, Talker] = [] as never;
/** Behind the pods: it answers each line with a line, and to `tick` with one each second. */
let port: number;
const server = createServer((socket) => {
  socket.on('error', () => undefined).setEncoding('utf8');
  socket.on('data', (line: string) => {
    socket.write(line);
    if (line === 'tick\n') setInterval(() => socket.write('tick\n'), 1_000).unref();
  });
});

before(async () => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  ({ port } = server.address() as { readonly port: number });
  folder = await mkdtemp(path.join(tmpdir(), 'curfew-egress-'));
  [egress, talker] = [await startEgress(folder), await startTalker()];
  const plane = { flags: egress.flags };
  world = await startGatewayWorld({ policy: POLICY, users: people, kubelet: true, plane, gateway: { required: true } });
  await applyContainers(world);
  await applyServiceOf(world, 'pipes', talker.port);
});
after(async () => {
  server.close();
  talker?.stop();
  await world?.stop();
  await egress?.stop();
  await rm(folder, { recursive: true, force: true });
});

const loggedIn = (name: string) => logIn(world, name);

interface Forward extends Running {
  readonly socket: Socket;
}

/** A port-forward with a connection through it. */
async function openForward(person: Person, over: 'WebSocket' | 'SPDY'): Promise<Forward> {
  const env = over === 'SPDY' ? { KUBECTL_PORT_FORWARD_WEBSOCKETS: 'false' } : {};
  const forwarding = { ...person, env: { ...person.env, ...env } };
  const running = kubectlOf(forwarding, world.plane.kubectlPath, '-n', 'dev', 'port-forward', 'pod/pipes', `:${port}`);
  await running.says(/Forwarding from 127\.0\.0\.1:\d+/);
  const [, local] = /127\.0\.0\.1:(\d+)/.exec(running.stdout()) ?? [];
  const socket = connect(Number(local), '127.0.0.1').on('error', () => undefined);
  await say(socket, 'there and back\n');
  return Object.defineProperties(Object.create(running) as Forward, { socket: { value: socket } });
}

async function say(socket: Socket, line: string): Promise<void> {
  socket.write(line);
  const [answer] = (await once(socket, 'data')) as [Buffer];
  assert.equal(String(answer), line);
}

async function assertLost(forward: Forward): Promise<void> {
  await until(() => forward.ended, 'the port-forward goes on');
  assert.equal(await forward.exit, 1);
  assert.match(forward.stderr(), /lost connection to pod/);
  forward.socket.destroy();
}

/** Does it again and again for longer than anything may be idle. */
async function keepOn(what: () => Promise<unknown>): Promise<void> {
  for (const end = performance.now() + LONGER_MS; performance.now() < end; await sleep(OFTEN_MS)) await what();
}

// All at once: what takes the time is being idle.
describe('G3 idleness', { concurrency: true }, () => {
  describe('what is use, and what is not', { concurrency: true }, () => {
    test('an exec left alone, one that prints, and port-forwards through which only answers come are cut, although all ping', async () => {
      const dora = await loggedIn('dora');
      const forwards = await Promise.all(PROTOCOLS.map((over) => openForward(dora, over)));
      const terminals = await Promise.all(PROTOCOLS.map((over) => openTerminal(world, dora, 'exec', over)));
      const printing = await openPipes(world, dora, 'exec', 'WebSocket');
      for (const { socket } of forwards) await say(socket, 'tick\n');
      printing.write(TICKS);
      await printing.says(/tick/);
      for (const one of [...terminals, printing]) await one.assertCut(wordsIn('silent'));
      for (const forward of forwards) await assertLost(forward);
    });

    test('keys keep it, and whatever else is open in the session; then nothing is pressed, and all is cut', async () => {
      const emil = await loggedIn('emil');
      const forward = await openForward(emil, 'WebSocket');
      const terminal = await openTerminal(world, emil, 'attach', 'SPDY');
      await keepOn(() => terminal.check());
      assert.equal(forward.ended, false, forward.stderr());
      await terminal.assertCut(wordsIn('silent'));
      await assertLost(forward);
    });

    for (const [over, name] of [
      ['WebSocket', 'fred'],
      ['SPDY', 'gina'],
    ] as const) {
      test(`what is sent through a port-forward over ${over} keeps it, and then it is cut`, async () => {
        const person = await loggedIn(name);
        const forward = await openForward(person, over);
        const terminal = await openTerminal(world, person, 'exec', over);
        await keepOn(() => say(forward.socket, 'again\n'));
        await terminal.check();
        await terminal.assertCut(wordsIn('silent'));
        await assertLost(forward);
      });
    }

    test('requests and copies keep it', async () => {
      const hugo = await loggedIn('hugo');
      const terminal = await openTerminal(world, hugo, 'exec', 'WebSocket');
      const copy = ['cp', hugo.env.KUBECONFIG ?? '', `pipes:${hugo.dir}/copy`];
      let turns = 0;
      await keepOn(async () => {
        turns += 1;
        const args = turns % 2 === 0 ? copy : ['get', 'pods'];
        assert.equal((await hugo.kubectl(['-n', 'dev', ...args])).code, 0);
      });
      await terminal.check();
      await terminal.assertCut(wordsIn('silent'));
    });
  });

  describe('a WebSocket to what is behind `proxy`', { concurrency: true }, () => {
    const [OF_POD, OF_SERVICE] = [
      () => `/api/v1/namespaces/dev/pods/pipes:${talker.port}/proxy/socket`,
      () => '/api/v1/namespaces/dev/services/talker/proxy/socket',
    ];
    const opened = async (name: string) => {
      const person = await loggedIn(name);
      const token = await tokenOf(world, person);
      const sockets = [
        await openSocketBehind(world, talker, token, OF_POD(), `${name}-pod`),
        await openSocketBehind(world, talker, token, OF_SERVICE(), `${name}-service`),
      ];
      return { person, sockets };
    };

    test('is cut when it is only answered, whatever comes and pings', async () => {
      const { sockets } = await opened('lara');
      for (const socket of sockets) await socket.assertCut(wordsIn('silent'));
      assert.ok(
        [...egress.asked].some((address) => !address.startsWith('127.')),
        'nothing went to a pod',
      );
    });

    test('is kept by what is sent through it, and then cut', async () => {
      const { sockets } = await opened('mark');
      const [one] = sockets;
      await keepOn(async () => one?.check());
      for (const socket of sockets) await socket.check();
      for (const socket of sockets) await socket.assertCut(wordsIn('silent'));
    });

    test('G1 is cut when the person logs out, with the reason, and not a byte passes either way afterwards', async () => {
      const { person, sockets } = await opened('nina');
      for (const socket of sockets) await socket.check();
      assert.equal((await person.curfew(['logout'])).code, 0);
      for (const socket of sockets) await socket.assertCut('session is over: logged out; run: kubectl curfew login');
    });
  });

  describe('output that counts', { concurrency: true }, () => {
    /** Until `stopped`, the log of every container goes on. */
    let stopped = false;
    let logging: Promise<void>;
    before(() => {
      logging = (async () => {
        for (; !stopped; await sleep(1_000)) await world.log('logged');
      })();
    });
    after(async () => {
      stopped = true;
      await logging;
    });

    test('keeps the stream on which it arrives, where every segment allows it, and no other; it ends when nothing arrives', async () => {
      const ivan = await loggedIn('ivan');
      const logs = kubectlOf(ivan, world.plane.kubectlPath, '-n', 'prod', 'logs', '-f', 'pipes');
      await logs.says(/logged/);
      const [heard, silent] = [
        await openPipes(world, ivan, 'attach', 'WebSocket', 'prod'),
        await openPipes(world, ivan, 'attach', 'SPDY', 'prod'),
      ];
      const shell = await openPipes(world, ivan, 'exec', 'WebSocket', 'prod');
      for (const one of [heard, shell]) one.write(TICKS);
      await silent.assertCut(wordsIn('heard'));
      await shell.assertCut(wordsIn('shells'));
      const lines = () => heard.stdout().length + logs.stdout().length;
      const [before, end] = [lines(), performance.now() + LONGER_MS / 2];
      await until(() => performance.now() > end, 'the clock stands');
      assert.deepEqual([heard.ended, logs.ended], [false, false], heard.stderr() + logs.stderr());
      assert.ok(lines() > before, 'nothing arrives any more');
      stopped = true;
      await until(() => logs.ended, 'logs -f goes on');
      assert.equal(await logs.exit, 1);
      assert.ok(logs.stderr().includes(wordsIn('heard')), logs.stderr());
      await heard.kill();
    });

    test('is no use of the session: where its own time is over, all is cut', async () => {
      const kate = await loggedIn('kate');
      const heard = await openPipes(world, kate, 'attach', 'WebSocket', 'prod');
      heard.write(TICKS);
      // The broker may see it first.
      const ended = 'session is over: it was not used for too long; run: kubectl curfew login';
      await heard.assertCut(`limit ${IDLE}s; run: kubectl curfew login`, ended);
    });
  });
});
