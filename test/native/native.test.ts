// The native program answers as Node.js does, or hands over where Node.js would load the full program: for hostile caches,
// arguments and environments alike. What it hands over reaches the other side as it came.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { before, describe, it } from 'node:test';
import fc from 'fast-check';
import { nodeFiles } from '../../cli/host/node_files.ts';
import { type Answer, answer } from '../../cli/warm/answer.ts';
import { entryName, printEntry } from '../../cli/warm/entry.ts';
import type { Environment } from '../../cli/warm/machine.ts';
import { fileName } from '../../cli/warm/paths.ts';
import { VERSION } from '../../cli/warm/version.ts';
import { nativeProgram, OURS } from '../../scripts/native/build.ts';
import { type RunResult, run } from '../../scripts/run.ts';
import { fromMilliseconds, seconds } from '../../shared/time.ts';
import { execInfo } from '../cli/desk.ts';
import { entryAt, KEY, mutation } from '../cli/entries.ts';
import { temporaryFolder } from '../cli/host.ts';
import { runInPty } from '../support/pty.ts';
import { installNative } from './launcher.ts';

const ARGS = ['get-token', '--broker', KEY.broker, '--cluster', KEY.cluster];
const clock = () => fromMilliseconds(Date.now());

assert.ok(OURS.length > 0, 'no native program is built for this machine');

