// kubectl without a discovery cache calls several times in one go: the same refusal to the same caller is said once.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { before, beforeEach, describe, it } from 'node:test';
import { nodeFiles } from '../../cli/host/node_files.ts';
import { fileName } from '../../cli/warm/paths.ts';
import { type Note, repeated } from '../../cli/warm/repeated.ts';
import { type RunResult, run } from '../../scripts/run.ts';
import { seconds } from '../../shared/time.ts';
import { installNative, nodeProgram, PROGRAMS } from '../native/launcher.ts';
import { execInfo } from './desk.ts';
import { entryAt, KEY } from './entries.ts';
import { temporaryFolder } from './host.ts';

const LINES = /^curfew: error: \S.*\ncurfew: hint: \S.*\n$/;
const SECOND = '; printf "%s\\n" "$?"; printf "%s\\n" -- >&2; ';

describe('what counts as a repetition', () => {
  const cache = temporaryFolder('repeated');
  const reader = { files: nodeFiles, uid: process.geteuid?.() };
  const ask = (process: string, at: number, args: readonly string[] = ['dev'], said = 'no') =>
    repeated(reader, cache, { process, at }, args, said);
  const noted = (note: 'again' | Note | undefined): Note => {
    assert.ok(note !== undefined && note !== 'again');
    return note;
  };

  it('P3 is the same to the same caller within 2 s, and nothing else', () => {
    const { file, content } = noted(ask('7 1', 10_000));
    writeFileSync(file, content, { mode: 0o600 });
    for (const at of [10_000, 10_001, 11_999]) assert.equal(ask('7 1', at), 'again');
    for (const at of [12_000, 13_000, 9_999, 0]) noted(ask('7 1', at));
    for (const process of ['7 2', '8 1', '7', '71']) noted(ask(process, 10_001));
    noted(ask('7 1', 10_001, ['prod']));
    noted(ask('7 1', 10_001, ['dev'], 'no.'));
    noted(ask('7 1', 10_001, [], '["dev"],no'));
  });

  it('P3 is never found in a file that is not plainly ours', () => {
    rmSync(`${cache}/refused`, { force: true });
    const { file, content } = noted(ask('7 1', 10_000));
    for (const bad of [
      '',
      content.slice(1),
      content.trim(),
      `${content}x`,
      `-${content}`,
      content.replace(' ', '  '),
      '{}',
      ' '.repeat(70_000),
    ]) {
      writeFileSync(file, bad, { mode: 0o600 });
      noted(ask('7 1', 10_001));
    }
    rmSync(file);
    writeFileSync(file, content, { mode: 0o644 });
    noted(ask('7 1', 10_001));
    rmSync(file);
    writeFileSync(file, content, { mode: 0o600 });
    assert.equal(ask('7 1', 10_001), 'again');
    const others = {
      ...reader,
      files: {
        ...nodeFiles,
        read: (...of: Parameters<typeof nodeFiles.read>) => {
          const opened = nodeFiles.read(...of);
          return opened.stat ? { ...opened, stat: { ...opened.stat, uid: (reader.uid ?? 0) + 1 } } : opened;
        },
      },
    };
    noted(repeated(others, cache, { process: '7 1', at: 10_001 }, ['dev'], 'no'));
    for (const [directory, caller, uid] of [
      [undefined, { process: '7 1', at: 10_001 }, reader.uid],
      [`${cache}/absent`, { process: '7 1', at: 10_001 }, reader.uid],
      [cache, undefined, reader.uid],
      [cache, { process: '7 1', at: 10_001 }, undefined],
      [cache, { process: '7 1', at: 10_001 }, (reader.uid ?? 0) + 1],
    ] as const)
      assert.equal(repeated({ ...reader, uid }, directory, caller, ['dev'], 'no'), undefined);
  });
});

