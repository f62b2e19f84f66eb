// Many calls at once: one login, one question to the broker; and what is left when the one that does it ends badly.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, beforeEach, describe, it } from 'node:test';
import { run } from '../../scripts/run.ts';
import { PROGRAMS } from '../native/launcher.ts';
import { assertKept } from '../support/patience.ts';
import { type Pty, runInPty } from '../support/pty.ts';
import { credentialOf, type Desk, execInfo, openDesk, refusalOf } from './desk.ts';

const cold = (desk: Desk) =>
  run('rm', ['-rf', `${desk.dir}/cache`, `${desk.dir}/config/sessions`, `${desk.dir}/config/secrets`]);
const exchanges = (desk: Desk) => desk.broker.audit().filter(({ event }) => event === 'login').length;

for (const via of PROGRAMS)
  describe(`many calls at once (${via})`, () => {
    let desk: Desk;
    before(async () => {
      desk = await openDesk({}, { via });
    });
    beforeEach(() => cold(desk));
    after(() => desk.stop());

    it('20 cold ones for several clusters: still one login, one tab, one exchange (P1)', async () => {
      const [tabs, before] = [desk.browser.visits().length, exchanges(desk)];
      const clusters = Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? 'dev' : 'prod'));
      const results = await Promise.all(clusters.map((cluster) => desk.getToken(cluster, true)));
      for (const result of results) credentialOf(result);
      assert.equal(desk.browser.visits().length, tabs + 1);
      assert.equal(exchanges(desk), before + 1);
    });

    it('when the login fails, those who waited fail with it and open no tab of their own', async () => {
      desk.browser.set({ mode: 'deny' });
      desk.idp.endSessions(null);
      const tabs = desk.browser.visits().length;
      const results = await Promise.all(Array.from({ length: 8 }, () => desk.getToken('dev', true)));
      desk.browser.set({ mode: 'login' });
      for (const result of results) {
        assert.equal(result.code, 77);
        assert.match(refusalOf(result).error, /refused: access_denied \(the person cancelled\)$/);
      }
      assert.equal(desk.browser.visits().length, tabs + 1);
      credentialOf(await desk.getToken('dev', true));
    });

    it('when the login fails, the kubectl that needed it asks once, however often it calls; the next kubectl asks again', async () => {
      desk.browser.set({ mode: 'deny' });
      desk.idp.endSessions(null);
      const tabs = desk.browser.visits().length;
      assert.equal((await desk.curfew(['logout', '--broker', desk.url, '--ca-file', desk.ca_file])).code, 0);
      const { code, stdout, stderr } = await desk.getToken('dev', true, { times: 5 });
      assert.deepEqual([code, stdout], [77, '']);
      const said = stderr.match(/^curfew: error: .*refused: access_denied \(the person cancelled\)$/gm)?.length ?? 0;
      assert.ok(said >= 1 && said <= 5, `said ${said} times: the same refusal to one kubectl within 2 s may be silent`);
      assert.equal(desk.browser.visits().length, tabs + 1);
      desk.browser.set({ mode: 'login' });
      credentialOf(await desk.getToken('dev', true));
    });
  });

for (const via of PROGRAMS)
  describe(`a login under way (${via})`, () => {
    let desk: Desk;
    before(async () => {
      desk = await openDesk({}, { via });
      desk.browser.set({ mode: 'abandon' });
    });
    after(() => desk.stop());

    /** With a living SSO the IdP's first page would send the browser back at once. */
    const begin = async (): Promise<Pty> => {
      desk.idp.endSessions(null);
      const visits = desk.browser.visits().length;
      const [program, ...words] = desk.command;
      const args = [...words, 'get-token', '--broker', desk.url, '--cluster', 'dev', '--ca-file', desk.ca_file];
      const env = { ...desk.env, KUBERNETES_EXEC_INFO: execInfo(true) };
      const pty = runInPty(program, args, { env, cols: 2_000 });
      await pty.waitFor('log in at: ');
      await desk.browser.waitForVisits(visits + 1);
      return pty;
    };
    const listening = async (pid: number): Promise<string> =>
      (await run('sh', ['-c', `ls -l /proc/${pid}/fd 2>/dev/null | grep -c socket`])).stdout.trim();

    it('ends at Ctrl-C by the signal, and leaves no listener and no lock (P4)', async () => {
      using pty = await begin();
      const callback = new URL('/callback', /(?<=log in at: )\S+/.exec(pty.output())?.[0]);
      assert.notEqual(await listening(pty.pid), '0');
      pty.write('\x03');
      const { code, signal } = await pty.exit;
      assert.ok(signal === 2 || code === 130, `code ${code}, signal ${signal}`);
      await assert.rejects(fetch(callback), TypeError);
      desk.browser.set({ mode: 'login' });
      credentialOf(await desk.getToken('dev', true));
      await cold(desk);
      desk.browser.set({ mode: 'abandon' });
    });

    it('that is killed is taken over by the one that waits (P5)', async () => {
      using pty = await begin();
      desk.browser.set({ mode: 'login' });
      const args = ['get-token', '--broker', desk.url, '--cluster', 'dev', '--ca-file', desk.ca_file];
      using waiting = desk.curfewAtTerminal(args, { KUBERNETES_EXEC_INFO: execInfo(true) });
      await waiting.waitFor('curfew: waiting for the login that another kubectl-curfew has begun');
      pty.kill('SIGKILL');
      await waiting.waitFor('"kind":"ExecCredential"');
      assert.equal((await waiting.exit).code, 0);
      desk.browser.set({ mode: 'abandon' });
    });

    it('keeps no other cluster from renewing: its session continues', async () => {
      const [program, ...words] = desk.command;
      desk.idp.endSessions(null);
      const env = { ...desk.env, BROWSER: desk.browser.command };
      const login = spawn(program, [...words, 'login', '--broker', desk.url, '--ca-file', desk.ca_file], { env });
      try {
        await once(login.stderr, 'data');
        credentialOf(await desk.getToken('prod', false));
      } finally {
        login.kill('SIGKILL');
      }
    });
  });

describe('a lock that stays taken', () => {
  it('is waited for 10 s without a terminal, then 75 and who holds it (P5)', async () => {
    const desk = await openDesk();
    try {
      credentialOf(await desk.getToken('dev', true));
      const { readdirSync } = await import('node:fs');
      const { DatabaseSync } = await import('node:sqlite');
      const name = readdirSync(`${desk.dir}/cache`).find((file) => /^lock.*renew$/.test(file));
      using holder = new DatabaseSync(`${desk.dir}/cache/${name}`);
      holder.exec('BEGIN EXCLUSIVE');
      credentialOf(await desk.getToken('dev', false));
      const result = await desk.getToken('prod', false);
      assert.equal(result.code, 75);
      assert.ok(result.ms > 9_000, `${result.ms}`);
      assertKept(result.ms, 10_000);
      assert.match(refusalOf(result).error, /another kubectl-curfew is asking the broker for too long/);
    } finally {
      await desk.stop();
    }
  });
});
