// Commands that a person has open in containers of the tests' kubelet, at a real terminal or through pipes: seen to work, and then watched
// as they end.

import assert from 'node:assert/strict';
import type { GatewayWorld } from './gateway_world.ts';
import { until } from './patience.ts';
import type { Person } from './person.ts';
import { type Pty, runInPty } from './pty.ts';
import { type Running, startRunning } from './running.ts';

/** A container without a terminal of its own, and one with. */
export const CONTAINERS = ['dev', 'prod']
  .map(
    (namespace) => `
apiVersion: v1
kind: Pod
metadata: {name: pipes, namespace: ${namespace}}
spec: {nodeName: worker, automountServiceAccountToken: false, containers: [{name: main, image: none, stdin: true}]}
---
apiVersion: v1
kind: Pod
metadata: {name: terminal, namespace: ${namespace}}
spec: {nodeName: worker, automountServiceAccountToken: false, containers: [{name: main, image: none, stdin: true, tty: true}]}
`,
  )
  .join('---');

const OVER = { WebSocket: {}, SPDY: { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: 'false' } } as const;
export type Over = keyof typeof OVER;
export const PROTOCOLS = Object.keys(OVER) as Over[];

const AT_TERMINAL = {
  exec: ['exec', '-it', 'terminal', '--', 'sh'],
  attach: ['attach', '-it', 'terminal'],
  debug: ['debug', '-it', 'pipes', '--image=none', '--', 'sh'],
} as const;
const THROUGH_PIPES = {
  exec: ['exec', '-i', 'pipes', '--', 'sh'],
  attach: ['attach', '-i', 'pipes'],
} as const;

export async function applyContainers(world: GatewayWorld): Promise<void> {
  const applied = await world.plane.adminKubectl(['apply', '-f', '-'], { input: CONTAINERS });
  assert.equal(applied.code, 0, applied.stderr);
  for (const namespace of ['dev', 'prod']) {
    const wait = ['-n', namespace, 'wait', '--for=condition=Ready', 'pod/pipes', 'pod/terminal', '--timeout=90s'];
    const ready = await world.plane.adminKubectl(wait);
    assert.equal(ready.code, 0, ready.stderr);
  }
}

export interface OpenTerminal {
  readonly name: string;
  readonly pty: Pty;
  /** Types a sum and sees its result, which stands in no echo. */
  check(): Promise<void>;
  /** Waits until it is cut, and holds what is shown, the exit status, and that the terminal is as it was. */
  /** @param also what may be said instead */
  assertCut(words: string, also?: string): Promise<void>;
}

/** kubectl at a terminal, which a shell shows the state of before and afterwards. */
export async function openTerminal(
  world: GatewayWorld,
  person: Person,
  kind: keyof typeof AT_TERMINAL,
  over: Over,
  namespace = 'dev',
): Promise<OpenTerminal> {
  const script = 'before=$(stty -g); "$@"; code=$?; [ "$(stty -g)" = "$before" ] && echo "sane, exit $code"';
  const words = [world.plane.kubectlPath, '-n', namespace, ...AT_TERMINAL[kind]];
  const pty = runInPty('sh', ['-c', script, 'sh', ...words], { env: { ...person.env, ...OVER[over] } });
  const name = `${kind} -it over ${over}`;
  let sums = 0;
  const check = async () => {
    sums += 1;
    pty.write(`echo sum $((1000 + ${sums}))\r`);
    await pty.waitFor(`sum ${1000 + sums}`);
  };
  await pty.waitFor(/\$ /);
  await check();
  // Its size reaches it: resizes pass as well.
  pty.write('stty size\r');
  await pty.waitFor('50 200');
  return {
    ...{ name, pty, check },
    async assertCut(said, also = said) {
      // debug asks for the logs where it is not attached any more, and is refused with the same words.
      if (kind === 'debug') await pty.waitFor(`falling back to streaming logs: ${said}`);
      const line = await pty.waitFor(/error: [^\r\n]*\r/);
      const ends = [said, also].some((words) => line.trimEnd().endsWith(words));
      assert.ok(kind === 'debug' ? line.includes(said) : ends, `${name}: ${line}`);
      await pty.waitFor('sane, exit 1');
    },
  };
}

export interface OpenPipes extends Running {
  readonly name: string;
  check(): Promise<void>;
  /** @param also what may be said instead */
  assertCut(words: string, also?: string): Promise<void>;
}

export async function openPipes(
  world: GatewayWorld,
  person: Person,
  kind: keyof typeof THROUGH_PIPES,
  over: Over,
  namespace = 'dev',
): Promise<OpenPipes> {
  const words = ['-n', namespace, ...THROUGH_PIPES[kind]];
  const running = startRunning(world.plane.kubectlPath, words, { ...person.env, ...OVER[over] });
  const name = `${kind} -i over ${over}`;
  let sums = 0;
  const check = async () => {
    sums += 1;
    running.write(`echo sum $((1000 + ${sums})); echo also $((1000 + ${sums})) >&2\n`);
    await running.says(new RegExp(`^sum ${1000 + sums}$`, 'm'));
    await running.says(new RegExp(`^also ${1000 + sums}$`, 'm'));
  };
  await check();
  return Object.defineProperties(Object.create(running) as OpenPipes, {
    name: { value: name },
    check: { value: check },
    assertCut: {
      async value(said: string, also = said) {
        await until(() => running.ended, `${name} goes on`);
        assert.equal(await running.exit, 1, `${name}: ${running.stderr()}`);
        const last = running.stderr().trimEnd().split('\n').at(-1) ?? '';
        const ends = [said, also].some((words) => last.endsWith(words));
        assert.ok(last.startsWith('error: ') && ends, `${name}: ${running.stderr()}`);
        assert.doesNotMatch(running.stdout(), /curfew/, `${name}: words among the output`);
      },
    },
  });
}
