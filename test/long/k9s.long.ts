// The real k9s, in tmux, across an end of the session and a new login: its screen stays its own, no browser is opened, and it works again.
// Through a gateway its watches are cut.

import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import xterm from '@xterm/headless';
import { run } from '../../scripts/run.ts';
import { ensureProgram } from '../cluster/build.ts';
import { k9s } from '../cluster/versions.ts';
import { type GatewayWorld, startGatewayWorld } from '../support/gateway_world.ts';
import { logIn } from '../support/log_in.ts';
import { applyContainers } from '../support/open_terminals.ts';
import { until } from '../support/patience.ts';
import { type Pty, runInPty } from '../support/pty.ts';
import { type Person, startWorld, type World } from '../support/world.ts';

/** What a person sees. */
async function screenOf(pty: Pty): Promise<string> {
  const terminal = new xterm.Terminal({ cols: 200, rows: 50, allowProposedApi: true });
  await new Promise<void>((written) => terminal.write(pty.output(), written));
  const { active } = terminal.buffer;
  return Array.from({ length: 50 }, (_, y) => active.getLine(y)?.translateToString(true) ?? '').join('\n');
}

interface Shown {
  readonly pty: Pty;
  /** Waits until that is on the screen. */
  shows(pattern: RegExp, what: string): Promise<void>;
  /** The terminal hangs up. */
  hangUp(): Promise<void>;
}

/** k9s of a person, at what `view` names. */
async function startK9s(program: string, { dir, env }: Person, ...view: readonly string[]): Promise<Shown> {
  const folder = path.join(dir, 'k9s');
  await mkdir(folder, { recursive: true });
  // Else it ends by itself a few refusals after the end.
  await writeFile(path.join(folder, 'config.yaml'), 'k9s:\n  maxConnRetry: 100\n');
  const own = { ...env, K9S_CONFIG_DIR: folder, XDG_DATA_HOME: folder, XDG_STATE_HOME: folder, LANG: 'C.UTF-8' };
  const command = [program, '--refresh', '2', '--logoless', '--splashless', ...view];
  const server = ['-L', `curfew-${process.pid}`, '-f', '/dev/null'];
  const pty = runInPty('tmux', [...server, 'new-session', ...command], { env: { ...own, TERM: 'xterm-256color' } });
  return {
    pty,
    shows: (pattern, what) => until(async () => pattern.test(await screenOf(pty)), what),
    async hangUp() {
      await run('tmux', [...server, 'kill-server'], { env: own });
      await pty.exit;
    },
  };
}

async function assertNothingLeft({ dir }: Person): Promise<void> {
  const left = await run('pgrep', ['-f', `${dir}.*get-token`]);
  assert.equal(left.stdout, '', 'a plugin that outlives k9s');
}

let program: string;
before(async () => {
  program = await ensureProgram(k9s);
});

describe('k9s', () => {
  let [world, alice]: [World, Person] = [] as never;
  before(async () => {
    const policy = { limits: { max_age: '1h', inactivity_timeout: '30m', token_ttl: '15s' }, segments: [] };
    world = await startWorld({ policy });
    alice = await logIn(world, 'alice');
  });
  after(() => world?.stop());

  it('P2 is refused quietly after the end, and works again after a login in another terminal', async () => {
    const { pty, shows, hangUp } = await startK9s(program, alice, '--command', 'namespaces');
    using _ = pty;
    await shows(/kube-system/, 'k9s shows no namespaces');

    assert.equal((await alice.curfew(['logout'])).code, 0);
    const tabs = alice.browser.visits().length;
    const mark = pty.output().length;
    // Its token is over by then, and it asks again and again.
    await sleep(35_000);
    const [screen, written] = [await screenOf(pty), pty.output().slice(mark)];
    assert.doesNotMatch(written, /curfew: |log in at|waiting for/);
    assert.doesNotMatch(screen, /curfew: |log in at/);
    assert.equal(alice.browser.visits().length, tabs);
    assert.match(screen, /\S/, 'k9s has ended by itself');

    assert.equal((await alice.curfew(['login'])).code, 0);
    const created = await world.plane.adminKubectl(['create', 'namespace', 'after-the-login']);
    assert.equal(created.code, 0, created.stderr);
    await shows(/after-the-login/, 'k9s does not work again');
    assert.doesNotMatch(pty.output(), /curfew: |log in at/);

    await hangUp();
    await assertNothingLeft(alice);
  });
});

describe('k9s through a gateway', () => {
  let [world, alice]: [GatewayWorld, Person] = [] as never;
  before(async () => {
    world = await startGatewayWorld({ kubelet: true, gateway: { required: true } });
    await applyContainers(world);
    alice = await logIn(world, 'alice');
  });
  after(() => world?.stop());

  const cuts = async () =>
    Number(/^curfew_gateway_cuts_total\{reason="logout"\} (\d+)/m.exec(await world.gateway.metrics())?.[1] ?? 0);

  it('G1 is cut, stands still without a word, and works again after a login in another terminal', async () => {
    const { pty, shows, hangUp } = await startK9s(program, alice, '--command', 'pods dev');
    using _ = pty;
    await shows(/pipes[\s\S]*terminal/, 'k9s shows no pods');
    const tabs = alice.browser.visits().length;
    const mark = pty.output().length;
    assert.equal((await alice.curfew(['logout'])).code, 0);
    await until(async () => (await cuts()) > 0, 'its watches go on');
    const deleted = await world.plane.adminKubectl(['-n', 'dev', 'delete', 'pod', 'terminal', '--force']);
    assert.equal(deleted.code, 0, deleted.stderr);
    // It asks again and again.
    await sleep(20_000);
    assert.doesNotMatch(pty.output().slice(mark), /curfew: |log in at|waiting for/);
    assert.match(await screenOf(pty), /pipes[\s\S]*terminal/, 'it hears of what happens after the end');
    assert.equal(alice.browser.visits().length, tabs);

    assert.equal((await alice.curfew(['login'])).code, 0);
    await until(async () => !/terminal/.test(await screenOf(pty)), 'k9s does not work again');
    await shows(/pipes/, 'k9s shows no pods');
    await hangUp();
    await assertNothingLeft(alice);
  });
});
