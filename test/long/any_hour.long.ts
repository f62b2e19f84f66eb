// What is told to a person, at instants and in zones where days, months and clocks change: the tests of the plugin's words once
// more, with their clock bent and all programs that they start with them.

import assert from 'node:assert/strict';
import { globSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { run } from '../../scripts/run.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
const WORDS = ['commands', 'session', 'setup', 'prompt', 'sessions', 'revalidate', 'instant'];
const [LIBRARY] = globSync('/usr/lib/*/faketime/libfaketime.so.1');
assert.ok(LIBRARY, 'libfaketime is missing (Debian: libfaketime)');

/** When each begins. A run of the tests of words takes a few minutes: what is to happen happens during it. */
const SCENES = [
  ['an ordinary noon', 'UTC', '2027-06-15T12:00:00Z'],
  ['midnight', 'UTC', '2027-06-15T23:58:30Z'],
  ['the last minutes of a year', 'America/New_York', '2028-01-01T04:58:30Z'],
  ['into a leap day', 'UTC', '2028-02-28T23:58:30Z'],
  ['out of a leap day', 'UTC', '2028-02-29T23:58:30Z'],
  ['summer time begins', 'Europe/Berlin', '2027-03-28T00:58:30Z'],
  ['summer time ends', 'Europe/Berlin', '2027-10-31T00:58:30Z'],
  ['summer time of half an hour', 'Australia/Lord_Howe', '2027-10-02T15:28:30Z'],
  ['a zone with half an hour, before midnight', 'Asia/Kolkata', '2027-06-15T18:28:30Z'],
  ['a zone with three quarters, before midnight', 'Asia/Kathmandu', '2027-06-15T18:13:30Z'],
] as const;

describe('the words of the plugin hold', () => {
  for (const [what, zone, begin] of SCENES) {
    it(what, async () => {
      const offset = Math.round((Date.parse(begin) - Date.now()) / 1000);
      const files = WORDS.map((name) => `test/cli/${name}.test.ts`);
      const { NODE_TEST_CONTEXT: _, ...rest } = process.env;
      const env = {
        ...{ ...rest, TZ: zone, LD_PRELOAD: LIBRARY, FAKETIME: `${offset >= 0 ? '+' : ''}${offset}` },
        FAKETIME_DONT_FAKE_MONOTONIC: '1',
      };
      const { code, stdout } = await run(process.execPath, ['--test', '--test-concurrency=2', ...files], {
        ...{ env, cwd: ROOT, timeout: 1_200_000 },
      });
      assert.equal(code, 0, stdout.slice(stdout.indexOf('failing tests')));
    });
  }
});
