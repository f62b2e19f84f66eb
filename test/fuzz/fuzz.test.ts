// The corpus of the fuzzer is run again, and the fuzzer is seen to find what it is for.

import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, test } from 'node:test';
import { run } from '../../scripts/run.ts';
import { ROOT } from '../runner.ts';
import { chanceOf } from '../support/chance.ts';
import { readCorpus } from './corpus.ts';
import { type Finding, fuzz } from './fuzz.ts';
import { instrument } from './instrument.ts';
import { KNOWN } from './known.ts';
import { loadTargets, type Plant } from './load.ts';
import { minimise } from './minimise.ts';

const { seed } = chanceOf('fuzz');
console.log(`SEED=${seed}`);

const sound = await loadTargets();

describe('what was found to reach something new holds', () => {
  for (const [name, target] of Object.entries(sound.targets)) {
    test(name, async () => {
      const corpus = readCorpus(name);
      assert.ok(corpus.length > 0, 'it has a corpus');
      for (const input of [...target.seeds, ...corpus]) {
        await assert.doesNotReject(async () => target.run(input), JSON.stringify(input).slice(0, 1_000));
      }
    });
  }
});

describe('a bug that is planted is found within seconds', async () => {
  const plants: Readonly<Record<string, Plant & { readonly what: string }>> = {
    form: {
      ...{ what: 'a repeated parameter is taken', file: 'broker/http/form.ts' },
      ...{ from: 'if (form.has(name))', to: 'if (form.size < 0)' },
    },
    logout_token: {
      ...{ what: 'a JWS with crit is taken', file: 'broker/upstream/logout_token.ts' },
      ...{ from: 'must(crit === undefined,', to: 'must(crit !== null,' },
    },
    target: {
      ...{ what: 'a path ends at #', file: 'gateway/request/target.ts' },
      ...{ from: "url.indexOf('?')", to: 'url.search(/[?#]/)' },
    },
  };
  const planted = await loadTargets(Object.values(plants));
  // Without the corpus, which knows the way there.
  const search = async (name: string): Promise<Finding | undefined> => {
    const { findings } = await fuzz(planted, name, { ms: 120_000, seed, stop: true, corpus: [] });
    return findings[0];
  };
  for (const [name, { what }] of Object.entries(plants)) {
    test(`${name}: ${what}`, async () => {
      const finding = await search(name);
      assert.ok(finding, `SEED=${seed}`);
      console.log(`${name}: seed ${seed}, run ${finding.runs}: ${JSON.stringify(finding.input)}`);
      await assert.rejects(async () => planted.targets[name]?.run(finding.input));
      await assert.doesNotReject(async () => sound.targets[name]?.run(finding.input));
    });
  }

  test('a finding that is known is counted and ends nothing; another one of the same target is found', async () => {
    const [says, reason] = ['a repeated parameter is taken', 'to see that it is passed over'];
    const known = [{ target: 'form', says, place: 'run', reason }];
    const { findings, known: met } = await fuzz(planted, 'form', {
      ms: 3_000,
      seed,
      stop: false,
      corpus: readCorpus('form'),
      known,
    });
    assert.ok((met.get(known[0] as (typeof known)[0]) ?? 0) > 0);
    assert.ok(findings.every(({ error }) => !error.message.startsWith(says)));
    for (const other of [{ target: 'target' }, { says: 'another' }, { place: 'elsewhere' }]) {
      const { findings: seen } = await fuzz(planted, 'form', {
        ms: 120_000,
        seed,
        stop: true,
        corpus: [],
        known: [{ ...known[0], ...other } as (typeof known)[0]],
      });
      assert.match(seen[0]?.error.message ?? '', /repeated parameter|other parameters/);
    }
    for (const { target, reason: why } of KNOWN) assert.ok(target in planted.targets && why !== '');
  });

  test('with the same seed it is found again, in the same run', async () => {
    const [one, other] = [await search('form'), await search('form')];
    assert.ok(one && other);
    assert.deepEqual([one.runs, one.input], [other.runs, other.input]);
  });
});

test('what is found is made small', async () => {
  const isFound = async (input: string) => input.includes('b') && input.includes('f');
  assert.equal(await minimise(`${'a'.repeat(500)}b${'c'.repeat(300)}f`, isFound), 'bf');
});

test('a source with counters does the same, and counts each branch', () => {
  const { code, count, words } = instrument(
    `const say = (n, ...rest) => { if (n === 'one') return 1; else return n ? rest.length : -1; };
    result.push(say('one'), say('two', 3), say(''));`,
  );
  const [hit, result] = [new Uint8Array(count), [] as number[]];
  new Function('__hit', '__same', 'result', code)(hit, Object.is, result);
  assert.deepEqual(result, [1, 1, -1]);
  assert.deepEqual([...hit].toSorted(), [1, 1, 1, 2, 3]);
  assert.ok(words.has('one') && words.has('length'));
});

test('a target that is not there is a usage error, and the targets are named', async () => {
  const { code, stderr } = await run(process.execPath, [path.join(ROOT, 'test/fuzz/main.ts'), 'nothing']);
  assert.equal(code, 64);
  assert.match(stderr, /there is no nothing\n.*choose from: .*\bform\b.*\btarget\b/);
});
