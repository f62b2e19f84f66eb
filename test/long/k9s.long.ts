// The real k9s, in tmux, across an end of the session and a new login: its screen stays its own, no browser is opened, and it works again.

import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import xterm from '@xterm/headless';
import { run } from '../../scripts/run.ts';
import { ensureProgram } from '../cluster/build.ts';
import { k9s } from '../cluster/versions.ts';
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

describe('k9s', () => {
  let [world, alice, program]: [World, Person, string] = [] as never;
  before(async () => {
    program = await ensureProgram(k9s);
    const policy = { limits: { max_age: '1h', inactivity_timeout: '30m', token_ttl: '15s' }, segments: [] };
    world = await startWorld({ policy });
    alice = await world.person('alice');
    assert.equal((await alice.setup()).code, 0);
  });
  after(() => world?.stop());

  it('P2 is refused quietly after the end, and works again after a login in another terminal', async () => {
    assert.equal((await alice.curfew(['login'])).code, 0);
    const folder = path.join(alice.dir, 'k9s');
    await mkdir(folder);
    // Else it ends by itself a few refusals after the end.
    await writeFile(path.join(folder, 'config.yaml'), 'k9s:\n  maxConnRetry: 100\n');
    const env = {
      ...alice.env,
      K9S_CONFIG_DIR: folder,
      XDG_DATA_HOME: folder,
      XDG_STATE_HOME: folder,
      LANG: 'C.UTF-8',
    };
    const k9s_command = [program, '--refresh', '2', '--command', 'namespaces', '--logoless', '--splashless'];
    const server = ['-L', `curfew-${process.pid}`, '-f', '/dev/null'];
    using pty = runInPty('tmux', [...server, 'new-session', ...k9s_command], {
      env: { ...env, TERM: 'xterm-256color' },
    });
    const shows = (pattern: RegExp, what: string) => until(async () => pattern.test(await screenOf(pty)), what);
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

    // The terminal hangs up.
    await run('tmux', [...server, 'kill-server'], { env });
    await pty.exit;
    const left = await run('pgrep', ['-f', `${alice.dir}.*get-token`]);
    assert.equal(left.stdout, '', 'a plugin that outlives k9s');
  });
});
