// The presets: what NIST SP 800-63B-4 allows at each level is taken, and a second more is refused by its path.

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import fc from 'fast-check';
import { looserThan, type Preset } from '../../broker/config/presets.ts';
import { combine } from '../../shared/limits.ts';
import { seconds } from '../../shared/time.ts';
import { limits, wholeLimits } from '../shared/arbitraries.ts';
import { type ConfigFiles, makeConfigFiles, SETTINGS } from './config_files.ts';

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** The clauses, in seconds; 800-63B-4 asks for no inactivity timeout at AAL1. */
const LEVELS = [
  { preset: 'aal1', max_age: 30 * DAY, inactivity_timeout: undefined, clause: '2.1.3' },
  { preset: 'aal2', max_age: 24 * HOUR, inactivity_timeout: HOUR, clause: '2.2.3' },
  { preset: 'aal3', max_age: 12 * HOUR, inactivity_timeout: 15 * MINUTE, clause: '2.3.3' },
] as const;

let config: ConfigFiles;
before(async () => {
  config = await makeConfigFiles();
});

const policy = (preset: Preset | undefined, lengths: object, ...segments: object[]) => ({
  clusters: [SETTINGS.clusters[1]],
  policy: { ...(preset && { preset }), limits: { token_ttl: '1m', ...lengths }, segments },
});

for (const { preset, max_age, inactivity_timeout, clause } of LEVELS) {
  const longest = { max_age: `${max_age}s`, inactivity_timeout: `${inactivity_timeout ?? 20 * DAY}s` };

  describe(preset, () => {
    test('takes the longest that its clause allows', async () => {
      assert.deepEqual(await config.faults(policy(preset, longest)), []);
      assert.equal((await config.load(policy(preset, longest))).policy.preset, preset);
    });

    test('refuses a max_age that is a second longer, and says which clause', async () => {
      const [fault = '', ...more] = await config.faults(policy(preset, { ...longest, max_age: `${max_age + 1}s` }));
      assert.deepEqual(more, []);
      assert.match(fault, /^policy\.limits: max_age .* is longer than the /);
      assert.ok(fault.includes(`of ${preset} (NIST SP 800-63B-4 ${clause})`), fault);
    });

    test(`${inactivity_timeout === undefined ? 'asks for no' : 'refuses an'} inactivity_timeout a second longer`, async () => {
      const longer = `${(inactivity_timeout ?? 30 * DAY) + 1}s`;
      const faults = await config.faults(policy(preset, { ...longest, inactivity_timeout: longer }));
      assert.equal(faults.length, inactivity_timeout === undefined ? 0 : 1);
      for (const fault of faults) assert.match(fault, /^policy\.limits: inactivity_timeout .* is longer than the /);
    });

    test('of a segment judges what holds there: its limits with those of the policy', async () => {
      const segment = (more: object) => ({ name: 'vault', preset, match: { clusters: ['dev'] }, limits: more });
      const loose = { max_age: '366d', inactivity_timeout: '366d' };
      assert.deepEqual(await config.faults(policy(undefined, loose, segment(longest))), []);
      assert.deepEqual(await config.faults(policy(undefined, longest, segment({ token_ttl: '30s' }))), []);
      const long = { ...longest, max_age: `${max_age + 1}s` };
      const [fault = '', ...more] = await config.faults(policy(undefined, loose, segment(long)));
      assert.deepEqual(more, []);
      assert.match(fault, /^policy\.segments\[0\]\.limits: max_age .* is longer than the /);
    });
  });
}

test('both limits that are looser are named, of the policy and of a segment', async () => {
  const loose = { max_age: '366d', inactivity_timeout: '366d' };
  const segment = { name: 'vault', preset: 'aal3', match: { clusters: ['dev'] }, limits: { token_ttl: '30s' } };
  const faults = await config.faults(policy('aal2', loose, segment));
  assert.deepEqual(
    faults.map((fault) => fault.split(' ', 2).join(' ')),
    [
      'policy.limits: max_age',
      'policy.limits: inactivity_timeout',
      'policy.segments[0].limits: max_age',
      'policy.segments[0].limits: inactivity_timeout',
    ],
  );
});

test('a preset that nobody knows is refused by its path', async () => {
  const faults = await config.faults(policy('aal4' as Preset, { max_age: '1h', inactivity_timeout: '30m' }));
  assert.deepEqual(faults, ['policy.preset: expected "aal1" or "aal2" or "aal3", got "aal4"']);
});

test('what a level allows, tightening never takes out of it, and a stricter level allows no more', () => {
  fc.assert(
    fc.property(wholeLimits, limits, (whole, extra) => {
      for (const { preset } of LEVELS) {
        if (looserThan(preset, whole).length === 0) assert.deepEqual(looserThan(preset, combine(whole, extra)), []);
      }
      const [one, two, three] = LEVELS.map(({ preset }) => looserThan(preset, whole).length);
      assert.ok(one !== undefined && two !== undefined && three !== undefined && one <= two && two <= three);
    }),
  );
  assert.deepEqual(
    looserThan('aal3', { max_age: seconds(1), inactivity_timeout: seconds(1), token_ttl: seconds(1) }),
    [],
  );
});
