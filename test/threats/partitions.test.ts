// Partitions, as the kernel makes them: packets between brokers and database, gateway and brokers, gateway and API server, brokers and identity
// provider are lost without a word, on their way there or back, while people work. In a network of its own. SEED=NUMBER goes the same way again.

import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, test } from 'node:test';
import { run } from '../../scripts/run.ts';
import { isLong } from '../counts.ts';
import { chanceOf } from '../support/chance.ts';
import type { Found } from '../support/partition_main.ts';
import { DATABASES } from '../support/stores.ts';

const SECONDS = Number(process.env.SOAK_SECONDS ?? (isLong ? 300 : 8));
const SEED = process.env.SEED ? Number(process.env.SEED) : isLong ? chanceOf('partitions').seed : 3;
const PROGRAM = path.join(import.meta.dirname, '..', 'support', 'partition_main.ts');

/** Beneath the table of what is local, so that a rule may come before it. */
const NETWORK = 'ip link set lo up && ip rule add pref 100 lookup local && ip rule del pref 0 && exec "$@"';
/** Whoever is not root is nobody else in it, and may set up its network all the same. */
const OWN = process.getuid?.() === 0 ? ['--net'] : ['--user', '--net', '--map-current-user', '--keep-caps'];

describe('partitions', { concurrency: true }, () => {
  for (const database of isLong ? DATABASES : (['postgres'] as const))
    test(`F6 G2 ${database}: ${SECONDS} s of partitions under load: each heals by itself, and what was acknowledged holds (I1, I2, I3, I6)`, async (context) => {
      const words = [...OWN, 'sh', '-c', NETWORK, 'sh', process.execPath, PROGRAM, database, `${SEED}`, `${SECONDS}`];
      const { code, stdout, stderr } = await run('unshare', words, { timeout: 3_000_000 });
      assert.equal(code, 0, stderr.slice(-3_000));
      const { faults, steps, acknowledged, counts, slowest }: Found = JSON.parse(stdout);
      for (const step of steps) context.diagnostic(step);
      context.diagnostic(JSON.stringify({ seed: SEED, ...acknowledged, ...counts }));
      context.diagnostic(`the slowest to heal: ${slowest.fault}, ${Math.round(slowest.ms)} ms`);
      assert.deepEqual(faults, [], `SEED=${SEED}`);
      assert.ok(steps.length > 0 && acknowledged.logins > 0 && acknowledged.ends > 0, JSON.stringify(acknowledged));
    });
});
