// The native program with each access to memory checked, and what C leaves undefined: over the corpus of what the plugin reads, and what
// comes of it by mutation. Needs a C compiler with libraries for that (`CC`, or `cc`).

import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { checksum } from '../../cli/warm/checksum.ts';
import { entryName } from '../../cli/warm/entry.ts';
import { fileName } from '../../cli/warm/paths.ts';
import { buildChecked } from '../../scripts/native/build.ts';
import { type RunResult, run } from '../../scripts/run.ts';
import { execInfo } from '../cli/desk.ts';
import { KEY } from '../cli/entries.ts';
import { temporaryFolder } from '../cli/host.ts';
import { readCorpus } from '../fuzz/corpus.ts';
import { mutator } from '../fuzz/mutate.ts';
import { bytesOf } from '../fuzz/target.ts';
import { plugin } from '../fuzz/targets/plugin.ts';
import { chanceOf } from '../support/chance.ts';

const SECONDS = Number(process.env.NATIVE_SECONDS ?? 300);
/** What may be there in place of what belongs there. */
const PLACES = ['entry', 'record', 'settings', 'exec_info', 'full', 'argument', 'kubeconfig'] as const;
type Place = (typeof PLACES)[number];

const CORPORA: Readonly<Record<Place, readonly string[]>> = {
  entry: ['cache_file', 'cache_entry'],
  record: ['session_record'],
  settings: ['settings'],
  exec_info: ['exec_info'],
  full: ['broker_key'],
  argument: ['broker_key', 'duration'],
  kubeconfig: ['kubeconfig_scan'],
};

const chance = chanceOf('native_checked');
const mutate = mutator(chance, [[], ['\0', '/', '\n', 'constructor', '__proto__', '\\ud800']], new Map());

describe(`the native program under checks (SEED=${chance.seed})`, () => {
  let program: string;
  const home = temporaryFolder('checked');
  const folders = { cache: path.join(home, 'cache'), config: path.join(home, '.config/curfew') };
  const files: Readonly<Record<Exclude<Place, 'exec_info' | 'argument'>, string>> = {
    entry: path.join(folders.cache, entryName(KEY)),
    record: path.join(folders.config, 'sessions', `${fileName(KEY.broker)}.json`),
    settings: path.join(folders.config, 'config.json'),
    full: path.join(home, 'kubectl-curfew.full'),
    kubeconfig: path.join(home, 'kubeconfig'),
  };
  before(async () => {
    program = await buildChecked(home, process.env.CC ?? 'cc');
    for (const file of Object.values(files)) mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
    mkdirSync(folders.cache, { recursive: true, mode: 0o700 });
  });

  const inputsOf = (place: Place) =>
    CORPORA[place].flatMap((name) => [...(plugin[name]?.seeds ?? []), ...readCorpus(name)]);
  const inputs = Object.fromEntries(PLACES.map((place) => [place, inputsOf(place)])) as {
    readonly [place in Place]?: readonly string[];
  };

  /** What is there besides is fit. */
  function put(
    place: Place,
    input: string,
  ): { readonly args: readonly string[]; readonly env: Readonly<Record<string, string>> } {
    const plain = (name: Place) => inputs[name]?.[0] ?? '';
    const contentOf = (name: Place) => (name === place ? bytesOf(input) : bytesOf(plain(name)));
    for (const name of ['entry', 'record', 'settings', 'kubeconfig'] as const)
      writeFileSync(files[name], contentOf(name), { mode: 0o600 });
    const ends = place === 'full' ? bytesOf(input) : '/bin/true\n/bin/true\n';
    writeFileSync(files.full, ends, { mode: 0o600 });
    chmodSync(files.full, 0o600);
    const text = input.replaceAll('\0', '').slice(0, 100_000);
    const words = place === 'argument' ? text.split(/[\n ]/).slice(0, 20) : [];
    const command = chance.pick([
      ['get-token', '--broker', KEY.broker, '--cluster', KEY.cluster, ...words],
      ['get-token', ...words, `--broker=${place === 'argument' ? text : KEY.broker}`, '--cluster', KEY.cluster],
      ['status', '--prompt'],
      ['get-token', '--broker', KEY.broker, '--cluster', KEY.cluster, '--max-age', words[0] ?? '15m'],
    ]);
    return {
      args: command ?? [],
      env: { KUBERNETES_EXEC_INFO: place === 'exec_info' ? text : execInfo(chance.below(2) === 0) },
    };
  }

  async function tried(place: Place, input: string): Promise<void> {
    const { args, env } = put(place, input);
    const result: RunResult = await run(program, args, {
      env: {
        ...{ HOME: home, CURFEW_CACHE_DIR: folders.cache, KUBECONFIG: files.kubeconfig, ...env },
        // Nothing is freed: the process ends.
        ...{
          ASAN_OPTIONS: 'detect_leaks=0:abort_on_error=0:exitcode=99',
          UBSAN_OPTIONS: 'print_stacktrace=1:exitcode=99',
        },
      },
    });
    const what = `${place} ${JSON.stringify(input).slice(0, 2_000)} ${JSON.stringify(args)}`;
    assert.doesNotMatch(result.stderr, /Sanitizer|runtime error:/, what);
    assert.ok(result.code !== null && result.code !== 99, `${what}: ${result.code} ${result.stderr}`);
    assert.ok(result.stdout === '' || result.stdout.endsWith('\n'), `${what}: ${result.stdout}`);
  }

  test('that is off by one is seen: the checks are there', async () => {
    const file = path.join(home, 'wrong.c');
    writeFileSync(
      file,
      'int main(int argc, char **argv) { char *a = __builtin_malloc(4); (void)argv; return a[argc + 3]; }',
    );
    const wrong = path.join(home, 'wrong');
    const built = await run(process.env.CC ?? 'cc', ['-fsanitize=address,undefined', '-o', wrong, file]);
    assert.equal(built.code, 0, built.stderr);
    assert.match((await run(wrong, [])).stderr, /AddressSanitizer: heap-buffer-overflow/);
  });

  test('over the corpus', async () => {
    let count = 0;
    for (const place of PLACES) {
      for (const input of inputs[place] ?? []) {
        await tried(place, input);
        // An attacker can make the sum that would be right, too.
        const head = input.slice(0, -1);
        if (place === 'entry') await tried(place, `${head},"sum":"${checksum(head)}"}`);
        count += 1;
      }
    }
    assert.ok(count > 100, `${count} inputs`);
  });

  test(`mutated, for ${SECONDS} s`, async () => {
    const end = performance.now() + SECONDS * 1_000;
    let count = 0;
    const work = async () => {
      while (performance.now() < end) {
        const place = chance.pick(PLACES) ?? 'entry';
        const [source = '', other = ''] = [chance.pick(inputs[place] ?? []), chance.pick(inputs[place] ?? [])];
        let input = mutate(source, other);
        if (place === 'entry' && chance.below(2) === 0)
          input = `${input.slice(0, -1)},"sum":"${checksum(input.slice(0, -1))}"}`;
        await tried(place, input);
        count += 1;
      }
    };
    // The files are one set: one after the other.
    await work();
    process.stdout.write(`# ${count} runs on ${os.availableParallelism()} cores\n`);
    assert.ok(count > 0);
  });
});
