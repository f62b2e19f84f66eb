// The examples of docs/policy.md against the code: they load, explain as it says, and come out as it says.

import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { parse } from 'yaml';
import { loadCases, testCases } from '../../broker/commands/policy_cases.ts';
import { explainPolicy } from '../../broker/commands/policy_explain.ts';
import { parseQuestion, type TypedQuestion } from '../../broker/commands/policy_question.ts';
import { looserThan } from '../../broker/config/presets.ts';
import type { Config } from '../../broker/config/settings.ts';
import { parseDuration } from '../../shared/duration.ts';
import { plus, seconds } from '../../shared/time.ts';
import { type ConfigFiles, makeConfigFiles, SETTINGS } from '../broker/config_files.ts';
import { blocks, namesIn, read, rowsOf } from './documents.ts';

const TEXT = read('docs/policy.md');
const [RULES = '', POLICY = '', CASES = ''] = blocks(TEXT, 'yaml');
const [EXPLAIN = '', TEST = ''] = blocks(TEXT, 'console');
const [prod, dev] = SETTINGS.clusters;
const CLUSTERS = [
  { ...prod, allowed_groups: ['sre'], ceiling: undefined, webhook: { token_file: 'hook', on_failure: 'deny' } },
  dev,
];

let files: ConfigFiles;
let config: Config;
before(async () => {
  files = await makeConfigFiles();
  config = await load((parse(POLICY) as { policy: object }).policy);
});

function load(policy: object): Promise<Config> {
  const hook = Buffer.alloc(32, 1).toString('base64');
  return files.load({ clusters: CLUSTERS, policy }, { hook });
}

test('the rules load', async () => {
  const { limits } = (parse(POLICY) as { policy: { limits: object } }).policy;
  const { rules } = (await load({ limits, ...(parse(RULES) as object) })).policy;
  assert.deepEqual(
    rules.map(({ name, when }) => [name, when.uses_cluster]),
    [
      ['contractors', false],
      ['outside', false],
      ['night', false],
      ['gold', true],
    ],
  );
});

test('the expressions of the table are taken', async () => {
  const rows = rowsOf(TEXT, 'in an expression', 'gives');
  const whole = rows.flatMap(([first = '']) => namesIn(first)).filter((text) => / < |^"|^has|^user/.test(text));
  assert.equal(whole.length, 4);
  const { limits } = (parse(POLICY) as { policy: { limits: object } }).policy;
  const rules = whole.map((when, i) => ({ name: `r${i}`, when, limits: { max_age: '1h' } }));
  assert.equal((await load({ limits, rules })).policy.rules.length, 4);
});

test('policy explain says what stands there', () => {
  const [command = '', ...rest] = EXPLAIN.split(/\n(?=user )/);
  const words = [...command.matchAll(/--([\w-]+) (\S+)/g)].map(([, flag = '', value = '']) => [flag, value]);
  const { config: _, ...typed } = Object.fromEntries(words) as { config: string } & TypedQuestion;
  assert.equal(explainPolicy(config, parseQuestion(typed, seconds(0))).join('\n'), rest.join('\n').trimEnd());
});

test('policy test says what stands there', async () => {
  const cases = await loadCases('cases.yaml', async () => ({ text: CASES, mode: 0o644 }));
  const { lines, exit } = testCases(config, cases);
  assert.deepEqual(lines, [TEST.trimEnd().split('\n').at(-1)]);
  assert.equal(exit, 0);
});

test('the facts and expectations of a case are the ones that stand there', async () => {
  const documented = rowsOf(TEXT, 'in a case', 'type, default', 'meaning').flatMap(([first = '']) => namesIn(first));
  const strange = Object.fromEntries([...documented, 'strange'].map((key) => [key, {}]));
  const text = JSON.stringify({ cases: [strange] });
  const faults = await loadCases('cases.yaml', async () => ({ text, mode: 0o644 })).then(
    () => [],
    (error: Error) => error.message.split('\n').map((line) => line.trim()),
  );
  assert.deepEqual(
    faults.filter((fault) => fault.endsWith('unknown setting')),
    ['cases[0].strange: unknown setting'],
  );
  const known = new Set(faults.flatMap((fault) => /^cases\[0\]\.(\w+)/.exec(fault)?.[1] ?? []));
  assert.deepEqual([...known].sort(), [...documented, 'strange'].sort());
});

test('the presets are the ones that stand there, to the second', () => {
  const rows = rowsOf(TEXT, '`preset`', '`max_age` at most', '`inactivity_timeout` at most', 'clause');
  assert.equal(rows.length, 3);
  for (const [name = '', age, idle, clause = ''] of rows) {
    const [preset] = namesIn(name) as ['aal1' | 'aal2' | 'aal3'];
    const [max_age, inactivity_timeout] = [age, idle].map((text) => parseDuration(text) ?? seconds(366 * 86_400));
    assert.ok(max_age && inactivity_timeout);
    const limits = { max_age, inactivity_timeout, token_ttl: seconds(60) };
    assert.deepEqual(looserThan(preset, limits), []);
    const [fault = ''] = looserThan(preset, { ...limits, max_age: plus(max_age, seconds(1)) });
    assert.ok(fault.includes(`NIST SP 800-63B-4 ${clause}`), fault);
    const longer = looserThan(preset, { ...limits, inactivity_timeout: plus(inactivity_timeout, seconds(1)) });
    assert.equal(longer.length, idle === 'any' ? 0 : 1);
  }
});
