// Properties of combining limits and of resolving a target's.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { combine, type Limits, type WholeLimits } from '../../shared/limits.ts';
import { resolveLimits } from '../../shared/policy.ts';
import { seconds } from '../../shared/time.ts';
import { further, limits, policy, segment, target } from './arbitraries.ts';

test('combine is commutative', () => {
  fc.assert(fc.property(limits, limits, (a, b) => assert.deepEqual(combine(a, b), combine(b, a))));
});

test('combine is associative', () => {
  fc.assert(
    fc.property(limits, limits, limits, (a, b, c) =>
      assert.deepEqual(combine(a, combine(b, c)), combine(combine(a, b), c)),
    ),
  );
});

test('combine is idempotent', () => {
  fc.assert(
    fc.property(limits, limits, (a, b) => {
      assert.deepEqual(combine(a, a), a);
      const both = combine(a, b);
      assert.deepEqual(combine(both, both), both);
      assert.deepEqual(combine(both, a), both);
    }),
  );
});

test('limits that say nothing are neutral, be they absent or undefined', () => {
  const nothing: Limits = { max_age: undefined, inactivity_timeout: undefined, token_ttl: undefined, acr: undefined };
  fc.assert(
    fc.property(limits, (a) => {
      for (const none of [{}, nothing]) {
        assert.deepEqual(combine(a, none), a);
        assert.deepEqual(combine(none, a), a);
      }
    }),
  );
});

test('the order and repetition of acr values do not matter', () => {
  assert.deepEqual(combine({ acr: ['b', 'a', 'b'] }, {}), { acr: ['a', 'b'] });
  assert.deepEqual(combine({ acr: ['c', 'b', 'b'] }, { acr: ['b', 'a', 'c'] }), { acr: ['b', 'c'] });
});

test('two acr sets without a common value combine to the empty set, not to no limit', () => {
  assert.deepEqual(combine({ acr: ['a'] }, { acr: ['b'] }), { acr: [] });
  assert.deepEqual(combine({ acr: [] }, { acr: ['b'] }), { acr: [] });
});

test('a combination is no looser than either side', () => {
  fc.assert(
    fc.property(limits, limits, (a, b) => {
      assertNoLooser(combine(a, b), a);
      assertNoLooser(combine(a, b), b);
    }),
  );
});

test("a target's limits are never looser than session-wide, than a matching segment's, or than further ones", () => {
  fc.assert(
    fc.property(policy, target, further, (policy, target, further) => {
      const resolved = resolveLimits(policy, target, ...further);
      assert.deepEqual(resolved.session, policy.limits);
      assertNoLooser(resolved.target, policy.limits);
      for (const limits of further) assertNoLooser(resolved.target, limits);
      for (const segment of policy.segments) {
        const all = { ...segment, match: { clusters: ['*'] } };
        const alone = resolveLimits({ limits: policy.limits, segments: [all] }, { cluster: 'any' });
        assertNoLooser(alone.target, segment.limits);
      }
    }),
  );
});

test('order and repetition of segments do not matter, nor of further limits', () => {
  const shuffled = fc.tuple(policy, further).chain(([policy, further]) =>
    fc.tuple(
      fc.constant(policy),
      fc.constant(further),
      reordered(policy.segments).map((segments) => ({ ...policy, segments })),
      reordered(further),
    ),
  );
  fc.assert(
    fc.property(shuffled, target, ([policy, further, again, furtherAgain], target) =>
      assert.deepEqual(resolveLimits(again, target, ...furtherAgain), resolveLimits(policy, target, ...further)),
    ),
    { numRuns: 500 },
  );
});

test('without a cluster no segment applies', () => {
  fc.assert(
    fc.property(policy, (policy) => {
      assert.deepEqual(resolveLimits(policy, {}), { session: policy.limits, target: policy.limits });
    }),
  );
});

test('a segment that does not match changes nothing', () => {
  fc.assert(
    fc.property(policy, segment, target, (policy, other, target) => {
      const apart = { ...other, match: { clusters: ['elsewhere-*'] } };
      const more = { ...policy, segments: [apart, ...policy.segments] };
      assert.deepEqual(resolveLimits(more, target), resolveLimits(policy, target));
    }),
  );
});

test('the segment named is the one with the longest literal text in a glob that matches, the first by name among equals', () => {
  const whole: WholeLimits = { max_age: seconds(9), inactivity_timeout: seconds(9), token_ttl: seconds(9) };
  const named = (...segments: [string, string[]][]) =>
    resolveLimits(
      { limits: whole, segments: segments.map(([name, clusters]) => ({ name, match: { clusters }, limits: {} })) },
      { cluster: 'prod-eu' },
    ).segment;
  assert.equal(named(['all', ['*']], ['prod', ['prod-*']]), 'prod');
  assert.equal(named(['prod', ['prod-*']], ['ledger', ['prod-eu']]), 'ledger');
  assert.equal(named(['b', ['prod-*']], ['a', ['prod-*']]), 'a');
  assert.equal(named(['far', ['prod-europe-of-old', '*']], ['near', ['*-eu']]), 'near');
  assert.equal(named(['wild', ['???????']], ['prod', ['prod-*']]), 'prod');
  assert.equal(named(['other', ['dev']]), undefined);
});

function reordered<T>(list: readonly T[]): fc.Arbitrary<T[]> {
  const all = [...list];
  return fc.tuple(fc.subarray(all), fc.infiniteStream(fc.nat())).map(([repeated, order]) =>
    [...all, ...repeated]
      .map((item) => ({ item, rank: order.next().value ?? 0 }))
      .sort((a, b) => a.rank - b.rank)
      .map(({ item }) => item),
  );
}

function assertNoLooser(tight: Limits, loose: Limits): void {
  for (const name of ['max_age', 'inactivity_timeout', 'token_ttl'] as const) {
    const limit = loose[name];
    if (limit !== undefined) assert.ok((tight[name] ?? Number.POSITIVE_INFINITY) <= limit, name);
  }
  if (loose.acr !== undefined)
    assert.ok(
      tight.acr?.every((value) => loose.acr?.includes(value)),
      'acr',
    );
}
