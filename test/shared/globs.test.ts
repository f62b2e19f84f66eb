// globMatches against a reference that is too slow to ship and too plain to be wrong.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { commonName, globMatches } from '../../shared/globs.ts';

function naive(glob: string, name: string): boolean {
  if (glob === '') return name === '';
  const [head, rest] = [glob[0], glob.slice(1)];
  if (head === '*') return naive(rest, name) || (name !== '' && naive(glob, name.slice(1)));
  return name !== '' && (head === '?' || head === name[0]) && naive(rest, name.slice(1));
}

const over = (alphabet: string[], maxLength: number) =>
  fc.array(fc.constantFrom(...alphabet), { maxLength }).map((characters) => characters.join(''));

test('globMatches agrees with the naive reference', () => {
  let matched = 0;
  fc.assert(
    fc.property(over(['a', 'b', '*', '?'], 8), over(['a', 'b'], 10), (glob, name) => {
      assert.equal(globMatches(glob, name), naive(glob, name));
      if (naive(glob, name)) matched++;
    }),
    { numRuns: 20_000 },
  );
  assert.ok(matched > 500, `matched only ${matched} times`);
});

test('globMatches agrees with the naive reference on every short glob and name', () => {
  const all = (alphabet: string[], longest: number): string[] =>
    longest === 0 ? [''] : ['', ...alphabet.flatMap((first) => all(alphabet, longest - 1).map((rest) => first + rest))];
  const names = all(['a', 'b'], 4);
  for (const glob of all(['a', 'b', '*', '?'], 4)) {
    for (const name of names) assert.equal(globMatches(glob, name), naive(glob, name), `${glob} on ${name}`);
  }
});

test('a star or a question mark in a name is a character like any other', () => {
  assert.ok(globMatches('a*', 'a*'));
  assert.ok(globMatches('a?', 'a*'));
  assert.ok(!globMatches('ab', 'a*'));
  assert.ok(!globMatches('ab', 'a?'));
});

test('what regular expressions make special is a plain character in a glob', () => {
  assert.ok(!globMatches('prod.eu', 'prod-eu'));
  assert.ok(!globMatches('[ab]', 'a'));
  assert.ok(!globMatches('^a$', 'a'));
  assert.ok(globMatches('a.(b)+', 'a.(b)+'));
});

test('a name without stars and question marks matches itself and nothing else', () => {
  fc.assert(
    fc.property(over(['a', 'b', '-', '0'], 12), over(['a', 'b', '-', '0'], 12), (glob, name) => {
      assert.equal(globMatches(glob, name), glob === name);
      assert.ok(globMatches(glob, glob));
    }),
  );
});

test('a glob full of stars answers on a long name without backtracking through every split', () => {
  assert.equal(globMatches(`${'*a'.repeat(200)}b`, 'a'.repeat(2000)), false);
});

test('commonName finds a name of both globs wherever there is one, and no other', () => {
  const all = (alphabet: string[], longest: number): string[] =>
    longest === 0 ? [''] : ['', ...alphabet.flatMap((first) => all(alphabet, longest - 1).map((rest) => first + rest))];
  const globs = [...new Set(all(['a', 'b', '*', '?'], 3))];
  const names = all(['a', 'b', 'x'], 4);
  let found = 0;
  for (const a of globs) {
    for (const b of globs) {
      const name = commonName(a, b);
      if (name !== undefined) {
        found++;
        assert.ok(globMatches(a, name) && globMatches(b, name), `${a}, ${b}: ${name}`);
      } else {
        assert.equal(
          names.find((one) => globMatches(a, one) && globMatches(b, one)),
          undefined,
          `${a}, ${b}`,
        );
      }
    }
  }
  assert.ok(found > 1000);
});

test('commonName of long globs full of stars answers', () => {
  assert.equal(commonName('*a'.repeat(31), `${'a*'.repeat(31)}b`), undefined);
  assert.equal(commonName('team-*', '*-prod'), 'team-prod');
});
