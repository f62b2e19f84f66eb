// Everything that kubectl can hold open, at once: started, seen to work, and then watched as it ends.

import assert from 'node:assert/strict';
import { connect } from 'node:net';
import type { GatewayWorld } from './gateway_world.ts';
import { until } from './patience.ts';
import type { Person } from './person.ts';
import type { Running } from './running.ts';
import { startRunning } from './running.ts';

/** What is open, how it is seen to work, and what it says when it is cut. */
interface Kind {
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly begins: (running: Running, world: GatewayWorld) => Promise<void>;
  /** Of the reason: all but port-forward can show it. */
  readonly says: (words: string) => RegExp;
  /** Absent where it tries again until a time of its own is over. */
  readonly exit?: number;
}

const literal = (text: string) => text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');
const typed = async (running: Running) => {
  running.write('typed\n');
  await running.says(/typed/);
};
const listed = (running: Running) => running.says(/shell/);
const onStderr = (words: string) => new RegExp(`error: .*${literal(words)}`);
const somewhere = (words: string) => new RegExp(literal(words));
const lost = () => /lost connection to pod/;
const forwards = async (running: Running) => {
  await running.says(/Forwarding from 127\.0\.0\.1:\d+/);
  assert.equal(await throughForward(running, 'there and back'), 'there and back');
};

/** It shows what is said from then on. */
const attaches = async (running: Running, world: GatewayWorld) => {
  await running.says(/press/);
  await until(async () => {
    await world.log('said to who is attached');
    return /said to who is attached/.test(running.stdout());
  }, 'attach shows nothing');
};

export const KINDS: Readonly<Record<string, Kind>> = {
  'exec over WebSocket': { args: ['exec', '-i', 'shell', '--', 'cat'], begins: typed, says: onStderr, exit: 1 },
  'exec over SPDY': {
    args: ['exec', '-i', 'shell', '--', 'cat'],
    env: { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: 'false' },
    ...{ begins: typed, says: onStderr, exit: 1 },
  },
  attach: { args: ['attach', 'shell'], begins: attaches, says: onStderr, exit: 1 },
  'port-forward over WebSocket': {
    args: ['port-forward', 'pod/shell', ':80'],
    ...{ begins: forwards, says: lost, exit: 1 },
  },
  'port-forward over SPDY': {
    args: ['port-forward', 'pod/shell', ':80'],
    env: { KUBECTL_PORT_FORWARD_WEBSOCKETS: 'false' },
    ...{ begins: forwards, says: lost, exit: 1 },
  },
  'logs -f': { args: ['logs', '-f', 'shell'], begins: (running) => running.says(/begun/), says: somewhere, exit: 1 },
  'get -w': { args: ['get', 'pods', '-w'], begins: listed, says: somewhere, exit: 0 },
  'get -w -o json': { args: ['get', 'pods', '-w', '-o', 'json'], begins: listed, says: somewhere, exit: 0 },
  wait: {
    // It says nothing of itself until it ends.
    args: ['wait', '-v=6', '--for=condition=Never', 'pod/shell', '--timeout=300s'],
    ...{ begins: (running) => running.says(/watch=true.*200 OK/), says: somewhere },
  },
};

/** Bytes to the forwarded port, and what comes back. */
export function throughForward(running: Running, text: string): Promise<string> {
  const [, port] = /127\.0\.0\.1:(\d+)/.exec(running.stdout()) ?? [];
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), '127.0.0.1', () => socket.write(text));
    let got = '';
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      got += chunk;
      if (got.length >= text.length) socket.destroy();
    });
    socket.once('close', () => resolve(got)).once('error', reject);
  });
}

export interface OpenStreams {
  readonly running: ReadonlyMap<string, Running>;
  /** Whether all of them still work. */
  check(): Promise<void>;
  /** Waits until all have ended, and holds what each said. @returns a row for each */
  /** @param also what may be said instead */
  assertCut(words: string, also?: string): Promise<readonly string[]>;
  kill(): Promise<void>;
}

export interface OpenOptions {
  /** Of `KINDS`; all of them, unless told. */
  readonly kinds?: readonly string[] | undefined;
  /** Another than the cluster's. */
  readonly kubectl?: string | undefined;
  /** For each call of kubectl. */
  readonly args?: readonly string[] | undefined;
}

export async function openStreams(
  world: GatewayWorld,
  person: Person,
  namespace: string,
  { kinds = Object.keys(KINDS), kubectl = world.plane.kubectlPath, args: more = [] }: OpenOptions = {},
): Promise<OpenStreams> {
  const running = new Map<string, Running>();
  for (const name of kinds) {
    const kind = KINDS[name];
    assert.ok(kind, name);
    const args = ['-n', namespace, ...more, ...kind.args];
    running.set(name, startRunning(kubectl, args, { ...person.env, ...kind.env }));
  }
  const kill = async () => {
    for (const one of running.values()) await one.kill();
  };
  try {
    for (const [name, one] of running) await KINDS[name]?.begins(one, world);
  } catch (error) {
    await kill();
    throw error;
  }
  return {
    running,
    async check() {
      for (const [name, one] of running) {
        assert.equal(one.ended, false, `${name} ended: ${one.stderr()}`);
        if (name.startsWith('exec')) await typed(one);
      }
    },
    async assertCut(words, also = words) {
      const rows: string[] = [];
      for (const [name, one] of running) {
        const kind = KINDS[name];
        assert.ok(kind);
        const said = () => one.stdout() + one.stderr();
        const forms = [words, also].map((text) => kind.says(text));
        const isSaid = () => forms.some((form) => form.test(said()));
        await until(() => one.ended || (kind.exit === undefined && isSaid()), `${name} goes on`);
        if (kind.exit === undefined) await one.kill();
        const code = await one.exit;
        assert.ok(isSaid(), `${name}: ${said()}`);
        if (kind.exit !== undefined) assert.equal(code, kind.exit, `${name}: ${said()}`);
        rows.push(`${name} | ${said().trim().split('\n').at(-1)} | ${code}`);
      }
      return rows;
    },
    kill,
  };
}
