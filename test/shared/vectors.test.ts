// Runs test/vectors/decide.json: the engine's answers, reasoned by hand, to the second.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { decide, REASONS } from '../../shared/decide.ts';
import type { Limits } from '../../shared/limits.ts';
import { type Policy, resolveLimits, type Target, withYields, type Yield } from '../../shared/policy.ts';
import { END_REASONS, type SessionFacts } from '../../shared/session.ts';
import { isSeconds, type Seconds } from '../../shared/time.ts';

interface Vector {
  readonly name: string;
  readonly policy: string;
  readonly target: Target;
  readonly further?: readonly Limits[];
  readonly yields?: readonly Yield[];
  readonly session: SessionFacts;
  readonly now: Seconds;
  readonly segment?: string;
  readonly verdict: Readonly<Record<string, unknown>>;
}

interface VectorFile {
  readonly format: readonly string[];
  readonly policies: Readonly<Record<string, Policy>>;
  readonly vectors: readonly Vector[];
}

const { format, policies, vectors } = read(new URL('../vectors/decide.json', import.meta.url));

test('the vectors are there, say how to be run, and have a name each', () => {
  assert.ok(vectors.length >= 80, `found ${vectors.length}`);
  assert.ok(format.length > 0);
  assert.equal(new Set(vectors.map((vector) => vector.name)).size, vectors.length);
});

test('the vectors use every policy, every reason and every end_reason', () => {
  assert.deepEqual(new Set(vectors.map((vector) => vector.policy)), new Set(Object.keys(policies)));
  const reasons = vectors.map((vector) => vector.verdict.reason).filter((reason) => reason !== undefined);
  assert.deepEqual(new Set(reasons), new Set(REASONS));
  const ends = vectors.map((vector) => vector.verdict.end_reason).filter((reason) => reason !== undefined);
  assert.deepEqual(new Set(ends), new Set(END_REASONS));
});

for (const vector of vectors) {
  test(vector.name, () => {
    const policy = policies[vector.policy];
    assert.ok(policy, `no policy ${vector.policy}`);
    const given = resolveLimits(policy, vector.target, ...(vector.further ?? []));
    const resolved = withYields(given, vector.target, vector.yields ?? []);
    assert.deepEqual(decide(resolved, vector.session, vector.now), vector.verdict);
    assert.equal(resolved.segment, vector.segment);
  });
}

function read(url: URL): VectorFile {
  return JSON.parse(readFileSync(url, 'utf8'), (key, value: unknown) => {
    if (typeof value === 'number') assert.ok(isSeconds(value), `${key}: not whole seconds: ${value}`);
    return value;
  }) as VectorFile;
}
