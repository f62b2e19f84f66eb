// Called by a full-screen program (k9s, an editor, completion): nobody is asked, and nothing is drawn over its screen.

import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import xterm from '@xterm/headless';
import { run } from '../../scripts/run.ts';
import { PROGRAMS } from '../native/launcher.ts';
import { type Pty, runInPty } from '../support/pty.ts';
import { credentialOf, type Desk, execInfo, openDesk } from './desk.ts';

const PROGRAM = path.join(import.meta.dirname, '../support/full_screen.ts');

/** What a person sees, line by line. */
async function screenOf(pty: Pty): Promise<readonly string[]> {
  const terminal = new xterm.Terminal({ cols: 200, rows: 50, allowProposedApi: true });
  await new Promise<void>((written) => terminal.write(pty.output(), written));
  const { buffer } = terminal;
  assert.equal(buffer.active.type, 'alternate');
  const lines = Array.from({ length: 50 }, (_, y) => buffer.active.getLine(y)?.translateToString(true) ?? '');
  return lines.filter((line) => line !== '');
}

for (const via of PROGRAMS)
  describe(`a full-screen program that calls the plugin (${via})`, () => {
    let desk: Desk;
    before(async () => {
      const limits = { max_age: '12m', inactivity_timeout: '11m', token_ttl: '5m' };
      desk = await openDesk({ policy: { limits, segments: [] } }, { via });
    });
    after(() => desk.stop());

    const flags = () => ['--broker', desk.url, '--ca-file', desk.ca_file];
    const env = () => ({ ...process.env, ...desk.env, KUBERNETES_EXEC_INFO: execInfo(true), TERM: 'xterm' });
    const command = () => [...desk.command, 'get-token', '--cluster', 'dev', ...flags()];
    const begin = (times: number) => runInPty(process.execPath, [PROGRAM, String(times), ...command()], { env: env() });

    it('is not warned of an end that is near, and whoever can read the warning gets it afterwards', async () => {
      desk.idp.setAuthTimeOffset(null, 8 * 60);
      assert.equal((await desk.curfew(['login', ...flags()])).code, 0);
      desk.idp.setAuthTimeOffset(null, 0);
      using pty = begin(2);
      await pty.waitFor('--- done ---');
      assert.match(
        (await screenOf(pty)).join('\n'),
        /^\S+ full screen \S+\n\| call 1: 0 \d+\n\| call 2: 0 \d+\n\+--- done/,
      );
      using person = desk.curfewAtTerminal(command().slice(desk.command.length), env());
      await person.waitFor(/curfew: your session ends in/);
    });

    it('P2 without a session is refused: exit 77, no browser, not a character on its screen, and no lock is left', async () => {
      await run('rm', ['-rf', `${desk.dir}/cache`, `${desk.dir}/config/sessions`, `${desk.dir}/config/secrets`]);
      desk.idp.resetCounts();
      const tabs = desk.browser.visits().length;
      using pty = begin(3);
      await pty.waitFor('--- done ---');
      assert.deepEqual(await screenOf(pty), [
        '+--- full screen ---+',
        ...['| call 1: 77 0', '| call 2: 77 0', '| call 3: 77 0'],
        '+--- done ---+',
      ]);
      assert.equal(desk.browser.visits().length, tabs);
      assert.equal(desk.idp.authorizeRequests, 0);
    });

    it('gets a token again once its person has logged in elsewhere, and is refused as quietly after the next end', async () => {
      assert.equal((await desk.curfew(['login', ...flags()])).code, 0);
      using first = begin(1);
      await first.waitFor('--- done ---');
      assert.match((await screenOf(first))[1] ?? '', /^\| call 1: 0 \d{3,}$/);
      // As an administrator ends it: nobody here knows until the broker is asked.
      const [kept, copy] = [`${desk.dir}/config`, `${desk.dir}/kept`];
      await run('cp', ['-r', kept, copy]);
      assert.equal((await desk.curfew(['logout', ...flags()])).code, 0);
      await run('rm', ['-rf', kept, `${desk.dir}/cache`]);
      await run('mv', [copy, kept]);
      using second = begin(2);
      await second.waitFor('--- done ---');
      assert.deepEqual((await screenOf(second)).slice(1, 3), ['| call 1: 77 0', '| call 2: 77 0']);
    });

    it('a kubectl whose output goes to a pager is refused in words: they are read there, and nobody is asked', async () => {
      assert.equal((await desk.curfew(['logout', ...flags()])).code, 0);
      const tabs = desk.browser.visits().length;
      const script = 'stty -icanon -echo; { "$@"; echo "ended with $?" >&2; } | cat; stty sane';
      using pty = runInPty('/bin/sh', ['-c', script, 'sh', ...command()], { env: env() });
      await pty.waitFor('curfew: error: ');
      await pty.waitFor(/curfew: hint: run: kubectl curfew login/);
      await pty.waitFor('ended with 77');
      assert.equal((await pty.exit).code, 0);
      assert.equal(desk.browser.visits().length, tabs);
    });

    it('at a terminal as kubectl leaves it the person is asked', async () => {
      await run('rm', ['-rf', `${desk.dir}/cache`, `${desk.dir}/config/sessions`, `${desk.dir}/config/secrets`]);
      using pty = desk.curfewAtTerminal(command().slice(desk.command.length), env());
      await pty.waitFor('log in at: ');
      await pty.waitFor('"kind":"ExecCredential"');
      assert.equal((await pty.exit).code, 0);
      credentialOf(await desk.getToken('dev', false));
    });
  });
