// The native program's engine gives the answers that Node.js gives: the vectors, and what the warm path is made of.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { before, describe, it } from 'node:test';
import { build } from 'esbuild';
import fc from 'fast-check';
import { scanKubeconfig } from '../../cli/warm/kubeconfig_scan.ts';
import { brokerKey, fileName, plainBrokerKey } from '../../cli/warm/paths.ts';
import { buildEvaluator } from '../../scripts/native/build.ts';
import { run } from '../../scripts/run.ts';
import { temporaryFolder } from '../cli/host.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');

describe('on the engine of the native program', () => {
  let evaluator: string;
  before(async () => {
    evaluator = await buildEvaluator(temporaryFolder('evaluate'));
  });

  /** What a module's text gives as `output` when it is bundled and run there. */
  const evaluate = async (contents: string): Promise<unknown> => {
    const { outputFiles } = await build({
      stdin: { contents, resolveDir: ROOT, loader: 'ts' },
      ...{ bundle: true, write: false, minify: true, format: 'iife', platform: 'neutral', target: 'es2023' },
      logLevel: 'error',
    });
    const { code, stdout, stderr } = await run(evaluator, [], { input: outputFiles?.[0]?.text ?? '' });
    assert.equal(code, 0, stderr);
    return JSON.parse(stdout);
  };

  it('each vector has its verdict', async () => {
    const file = JSON.parse(readFileSync(path.join(ROOT, 'test/vectors/decide.json'), 'utf8'));
    const verdicts = await evaluate(`
      import { decide } from './shared/decide.ts';
      import { resolveLimits, withYields } from './shared/policy.ts';
      const { policies, vectors } = ${JSON.stringify(file)};
      globalThis.output = JSON.stringify(vectors.map(({ policy, target, further = [], yields = [], session, now }) =>
        decide(withYields(resolveLimits(policies[policy], target, ...further), target, yields), session, now)));`);
    assert.ok(Array.isArray(verdicts) && verdicts.length >= 80);
    assert.deepEqual(
      verdicts,
      file.vectors.map(({ verdict }: { verdict: unknown }) => verdict),
    );
  });

  it('names of files, keys of brokers, contexts of kubeconfig and times are what they are on Node.js', async () => {
    const texts = fc.sample(fc.oneof(fc.string(), fc.string({ unit: 'grapheme' }), fc.webUrl()), 300);
    const urls = fc.sample(plainUrl, 300);
    const given = await evaluate(`
      import { fileName, plainBrokerKey } from './cli/warm/paths.ts';
      import { scanKubeconfig } from './cli/warm/kubeconfig_scan.ts';
      const [texts, urls, files] = ${JSON.stringify([texts, urls, KUBECONFIGS])};
      globalThis.output = JSON.stringify({
        names: texts.map((text) => fileName(text, 'x'.repeat(100), text)),
        keys: urls.map((url) => plainBrokerKey(url) ?? null),
        contexts: files.map((file) => scanKubeconfig(file) ?? null),
        time: new Date(1800000000 * 1000).toISOString(),
      });`);
    assert.deepEqual(given, {
      names: texts.map((text) => fileName(text, 'x'.repeat(100), text)),
      keys: urls.map((url) => plainBrokerKey(url) ?? null),
      contexts: JSON.parse(JSON.stringify(KUBECONFIGS.map((file) => scanKubeconfig(file) ?? null))),
      time: '2027-01-15T08:00:00.000Z',
    });
  });
});

const label = fc.stringMatching(/^[a-z0-9-]{1,12}$/);
const plainUrl = fc
  .tuple(
    fc.constantFrom('https://', 'http://'),
    fc.oneof(
      fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join('.')),
      fc.ipV4(),
      fc.ipV4Extended(),
      fc.constantFrom('xn--nxasmq6b', 'xn--a', '1.2.3', '256.1.1.1', '0x7f.1', '010.0.0.1', 'localhost', 'a.0x'),
    ),
    fc.oneof(
      fc.constant(''),
      fc.integer({ min: 0, max: 70_000 }).map((port) => `:${port}`),
      fc.constantFrom(':443', ':80', ':'),
    ),
    fc.oneof(
      fc.constant(''),
      fc.stringMatching(/^(\/[A-Za-z0-9._~-]{0,6}){0,3}$/),
      fc.constantFrom('/', '/a//', '/./', '/..', '/a/../b'),
    ),
  )
  .map((parts) => parts.join(''));

const KUBECONFIGS = [
  'apiVersion: v1\ncurrent-context: prod-eu\nkind: Config\n',
  'current-context: "prod eu"\n',
  "current-context: 'it''s'   # mine\n",
  'current-context: dev # comment\r\nkind: Config\r\n',
  'current-context: ""\n',
  'users: []\n',
  '{"apiVersion": "v1", "current-context": "from-json"}',
  'contexts:\n- name: current-context: no\n',
  'current-context:\tdev\n',
];

describe('the key of a broker', () => {
  it('is the same without URL, wherever that is plain enough', () => {
    let plain = 0;
    fc.assert(
      fc.property(plainUrl, (url) => {
        const key = plainBrokerKey(url);
        if (key === undefined) return;
        plain += 1;
        assert.equal(key, new URL(url).href.replace(/\/+$/, ''));
        assert.equal(brokerKey(key), key);
      }),
      { numRuns: 5_000 },
    );
    assert.ok(plain > 1_000, `${plain}`);
  });

  it('is plain for what people write', () => {
    for (const url of [
      'https://curfew.example.com',
      'https://10.0.0.1:8443/',
      'http://127.0.0.1:1',
      'https://a.b/curfew',
    ])
      assert.equal(plainBrokerKey(url), url.replace(/\/$/, ''));
  });
});
