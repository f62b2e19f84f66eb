// Logins that wait for somebody: a person's own comes first, and none waits on when nobody waits for it.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, openSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { after, before, beforeEach, describe, it } from 'node:test';
import { run } from '../../scripts/run.ts';
import { until } from '../support/patience.ts';
import { type Pty, runInPty } from '../support/pty.ts';
import { credentialOf, type Desk, execInfo, openDesk, readJson } from './desk.ts';

describe('a login that waits', () => {
  let desk: Desk;
  before(async () => {
    desk = await openDesk({}, { idp: { device_grant: true }, identityProvider: { device_grant: true } });
  });
  beforeEach(async () => {
    await run('rm', ['-rf', `${desk.dir}/cache`, `${desk.dir}/config/sessions`, `${desk.dir}/config/secrets`]);
    await setFlow(undefined);
    desk.idp.endSessions(null);
    desk.browser.set({ mode: 'abandon' });
  });
  after(() => desk.stop());

  const flags = () => ['--broker', desk.url, '--ca-file', desk.ca_file];
  const call = () => ['get-token', '--cluster', 'dev', ...flags()];
  const forKubectl = { KUBERNETES_EXEC_INFO: execInfo(true) };
  const isGone = (pid: number) => until(async () => (await run('kill', ['-0', String(pid)])).code !== 0, 'still there');
  const WAYS = {
    browser: { env: {}, shown: 'log in at: ' },
    device: { env: { BROWSER: undefined, SSH_TTY: '/dev/pts/0' }, shown: 'with the code: ' },
    paste: { env: { BROWSER: undefined, SSH_TTY: '/dev/pts/0' }, shown: 'paste that address' },
  } as const;
  const settings = () => `${desk.dir}/config/config.json`;
  const setFlow = async (flow: string | undefined) => {
    const { flow: _, ...known } = await readJson(settings());
    await writeFile(settings(), JSON.stringify({ ...known, flow }), { mode: 0o600 });
  };
  const begin = async (way: keyof typeof WAYS, args: readonly string[]): Promise<Pty> => {
    await setFlow(way);
    const pty = desk.curfewAtTerminal(args, { ...WAYS[way].env, ...forKubectl, TERM: 'dumb' });
    await pty.waitFor(WAYS[way].shown);
    return pty;
  };
  const logIn = async () => {
    desk.browser.set({ mode: 'login' });
    const started = performance.now();
    const result = await desk.curfew(['login', '--flow', 'browser', ...flags()]);
    assert.equal(result.code, 0, result.stderr);
    return performance.now() - started;
  };

  for (const way of ['browser', 'device', 'paste'] as const)
    it(`for a kubectl (${way}) gives way to one that a person begins, and kubectl gets what that brings (P5)`, async () => {
      using pty = await begin(way, call());
      assert.ok((await logIn()) < 60_000);
      await pty.waitFor('"kind":"ExecCredential"');
      assert.equal((await pty.exit).code, 0);
      assert.equal(pty.output().split(WAYS[way].shown).length, 2, 'its person was asked once');
    });

  it('gives way also to a person in another terminal, who is told where it went on', async () => {
    using first = await begin('device', ['login', ...flags()]);
    await logIn();
    await first.waitFor('curfew: error: a login that was begun after this one took its place');
    await first.waitFor('curfew: hint: ');
    assert.equal((await first.exit).code, 75);
  });

  it('asks again when the person who took over gave up', async () => {
    using pty = await begin('browser', call());
    using person = desk.curfewAtTerminal(['login', '--flow', 'browser', ...flags()], { TERM: 'dumb' });
    await person.waitFor('log in at: ');
    desk.browser.set({ mode: 'login' });
    person.write('\x03');
    await person.exit;
    await pty.waitFor('log in at: ');
    await pty.waitFor('"kind":"ExecCredential"');
  });

  it('is not ended by a claim that is old, from the future, or no claim at all (P6)', async () => {
    using pty = await begin('device', ['login', ...flags()]);
    const file = `${desk.dir}/cache/$(cd ${desk.dir}/cache; ls | sed -n 's/^lock\\(.*\\)login$/claimed\\1/p' | sed 's/.$//')`;
    const now = Math.floor(Date.now() / 1000);
    for (const content of [`{"at":${now - 60}}`, `{"at":${now + 600}}`, '{"at":1e400}', '{"at":"1"}', '[]', '', 'x'])
      await run('sh', ['-c', `umask 077; printf %s '${content}' > "${file}"; sleep 0.6`]);
    assert.doesNotMatch(pty.output(), /took its place/);
    pty.kill('SIGINT');
  });

  for (const way of ['browser', 'device', 'paste'] as const)
    it(`ends when its caller is gone (${way}), and leaves no lock (P4)`, async () => {
      await setFlow(way);
      const script = 'exec 3<&0; echo $$; "$@" <&3 & echo plugin $!; wait';
      const env = { ...desk.env, ...WAYS[way].env, ...forKubectl, TERM: 'dumb' };
      // The terminal's first process is another one: that is not gone.
      const words = ['-c', `trap '' HUP; sh -c '${script}' sh "$@"; sleep 1000`, 'sh', ...desk.command, ...call()];
      using pty = runInPty('/bin/sh', words, { env });
      const caller = Number(await pty.waitFor(/^\d+/));
      const plugin = Number(await pty.waitFor(/(?<=plugin )\d+/));
      await pty.waitFor(WAYS[way].shown);
      process.kill(caller, 'SIGKILL');
      await isGone(plugin);
      assert.match(pty.output(), /curfew: error: nobody waits for this login any more/);
      assert.ok((await logIn()) < 60_000);
    });

  it('ends when the terminal hung up and no signal says so, and the others who wait go on (P1, P4)', async () => {
    await setFlow('device');
    // Whose end closes the terminal, under a plugin that is not of its session.
    const terminal = spawn('script', ['-qfc', 'tty; exec sleep 1000', '/dev/null'], {
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    let shown = '';
    terminal.stdout.on('data', (data) => {
      shown += data;
    });
    await until(() => /pts.\d+\s/.test(shown), 'no terminal');
    const fd = openSync(/\S*pts\S+/.exec(shown)?.[0] ?? '', constants.O_RDWR | constants.O_NOCTTY);
    const [program, ...words] = desk.command;
    const env = { ...desk.env, ...WAYS.device.env, ...forKubectl, TERM: 'dumb' };
    const plugin = spawn(program, [...words, ...call()], { env, stdio: [fd, 'pipe', fd], detached: true });
    closeSync(fd);
    const ended = once(plugin, 'exit');
    await until(() => shown.includes('with the code: '), 'no login');
    await setFlow(undefined);
    desk.browser.set({ mode: 'login' });
    using waiting = desk.curfewAtTerminal(call(), forKubectl);
    await waiting.waitFor('waiting for the login that another kubectl-curfew has begun');
    terminal.kill('SIGKILL');
    assert.equal((await ended)[0], 77);
    await waiting.waitFor('"kind":"ExecCredential"');
    credentialOf(await desk.getToken('dev', false));
  });
});
