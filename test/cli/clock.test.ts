// A laptop whose clock is wrong, or jumps because it slept (P12): libfaketime bends the plugin's clock, of the native program and
// of Node.js alike; broker and IdP have a true one.

import assert from 'node:assert/strict';
import { existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { getToken } from '../../cli/commands/get_token.ts';
import { writeConfig } from '../../cli/host/config.ts';
import { openCache } from '../../cli/session/cache.ts';
import { entryName, printEntry } from '../../cli/warm/entry.ts';
import { type RunResult, run } from '../../scripts/run.ts';
import { seconds } from '../../shared/time.ts';
import { BENDABLE, installNative, nodeProgram, PROGRAMS } from '../native/launcher.ts';
import { claimsOf } from '../support/holder.ts';
import { until } from '../support/patience.ts';
import { runInPty } from '../support/pty.ts';
import { credentialOf, type Desk, execInfo, openDesk, refusalOf } from './desk.ts';
import { entryAt, KEY } from './entries.ts';
import { temporaryFolder, testHost } from './host.ts';

const [LIBRARY] = globSync('/usr/lib/*/faketime/libfaketime.so.1');
assert.ok(LIBRARY, 'libfaketime is missing (Debian: libfaketime)');

const faked = { LD_PRELOAD: LIBRARY, FAKETIME_DONT_FAKE_MONOTONIC: '1', FAKETIME_NO_CACHE: '1' };

for (const via of PROGRAMS)
  describe(`a laptop whose clock is wrong (${via})`, () => {
    let desk: Desk;
    before(async () => {
      desk = await openDesk({}, { via, native: BENDABLE, openssl: { ...faked, FAKETIME: '-2d' } });
    });
    after(() => desk.stop());
    const logout = async () => {
      assert.equal((await desk.curfew(['logout', '--broker', desk.url, '--ca-file', desk.ca_file])).code, 0);
    };
    const at = (ahead: number) => ({ env: { ...faked, FAKETIME: `${ahead < 0 ? '' : '+'}${ahead}s` } });
    const now = () => Date.now() / 1000;

    for (const ahead of [-7_200, -300, 300, 43_200]) {
      it(`by ${ahead} s all day: logs in, renews, and tells kubectl times of its own clock (P12)`, async () => {
        await logout();
        const first = credentialOf(await desk.getToken('dev', true, at(ahead)));
        assert.ok(Math.abs(first.expires - (now() + ahead + 290)) < 5);
        const { token } = credentialOf(await desk.getToken('prod', false, at(ahead)));
        assert.equal(claimsOf(token).aud, 'prod-audience');
        const again = credentialOf(await desk.getToken('dev', false, at(ahead)));
        assert.ok(again.expires > now() + ahead);
        // A token that is over by this clock is asked for anew: a round trip.
        assert.equal(again.token === first.token, ahead < 300);
      });
    }

    it('by a jump of 2 h back asks the broker, and continues (P12)', async () => {
      await logout();
      const first = credentialOf(await desk.getToken('dev', true, at(0)));
      const again = credentialOf(await desk.getToken('dev', false, at(-7_200)));
      assert.notEqual(again.token, first.token);
    });

    it('that wakes 12 h later prints no stale credential, and continues where that was the clock’s mistake (P12)', async () => {
      await logout();
      credentialOf(await desk.getToken('dev', true, at(0)));
      const result = await desk.getToken('dev', false, at(43_200));
      assert.equal(result.code, 77);
      assert.match(refusalOf(result).error, /^login is too old: last login 12h ago, limit 1h$/);
      credentialOf(await desk.getToken('dev', false, at(0)));
    });

    it('revives nothing: what the broker ended stays ended, whatever the clock says then (P12)', async () => {
      await logout();
      credentialOf(await desk.getToken('dev', true, at(0)));
      await logout();
      for (const ahead of [0, -7_200, 43_200, -300, 300]) {
        const result = await desk.getToken('dev', false, at(ahead));
        assert.deepEqual([result.code, refusalOf(result).error], [77, 'logged out'], `${ahead}`);
      }
    });

    it('that sleeps during a login: it wakes, and the login that is too late fails, or the one in time is good (P12)', async () => {
      await logout();
      desk.idp.endSessions(null);
      desk.browser.set({ mode: 'slow:2' });
      const file = `${desk.dir}/clock`;
      writeFileSync(file, '+0s\n');
      const [program, ...words] = desk.command;
      const args = [...words, 'get-token', '--broker', desk.url, '--cluster', 'dev', '--ca-file', desk.ca_file];
      const env = { ...desk.env, ...faked, BROWSER: desk.browser.command, KUBERNETES_EXEC_INFO: execInfo(true) };
      using pty = runInPty(program, args, { env: { ...env, FAKETIME_TIMESTAMP_FILE: file }, cols: 2_000 });
      await pty.waitFor('log in at: ');
      pty.kill('SIGSTOP');
      writeFileSync(file, '+43200s\n');
      pty.kill('SIGCONT');
      await pty.waitFor('"kind":"ExecCredential"');
      assert.equal((await pty.exit).code, 0);
      desk.browser.set({ mode: 'login' });
      // By the clock of then the token has its whole life before it; by the true one it is not over either.
      const printed = JSON.parse(/\{"kind":"ExecCredential".*\}/.exec(pty.output())?.[0] ?? '{}');
      const { exp } = claimsOf(printed.status.token);
      assert.ok(typeof exp === 'number' && exp > now() && exp <= now() + 300);
      const later = await desk.getToken('dev', false, at(43_200 * 2));
      assert.equal(later.code, 77);
      assert.match(refusalOf(later).error, /^login is too old/);
    });
  });

it('libfaketime bends the clock of the program under test, and of nothing else', () => {
  assert.ok(existsSync(LIBRARY));
  assert.ok(Math.abs(Date.now() - performance.timeOrigin - performance.now()) < 1_000);
});

const BUSY = 'each token was over before it could be printed: this program was stopped, or the clock set';

describe('a program that was stopped between its decision and its answer', () => {
  const now = seconds(Math.floor(Date.now() / 1000));

  it('P12 prints nothing that is over by then: the native program looks at the clock again', async () => {
    const home = temporaryFolder('stopped');
    const { command } = await installNative(`${home}/bin`, BENDABLE);
    writeFileSync(`${home}/echo.cjs`, 'process.exitCode = 42;');
    writeFileSync(`${command[0]}.full`, `${process.execPath}\n${home}/echo.cjs\n`);
    const cache = `${home}/cache`;
    mkdirSync(cache, { mode: 0o700 });
    writeFileSync(`${cache}/${entryName(KEY)}`, printEntry(entryAt(now)), { mode: 0o600 });
    const args = ['get-token', '--broker', KEY.broker, '--cluster', KEY.cluster];
    const env = { HOME: home, CURFEW_CACHE_DIR: cache, KUBERNETES_EXEC_INFO: execInfo(false), TZ: 'UTC', LC_ALL: 'C' };
    // Each look at the clock finds it so many seconds later.
    const start = new Date(now * 1000).toISOString().slice(0, 19).replace('T', ' ');
    const at = (step: number) => ({ ...env, LD_PRELOAD: LIBRARY, FAKETIME: `@${start} i${step}.0` });
    const [program, ...words] = [...command, ...args];
    assert.equal((await run(program, words, { env: at(1) })).code, 0);
    const late = await run(program, words, { env: at(305) });
    assert.deepEqual([late.code, late.stdout], [42, '']);
  });

  it('P12 prints nothing that is over by then: on Node.js it asks again, and says why it cannot', async () => {
    for (const [late, printed] of [
      [1, true],
      [305, false],
    ] as const) {
      let looks = 0;
      const host = testHost({ KUBERNETES_EXEC_INFO: execInfo(false), CURFEW_CONFIG_DIR: undefined });
      const clock = () => seconds(now + (looks++ === 0 ? 0 : late));
      writeConfig(host, { brokers: { [KEY.broker]: {} } });
      openCache(host).write(entryAt(now));
      const asked = getToken({ ...host, now: clock }, { key: KEY });
      if (printed) await asked;
      else await assert.rejects(asked, { code: 'unknown_session' });
      assert.equal(host.printed.length, printed ? 1 : 0);
      const [text = '{}'] = host.printed;
      if (printed) assert.equal(JSON.parse(text).status.token, entryAt(now).token);
    }
  });

  /** Stops Node.js by a real signal, each time that it has read (`closeSync`) or written (`renameSync`) a cache entry. */
  const stopping = (folder: string, after: 'closeSync' | 'renameSync', times: number) => {
    const [hook, stops, clock] = [`${folder}/stop.cjs`, `${folder}/stops`, `${folder}/clock`];
    const script = `
      const fs = require('node:fs');
      const of = fs.${after};
      let left = ${times};
      fs.${after} = (...given) => {
        const result = of(...given);
        if (left > 0 && (given.length === 1 || /\\/https[^/]*\\.json$/.test(given[1]))) {
          left -= 1;
          fs.appendFileSync(${JSON.stringify(stops)}, process.pid + '\\n');
          process.kill(process.pid, 'SIGSTOP');
        }
        return result;
      };`;
    writeFileSync(hook, script, { mode: 0o644 });
    writeFileSync(stops, '');
    writeFileSync(clock, '+0s\n');
    const env = { ...faked, FAKETIME_TIMESTAMP_FILE: clock, NODE_OPTIONS: `--require ${hook}` };
    /** Sets the clock at each stop, and lets it go on. */
    const through = async (running: Promise<RunResult>, aheads: readonly number[], seen = () => {}) => {
      for (const [i, ahead] of aheads.entries()) {
        const pids = () => readFileSync(stops, 'utf8').trimEnd().split('\n');
        const isStopped = () => {
          const pid = pids()[i];
          return !!pid && / T /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
        };
        await until(isStopped, 'it does not come to its stop');
        seen();
        writeFileSync(clock, `+${ahead}s\n`);
        process.kill(Number(pids()[i]), 'SIGCONT');
      }
      return await running;
    };
    return { env, through };
  };

  it('P12 prints nothing that is over by then: the entry on Node.js that reads the cache alone looks again', async () => {
    const { command } = await nodeProgram();
    const [program, ...words] = [...command, 'get-token', '--broker', KEY.broker, '--cluster', KEY.cluster];
    for (const [ahead, printed] of [
      [1, true],
      [305, false],
    ] as const) {
      const home = temporaryFolder('stopped');
      const cache = `${home}/cache`;
      mkdirSync(cache, { mode: 0o700 });
      const entry = entryAt(seconds(Math.floor(Date.now() / 1000)));
      writeFileSync(`${cache}/${entryName(KEY)}`, printEntry(entry), { mode: 0o600 });
      const { env, through } = stopping(home, 'closeSync', 1);
      const whole = { ...env, HOME: home, CURFEW_CACHE_DIR: cache, KUBERNETES_EXEC_INFO: execInfo(false) };
      const result = await through(run(program, words, { env: whole }), [ahead]);
      if (printed) assert.equal(credentialOf(result).token, entry.token);
      else assert.deepEqual([result.code, result.stdout], [77, '']);
    }
  });

  it('P12 prints nothing that is over by then: a token that was renewed is renewed again, three times at most', async () => {
    const desk = await openDesk({}, { via: 'Node.js' });
    try {
      credentialOf(await desk.getToken('dev', true));
      const file = path.join(desk.dir, 'cache', entryName({ broker: desk.url, cluster: 'prod' }));
      for (const aheads of [[1], [305], [305, 610], [305, 610, 915]]) {
        rmSync(file, { force: true });
        const { env, through } = stopping(desk.dir, 'renameSync', aheads.length);
        const renewed: string[] = [];
        const result = await through(desk.getToken('prod', false, { env }), aheads, () => {
          renewed.push(JSON.parse(readFileSync(file, 'utf8')).token);
        });
        assert.equal(new Set(renewed).size, aheads.length);
        const said = `${aheads}: ${result.stderr}`;
        if (aheads.length === 3) assert.deepEqual([result.code, refusalOf(result).error], [75, BUSY], said);
        else assert.equal(renewed.includes(credentialOf(result).token), aheads[0] === 1, said);
      }
    } finally {
      await desk.stop();
    }
  });
});