for (const target of OURS) {
  describe(`the native program (${target.name})`, () => {
    const home = temporaryFolder('native');
    const cache = path.join(home, 'cache');
    const file = path.join(cache, entryName(KEY));
    const env = { HOME: home, CURFEW_CACHE_DIR: cache, KUBERNETES_EXEC_INFO: execInfo(false) };
    let program: string;
    let full: string;

    before(async () => {
      const { command } = await installNative(path.join(home, 'bin'), target);
      [program] = command;
      full = `${program}.full`;
      writeFileSync(full, `${process.execPath}\n${path.join(home, 'echo.cjs')}\n`);
      const echo =
        'console.log(JSON.stringify([process.argv.slice(2), process.env.CURFEW_CACHE_DIR])); process.exitCode = 42;';
      writeFileSync(path.join(home, 'echo.cjs'), echo);
      mkdirSync(cache, { mode: 0o700 });
      remember({ session: entryAt(clock()).session });
    });

    /** Beside the secrets: with a living session the broker has to be asked. */
    const sessions = path.join(home, '.config/curfew/sessions');
    const recordFile = path.join(sessions, `${fileName(KEY.broker)}.json`);
    const remember = (more: object) => {
      mkdirSync(sessions, { recursive: true, mode: 0o700 });
      const endpoints = { token_endpoint: KEY.broker, revocation_endpoint: KEY.broker };
      const record = { broker: KEY.broker, endpoints, audiences: {}, kept_in: 'file', minted_local: clock(), ...more };
      writeFileSync(recordFile, JSON.stringify({ version: 1, ...record }), { mode: 0o600 });
    };

    /** Both, within one second of the clock. */
    const both = async (args: readonly string[], given: Environment): Promise<[Answer | undefined, RunResult]> => {
      for (;;) {
        const now = clock();
        const ours = answer({
          ...{ args, env: given, uid: process.getuid?.(), files: nodeFiles, now },
          ...{ system: 'posix', runtime: 'native', terminal: 'none', caller: () => undefined },
        });
        const theirs = await run(program, args, { env: given });
        if (clock() === now) return [ours, theirs];
      }
    };

    /** @returns what was answered without the full program */
    const agreed = async (args: readonly string[], given: Environment): Promise<Answer | undefined> => {
      const [ours, { code, stdout, stderr }] = await both(args, given);
      const { until: _, renewal: __, ...said } = ours ?? {};
      if (ours) assert.deepEqual({ exit: code, stdout, stderr }, said);
      else assert.deepEqual([code, JSON.parse(stdout)], [42, [[...args], given.CURFEW_CACHE_DIR ?? null]]);
      return ours;
    };
    const agree = async (args: readonly string[] = ARGS, given: Environment = env): Promise<boolean> =>
      (await agreed(args, given)) !== undefined;

    const place = (content: string) => {
      rmSync(file, { recursive: true, force: true });
      writeFileSync(file, content, { mode: 0o600 });
    };

    const sessionNow = () => {
      const { session } = entryAt(clock());
      assert.ok(session);
      return session;
    };

    it('prints what is good, in both versions that kubectl speaks', async () => {
      place(printEntry(entryAt(clock())));
      assert.ok(await agree());
      assert.ok(await agree(ARGS, { ...env, KUBERNETES_EXEC_INFO: execInfo(true) }));
      const v1beta1 = execInfo(false, 'client.authentication.k8s.io/v1beta1');
      assert.ok(await agree(ARGS, { ...env, KUBERNETES_EXEC_INFO: v1beta1 }));
      assert.ok(await agree(['get-token', '--cluster=dev', `--broker=${KEY.broker}/`]));
    });

    it('refuses what is refused for good, with the same lines', async () => {
      place(printEntry(entryAt(seconds(clock() - 1_000))));
      assert.ok(await agree());
      place(
        printEntry({
          ...entryAt(clock()),
          refused: { reason: 'session_ended', message: 'session is over: \x1b[31mred' },
        }),
      );
      assert.ok(await agree());
      assert.ok(!(await agree(ARGS, { ...env, KUBERNETES_EXEC_INFO: execInfo(true) })), 'a person is asked');
    });

    it('names the broker in the hint only where it is not the one that is meant', async () => {
      const config = path.join(home, '.config/curfew');
      mkdirSync(config, { recursive: true, mode: 0o700 });
      for (const settings of [{ default: KEY.broker }, { default: 'https://other.example.com' }, { default: 7 }]) {
        writeFileSync(path.join(config, 'config.json'), JSON.stringify({ brokers: {}, ...settings }));
        assert.equal(await agree(), settings.default !== 7);
      }
      for (const CURFEW_BROKER of [KEY.broker, `${KEY.broker}/`])
        assert.ok(!(await agree(ARGS, { ...env, CURFEW_BROKER })));
      rmSync(path.join(config, 'config.json'));
      assert.ok(await agree(ARGS, { ...env, CURFEW_BROKER: KEY.broker }));
    });

    it('refuses without a cached entry where nobody is logged in, or the session is known to be over (P2, P3)', async () => {
      rmSync(file, { force: true });
      const session = entryAt(clock()).session;
      const ended = { reason: 'session_ended', message: 'session is over: logged out', end_reason: 'logout' };
      for (const [more, known] of [
        [{}, true],
        [{ session, ended }, true],
        [{ ended }, true],
        [{ session }, false],
      ] as const) {
        remember(more);
        assert.equal(await agree(), known, JSON.stringify(more));
        assert.ok(!(await agree(ARGS, { ...env, KUBERNETES_EXEC_INFO: execInfo(true) })), 'a person is asked');
      }
      remember({ session, kept_in: 'pocket' });
      assert.ok(!(await agree()));
      rmSync(recordFile);
      assert.ok(!(await agree()), 'a broker that nobody set up');
      const known = { brokers: { [KEY.broker]: {} } };
      writeFileSync(path.join(home, '.config/curfew/config.json'), JSON.stringify(known), { mode: 0o600 });
      assert.ok(await agree());
      for (const mode of [0o602, 0o666]) {
        chmodSync(path.join(home, '.config/curfew/config.json'), mode);
        assert.ok(!(await agree()), 'others could have written it (P14)');
      }
      chmodSync(path.join(home, '.config/curfew/config.json'), 0o600);
      const runtime = path.join(home, 'runtime');
      mkdirSync(path.join(runtime, 'curfew/sessions'), { recursive: true, mode: 0o700 });
      const config = path.join(home, '.config/curfew/config.json');
      writeFileSync(config, JSON.stringify({ ...known, secret_storage: 'memory' }));
      assert.ok(!(await agree()), 'there is no runtime directory');
      const { CURFEW_CACHE_DIR: _, ...rest } = { ...env, XDG_RUNTIME_DIR: runtime };
      assert.ok(!(await agree(ARGS, { ...rest, CURFEW_CACHE_DIR: cache })), 'the cache outlives it');
      assert.ok(await agree(ARGS, rest));
      rmSync(config);
      remember({ session });
    });

    it('says its version', async () => {
      const { code, stdout } = await run(program, ['--version'], { env });
      assert.deepEqual([code, stdout], [0, `kubectl-curfew ${VERSION} (native)\n`]);
    });

    it('judges hostile entries as Node.js does (P6, S8)', async () => {
      const good = printEntry(entryAt(clock()));
      const wrong: readonly string[] = [
        ...[
          '',
          '{',
          'null',
          '[]',
          '{}',
          good.slice(0, 100),
          `${good} `,
          `\ufeff${good}`,
          good.replace('"version":1', '"version":2'),
        ],
        ...['\0\x01ÿ', good.replaceAll('dev', 'prod'), good.replace(/"minted_local":\d+/, '"minted_local":1e400')],
        ...[
          good.replace(/"token":"[^"]*"/, '"token":"a.b.c"'),
          good.replace(/"token":"[^"]*"/, '"token":"\\ud800.é.x"'),
        ],
        ...[good.replace(/"expires_in":\d+/, '"expires_in":1e9'), good.replace('"sid":"sid"', '"sid":""')],
        ...[good.replace('"sid":"sid"', `"sid":"${'x'.repeat(70_000)}"`), `${'['.repeat(30_000)}`],
        ...[good.replace('{', '{"__proto__":{"version":1},'), good.replace('"broker"', '"version":2,"broker"')],
      ];
      for (const content of wrong) {
        place(content);
        await agree();
      }
      place(good);
      for (const mode of [0o644, 0o660, 0o200, 0o700, 0o600]) {
        chmodSync(file, mode);
        await agree();
      }
      for (const mode of [0o755, 0o777, 0o700]) {
        chmodSync(cache, mode);
        assert.equal(await agree(), mode === 0o700);
      }
      rmSync(file);
      symlinkSync(path.join(home, 'elsewhere'), file);
      writeFileSync(path.join(home, 'elsewhere'), good, { mode: 0o600 });
      assert.ok(!(await agree()));
      rmSync(file);
      mkdirSync(file);
      assert.ok(!(await agree()));
      rmSync(file, { recursive: true });
      execFileSync('mkfifo', [file]);
      assert.ok(!(await agree()));
      rmSync(file);
      assert.ok(!(await agree()));
      for (const CURFEW_CACHE_DIR of ['relative', path.join(home, 'gone'), file, '/dev/null', '/'])
        assert.ok(!(await agree(ARGS, { ...env, CURFEW_CACHE_DIR })));
    });

    it('P6 prints what the broker gave or asks, whatever an entry was turned into', async () => {
      let printed = 0;
      const property = fc.asyncProperty(mutation, async (mutate) => {
        const entry = entryAt(clock());
        place(mutate(printEntry(entry)));
        const ours = await agreed(ARGS, env);
        if (ours?.exit !== 0) return;
        assert.equal(JSON.parse(ours.stdout).status.token, entry.token);
        printed += 1;
      });
      await fc.assert(property, { numRuns: 60 });
      assert.ok(printed < 60);
      place(printEntry(entryAt(clock())));
      assert.equal((await agreed(ARGS, env))?.exit, 0);
      // What is not ASCII is summed up alike.
      place(printEntry({ ...entryAt(clock()), session: { ...sessionNow(), username: 'zoë 名 😀' } }));
      assert.equal((await agreed(ARGS, env))?.exit, 0);
    });

    it('judges entries of all times as Node.js does, to the second', async () => {
      const upTo = (max: number, min = 0) => fc.integer({ min, max });
      let [here, printed] = [0, 0];
      const property = fc.asyncProperty(
        upTo(1_000),
        upTo(600),
        upTo(400, -20),
        upTo(30, -30),
        fc.boolean(),
        async (age, ttl, elapsed, skew, refused) => {
          const at = seconds(clock() - elapsed);
          const entry = entryAt(at, { age, ttl, skew });
          place(printEntry(refused ? { ...entry, refused: { reason: 'idle_too_long', message: 'idle' } } : entry));
          const ours = await agreed(ARGS, env);
          if (ours) here += 1;
          if (ours?.exit === 0) printed += 1;
        },
      );
      const numRuns = 120;
      await fc.assert(property, { numRuns });
      assert.ok(here < numRuns && printed > 5, `${here} answered, ${printed} printed`);
    });

    it('reads arguments and environment as Node.js does (P10, P11)', async () => {
      place(printEntry(entryAt(clock())));
      const infos = ['', '{', '[]', 'null', execInfo(false, 'client.authentication.k8s.io/v2'), `${execInfo(false)}x`];
      for (const KUBERNETES_EXEC_INFO of infos) assert.ok(!(await agree(ARGS, { ...env, KUBERNETES_EXEC_INFO })));
      const padding = JSON.stringify({ ...JSON.parse(execInfo(false)), padding: 'x'.repeat(120_000) });
      assert.ok(await agree(ARGS, { ...env, KUBERNETES_EXEC_INFO: padding }));
      assert.ok(!(await agree(ARGS, { ...env, NODE_TLS_REJECT_UNAUTHORIZED: '0' })));
      const words: readonly (readonly string[])[] = [
        ...[[], [''], ['login'], ['status'], ['status', '--prompt', 'x'], ['get-token'], ['get-token', '--broker']],
        ...[
          [...ARGS, '--max-age', '15 min'],
          [...ARGS, '--max-age=1h'],
          [...ARGS, '--cluster', 'dev'],
          [...ARGS, 'x'],
        ],
        ...[
          ['get-token', '--cluster', 'dev', '--broker', 'http://evil.example.com'],
          ['--version', 'x'],
        ],
        ...[
          ['get-token', '--cluster', 'd é"\\ $(x)\n*', '--broker', KEY.broker],
          ['sessions', 'end', '', "'", '"'],
        ],
      ];
      for (const args of words) await agree(args);
    });

    it('finds the cache as Node.js does', async () => {
      const { CURFEW_CACHE_DIR: _, ...rest } = env;
      const runtime = path.join(home, 'runtime');
      mkdirSync(path.join(runtime, 'curfew'), { recursive: true, mode: 0o700 });
      writeFileSync(path.join(runtime, 'curfew', entryName(KEY)), printEntry(entryAt(clock())), { mode: 0o600 });
      const agrees = (more: Environment) => agree(ARGS, { ...rest, ...more });
      assert.ok(await agrees({ XDG_RUNTIME_DIR: runtime }));
      assert.ok(!(await agrees({ XDG_RUNTIME_DIR: path.join(home, 'gone') })));
      assert.ok(await agrees({ XDG_CACHE_HOME: runtime, HOME: 'relative' }));
      assert.ok(!(await agrees({ HOME: '' })));
    });

    it('hands over exit status, stdin, terminal and signals: the full program is in its place', async () => {
      const script = `
        const end = (text) => { require('node:fs').writeSync(1, text + '\\n'); };
        const { isatty } = require('node:tty');
        if (process.argv[2] === 'stdin') end(require('node:fs').readFileSync(0, 'utf8'));
        else if (process.argv[2] === 'pid') end(process.pid + ' ' + process.ppid);
        else { end('tty ' + isatty(0) + isatty(1) + isatty(2)); setTimeout(() => {}, 60000); }`;
      writeFileSync(path.join(home, 'echo.cjs'), script);
      assert.equal((await run(program, ['stdin'], { env, input: 'through' })).stdout, 'through\n');
      const { stdout } = await run('sh', ['-c', `"$0" pid & echo $!; wait`, program], { env });
      const [pid, told] = stdout.split('\n');
      assert.equal(told?.split(' ')[0], pid);
      using pty = runInPty(program, ['wait'], { env: { ...env, PATH: process.env.PATH ?? '' } });
      await pty.waitFor('tty truetruetrue');
      pty.write('\x03');
      const { code, signal } = await pty.exit;
      assert.ok(signal === 2 || code === 130, `code ${code}, signal ${signal}`);
    });

    it('P14 starts nothing that others could have put in its place: exit 78, one error and one hint', async () => {
      const bin = path.dirname(program);
      for (const [target, mode] of [
        [full, 0o602],
        [bin, 0o777],
      ] as const) {
        const before = statSync(target).mode & 0o777;
        chmodSync(target, mode);
        const { code, stdout, stderr } = await run(program, ['login'], { env });
        chmodSync(target, before);
        assert.deepEqual([code, stdout], [78, '']);
        assert.match(stderr, /^curfew: error: others can change .*\ncurfew: hint: .*\n$/);
      }
    });

    it('finds the full program from its own folder, wherever it was unpacked and by whichever link it is called', async () => {
      const before = readFileSync(full);
      const link = path.join(home, 'linked');
      symlinkSync(program, link);
      symlinkSync(process.execPath, path.join(home, 'node'));
      writeFileSync(path.join(home, 'say.cjs'), 'console.log(process.argv[2], process.env.NODE_OPTIONS);');
      writeFileSync(full, './../node\n./../say.cjs\n');
      const { code, stdout } = await run(link, ['status'], { env: { ...env, NODE_OPTIONS: '--nonsense' }, cwd: '/' });
      writeFileSync(full, before);
      assert.deepEqual([code, stdout], [0, 'status undefined\n']);
    });

    it('says what to do where it does not find the full program: exit 78, one error and one hint', async () => {
      for (const content of [undefined, '', '/usr/bin/env\n', `${home}/no-node\n${home}/echo.cjs\n`]) {
        if (content === undefined) rmSync(full);
        else writeFileSync(full, content);
        const { code, stdout, stderr } = await run(program, ['login'], { env });
        assert.deepEqual([code, stdout], [78, '']);
        assert.match(stderr, /^curfew: error: .*\ncurfew: hint: run: kubectl-curfew setup.*\n$/);
      }
      place(printEntry(entryAt(clock())));
      assert.equal((await run(program, ARGS, { env })).code, 0, 'a cached token needs no Node.js');
    });

    it('is small', () => {
      assert.ok(statSync(nativeProgram(target)).size <= 3 * 1024 * 1024);
    });
  });
}
