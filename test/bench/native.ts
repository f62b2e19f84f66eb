// The native program by itself: its size, its memory, and a refusal against a cache hit.

import { statSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import path from 'node:path';
import { brokerKey } from '../../cli/warm/paths.ts';
import { buildPeak } from '../../scripts/native/build.ts';
import { run } from '../../scripts/run.ts';
import { installNative } from '../native/launcher.ts';
import type { Bench } from './figure.ts';
import { BROKER, EXEC_INFO, writeCacheEntry } from './get_token.ts';
import { type Command, compare, timeBoth } from './pairs.ts';

const PAIRS = 200;
const MIB = 1024 * 1024;
/** Seconds: more than the longest limit that an entry has here. */
const TOO_OLD = 100_000;

export const native: Bench = {
  figures: [
    {
      name: 'native.rss_mib',
      unit: 'MiB',
      aim: { at_most: 12 },
      says: 'the most memory that the native program has while it prints a cached token',
    },
    { name: 'native.binary_mib', unit: 'MiB', aim: { at_most: 3 }, says: 'the file of the native program (Linux x64)' },
    {
      name: 'native.warm_over_true_ms',
      unit: 'ms',
      aim: { at_most: 0.5 },
      says: 'a cached token through the native program, whole process, less what /bin/true takes',
    },
    {
      name: 'refusal.vs_warm',
      unit: 'ratio',
      aim: { at_most: 1.1 },
      says: 'a refusal without a terminal (login too old) against a cached token, whole process, native',
    },
  ],
  async run({ folder: parent, quick, log }) {
    const folder = await mkdtemp(path.join(parent, 'native-'));
    const [program] = (await installNative(path.join(folder, 'bin'))).command;
    const commandFor = (name: string, age: number): Command => {
      const home = path.join(folder, name);
      const env = {
        HOME: home,
        CURFEW_CACHE_DIR: path.join(home, 'cache'),
        CURFEW_CONFIG_DIR: path.join(home, 'config'),
      };
      writeCacheEntry({ broker: brokerKey(BROKER), cluster: 'dev' }, env, age);
      const args = ['get-token', '--broker', BROKER, '--cluster', 'dev'];
      return { command: program, args, env: { ...env, KUBERNETES_EXEC_INFO: EXEC_INFO } };
    };
    const warm = commandFor('warm', 0);
    const refused = { ...commandFor('refused', TOO_OLD), status: 77 };
    const peak = await run(await buildPeak(folder, log), [warm.command, ...warm.args], { env: warm.env });
    if (peak.code !== 0) throw new Error(`the native program ended with ${peak.code}: ${peak.stderr}`);
    const name = ['a refusal', 'a cached token'] as const;
    const nothing = { command: '/bin/true', args: [], env: {} };
    const pairs = quick ? 3 : 2 * PAIRS;
    const [took, least] = await timeBoth(warm, nothing, { pairs, name: ['a cached token', '/bin/true'], log });
    return {
      'native.rss_mib': Number(peak.stderr) / 1024,
      'native.binary_mib': statSync(program).size / MIB,
      'native.warm_over_true_ms': took - least,
      'refusal.vs_warm': await compare(refused, warm, { pairs: quick ? 3 : PAIRS, name, log }),
    };
  },
};