for (const via of PROGRAMS)
  describe(`the same refusal to the same process (${via})`, () => {
    const home = temporaryFolder('repeated');
    const cache = path.join(home, 'cache');
    const note = path.join(cache, 'refused');
    const record = path.join(home, `.config/curfew/sessions/${fileName(KEY.broker)}.json`);
    const env = {
      PATH: process.env.PATH ?? '',
      HOME: home,
      CURFEW_CACHE_DIR: cache,
      KUBERNETES_EXEC_INFO: execInfo(false),
    };
    let command: readonly string[];

    before(async () => {
      ({ command } = via === 'native' ? await installNative(path.join(home, 'bin')) : await nodeProgram());
      mkdirSync(path.dirname(record), { recursive: true, mode: 0o700 });
      mkdirSync(cache, { mode: 0o700 });
    });
    beforeEach(() => {
      rmSync(note, { recursive: true, force: true });
      remember('logged out');
    });

    const remember = (message: string) => {
      const ended = { reason: 'session_ended', message };
      const endpoints = { token_endpoint: KEY.broker, revocation_endpoint: KEY.broker };
      const now = seconds(Math.floor(Date.now() / 1000));
      const more = { audiences: {}, kept_in: 'file', minted_local: now, session: entryAt(now).session, ended };
      const content = { version: 1, broker: KEY.broker, endpoints, ...more };
      writeFileSync(record, JSON.stringify(content), { mode: 0o600 });
    };

    const plugin = (cluster = KEY.cluster, broker = KEY.broker): string =>
      [...command, 'get-token', '--broker', broker, '--cluster', cluster].map((word) => `'${word}'`).join(' ');

    /** @returns stderr of each call, all from one shell */
    const inARow = async (calls: readonly string[], more: Record<string, string> = {}): Promise<readonly string[]> => {
      const { stdout, stderr } = await run('/bin/sh', ['-c', calls.map((call) => call + SECOND).join('')], {
        env: { ...env, ...more },
      });
      assert.equal(stdout, '77\n'.repeat(calls.length));
      return stderr.split('--\n').slice(0, -1);
    };
    /** Not a repetition only because this machine took so long. */
    const inTime = async (calls: readonly string[]): Promise<readonly string[]> => {
      for (;;) {
        rmSync(note, { recursive: true, force: true });
        const start = Date.now();
        const said = await inARow(calls);
        if (Date.now() - start < 2_000) return said;
      }
    };
    const nothingLeft = () =>
      assert.deepEqual(
        readdirSync(cache).filter((name) => name.endsWith('.tmp')),
        [],
      );

    it('P3 is said once, with the same exit status each time', async () => {
      // What the full program refuses, too: a broker that nobody set up.
      for (const call of [plugin(), plugin('dev', 'https://strange.example.com')]) {
        const [first = '', second] = await inTime([call, call]);
        assert.match(first, LINES);
        assert.equal(second, '');
      }
      assert.equal(lstatSync(note).mode & 0o777, 0o600);
      nothingLeft();
    });

    it('P3 is said to each of several processes', async () => {
      for (const said of await inARow([`(${plugin()}; exit $?)`, `(${plugin()}; exit $?)`])) assert.match(said, LINES);
    });

    it('P3 is said again for another cluster, another reason, and 2 s later', async () => {
      for (const said of await inARow([plugin(), plugin('prod'), plugin()])) assert.match(said, LINES);
      const other = `sed 's/logged out/too old/' '${record}' >'${record}.new'; chmod 600 '${record}.new'; mv '${record}.new' '${record}'`;
      for (const said of await inARow([plugin(), `${other}; ${plugin()}`])) assert.match(said, LINES);
      for (const shift of ['- 2000', '+ 60000']) {
        const bend = `read -r at sum <'${note}'; printf '%s %s\\n' "$((at ${shift}))" "$sum" >'${note}'`;
        for (const said of await inARow([plugin(), `${bend}; ${plugin()}`])) assert.match(said, LINES);
      }
    });

    it('P3 is said each time to a program that reads it itself', async () => {
      const calls: RunResult[] = [];
      const [program = '', ...words] = [...command, 'get-token', '--broker', KEY.broker, '--cluster', KEY.cluster];
      for (let i = 0; i < 2; i++) calls.push(await run(program, words, { env }));
      for (const { code, stderr } of calls) {
        assert.equal(code, 77);
        assert.match(stderr, LINES);
      }
      assert.ok(!existsSync(note));
    });

    it('P3 is said each time where a person typed it', async () => {
      const { stderr } = await run('/bin/sh', ['-c', `${plugin()}; ${plugin()}; exit 0`], {
        env: { ...env, KUBERNETES_EXEC_INFO: '' },
      });
      assert.equal(stderr.match(/^curfew: error: KUBERNETES_EXEC_INFO is not set$/gm)?.length, 2);
    });

    it('P3 is said each time where the note is not ours, and nothing is written through it', async () => {
      const victim = path.join(home, 'victim');
      const places: Readonly<Record<string, () => void>> = {
        link: () => symlinkSync(victim, note),
        'hard link': () => linkSync(victim, note),
        FIFO: () => void execFileSync('mkfifo', [note]),
        huge: () => writeFileSync(note, 'x'.repeat(1_000_000), { mode: 0o600 }),
        folder: () => mkdirSync(note),
      };
      for (const [name, place] of Object.entries(places)) {
        rmSync(note, { recursive: true, force: true });
        writeFileSync(victim, 'kept', { mode: 0o600 });
        place();
        const [said = ''] = await inARow([plugin()]);
        assert.match(said, LINES, name);
        assert.equal(readFileSync(victim, 'utf8'), 'kept', name);
        nothingLeft();
      }
    });
  });
