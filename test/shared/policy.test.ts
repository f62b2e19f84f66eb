// How a policy is resolved: the index against a plain reference, what covers all, and that nothing but tightening happens.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { globMatches } from '../../shared/globs.ts';
import { combine, type Limits, type WholeLimits } from '../../shared/limits.ts';
import {
  EVERY,
  type Match,
  matches,
  type Policy,
  type ResolvedLimits,
  resolveLimits,
  type Segment,
  type Target,
  withYields,
  type Yield,
} from '../../shared/policy.ts';
import { seconds } from '../../shared/time.ts';
import {
  accessTarget,
  clusterTarget,
  further,
  match,
  policy,
  segment,
  target,
  wholeLimits,
  within,
  yields,
} from './arbitraries.ts';

const RUNS = { numRuns: 3000 };
/** Of so many answers are remembered, of few they are not. */
const MANY = { minLength: 9, maxLength: 20 };
const KEYS = ['max_age', 'inactivity_timeout', 'token_ttl'] as const;

/** The meaning, without an index: every segment is looked at. */
function naive({ limits, segments }: Policy, target: Target, further: readonly Limits[]): ResolvedLimits {
  const fitting = segments.filter(({ match }) => naiveMatches(match, target));
  const all = [...fitting.map((segment) => segment.limits), ...further];
  const best = fitting.toSorted((a, b) => rank(b, target) - rank(a, target) || (a.name < b.name ? -1 : 1))[0];
  return {
    session: limits,
    target: all.reduce<WholeLimits>((sum, one) => combine(sum, one), limits),
    ...(best && { segment: best.name }),
  };
}

function naiveMatches(match: Match, target: Target): boolean {
  const of_clusters = [match.clusters, match.namespaces, match.resources].some((globs) => globs !== undefined);
  const of_targets = [match.targets, match.accounts].some((globs) => globs !== undefined);
  if (target.target === undefined && (target.cluster === undefined || (of_targets && !of_clusters))) return false;
  if (target.target !== undefined && of_clusters && !of_targets) return false;
  const pairs: (readonly [readonly string[] | undefined, string | undefined])[] =
    target.target === undefined
      ? [
          [match.clusters, target.cluster],
          [match.namespaces, target.namespace],
          [match.resources, target.resource],
        ]
      : [
          [match.targets, target.target],
          [match.accounts, target.account],
        ];
  return pairs.every(([globs, name]) => {
    if (globs === undefined) return true;
    if (name === undefined) return false;
    return name === EVERY || globs.some((glob) => globMatches(glob, name));
  });
}

function rank({ match }: Segment, target: Target): number {
  const literal = (globs: readonly string[] | undefined, name = '') =>
    Math.max(
      0,
      ...(globs ?? [])
        .filter((glob) => name === EVERY || globMatches(glob, name))
        .map((glob) => glob.replace(/[*?]/g, '').length),
    );
  if (target.target !== undefined) {
    const texts = literal(match.targets, target.target) + literal(match.accounts, target.account);
    return (match.accounts ? 10_000 : 0) + texts;
  }
  const named = (match.namespaces ? 1 : 0) + (match.resources ? 1 : 0);
  const texts =
    literal(match.clusters, target.cluster) +
    literal(match.namespaces, target.namespace) +
    literal(match.resources, target.resource);
  return named * 10_000 + texts;
}

/** Whether no length is longer, and no `acr` value is admitted that was not before. */
function assertTighter(tight: WholeLimits, loose: WholeLimits): void {
  for (const key of KEYS) assert.ok(tight[key] <= loose[key], key);
  if (loose.acr) assert.ok(tight.acr?.every((value) => loose.acr?.includes(value)));
}

describe('resolveLimits', () => {
  const long: fc.Arbitrary<Policy> = fc
    .tuple(wholeLimits, fc.array(segment, MANY))
    .map(([limits, segments]) => ({ limits, segments }));

  test('agrees with a plain look at every segment, for every target, asked in any order and again', () => {
    let segments = 0;
    fc.assert(
      fc.property(
        fc.oneof(policy, long),
        fc.array(target, { minLength: 1, maxLength: 8 }),
        further,
        (policy, targets, further) => {
          for (const target of [...targets, ...targets.toReversed()]) {
            const expected = naive(policy, target, further);
            assert.deepEqual(resolveLimits(policy, target, ...further), expected);
            if (expected.segment) segments++;
          }
        },
      ),
      RUNS,
    );
    assert.ok(segments > 1000, `matched only ${segments} times`);
  });

  test('tells an empty namespace from none, whichever was asked for first', () => {
    const segment = { name: 'all', match: { namespaces: ['*'] }, limits: { max_age: seconds(60) } };
    const whole = { max_age: seconds(900), inactivity_timeout: seconds(600), token_ttl: seconds(60) };
    const ask = (policy: Policy, target: Target) => resolveLimits(policy, target).target.max_age;
    for (const order of [
      ['', undefined],
      [undefined, ''],
    ] as const) {
      const policy: Policy = { limits: whole, segments: Array.from({ length: 9 }, () => segment) };
      for (const namespace of order) {
        const target = { cluster: 'dev', ...(namespace !== undefined && { namespace }) };
        assert.equal(ask(policy, target), namespace === undefined ? 900 : 60);
      }
    }
  });

  test('answers the same for thousands of targets that nobody has, and for a name of a megabyte', () => {
    const segment = { name: 'pay', match: { namespaces: ['pay*'] }, limits: { max_age: seconds(60) } };
    const policy: Policy = {
      limits: { max_age: seconds(900), inactivity_timeout: seconds(600), token_ttl: seconds(60) },
      segments: Array.from({ length: 9 }, () => segment),
    };
    const ask = (namespace: string) => resolveLimits(policy, { cluster: 'dev', namespace }).target.max_age;
    for (let i = 0; i < 12_000; i++) assert.equal(ask(`other-${i}`), 900);
    assert.equal(ask('payments'), 60);
    assert.equal(ask(`pay${'x'.repeat(1_000_000)}`), 60);
  });

  test('does not depend on the order or the repetition of segments', () => {
    fc.assert(
      fc.property(policy, target, fc.infiniteStream(fc.nat()), (policy, target, random) => {
        const shuffled = [...policy.segments, ...policy.segments]
          .map((segment) => ({ segment, at: random.next().value }))
          .toSorted((a, b) => a.at - b.at)
          .map(({ segment }) => segment);
        assert.deepEqual(resolveLimits({ ...policy, segments: shuffled }, target), resolveLimits(policy, target));
      }),
      RUNS,
    );
  });

  test('never loosens by naming a namespace or resource: what is named only tightens', () => {
    let tighter = 0;
    fc.assert(
      fc.property(policy, clusterTarget, within, (policy, { cluster }, within) => {
        if (cluster === undefined) return;
        const whole = resolveLimits(policy, { cluster }).target;
        const part = resolveLimits(policy, { cluster, ...within }).target;
        assertTighter(part, whole);
        assertTighter(whole, policy.limits);
        if (KEYS.some((key) => part[key] < whole[key])) tighter++;
      }),
      RUNS,
    );
    assert.ok(tighter > 100, `tighter only ${tighter} times`);
  });

  test('of EVERY namespace and resource is at least as tight as each of them', () => {
    fc.assert(
      fc.property(policy, clusterTarget, (policy, target) => {
        if (target.cluster === undefined) return;
        const { cluster, namespace, resource } = target;
        const every = resolveLimits(policy, { cluster, namespace: EVERY, resource: EVERY }).target;
        assertTighter(every, resolveLimits(policy, target).target);
        const namespaces = resolveLimits(policy, { cluster, namespace: EVERY, ...(resource && { resource }) }).target;
        assertTighter(
          namespaces,
          resolveLimits(policy, { cluster, ...(namespace && { namespace }), ...(resource && { resource }) }).target,
        );
      }),
      RUNS,
    );
  });

  test('never loosens by naming an account, and of EVERY account is at least as tight as each of them', () => {
    let tighter = 0;
    fc.assert(
      fc.property(policy, accessTarget, (policy, { target, account }) => {
        const whole = resolveLimits(policy, { target }).target;
        const part = resolveLimits(policy, { target, account }).target;
        assertTighter(part, whole);
        assertTighter(whole, policy.limits);
        assertTighter(resolveLimits(policy, { target, account: EVERY }).target, part);
        if (KEYS.some((key) => part[key] < whole[key])) tighter++;
      }),
      RUNS,
    );
    assert.ok(tighter > 100, `tighter only ${tighter} times`);
  });

  test('of a target is not touched by what names clusters alone, nor of a cluster by what names targets alone', () => {
    const only = (names: readonly (keyof Match)[]) =>
      fc.tuple(policy, fc.array(segment, { maxLength: 12 })).map(([{ limits }, segments]) => ({
        limits,
        segments: segments.flatMap(({ match, ...rest }): Segment[] => {
          const kept = Object.fromEntries(names.flatMap((name) => (match[name] ? [[name, match[name]]] : [])));
          return Object.keys(kept).length === 0 ? [] : [{ ...rest, match: kept }];
        }),
      }));
    let segments = 0;
    const untouched = (policy: Policy, target: Target) => {
      segments += policy.segments.length;
      assert.deepEqual(resolveLimits(policy, target), { session: policy.limits, target: policy.limits });
    };
    fc.assert(fc.property(only(['clusters', 'namespaces', 'resources']), accessTarget, untouched), RUNS);
    fc.assert(fc.property(only(['targets', 'accounts']), clusterTarget, untouched), RUNS);
    assert.ok(segments > 5000, `only ${segments} segments were there`);
  });

  test('leaves the session-wide limits as they are, whatever matches', () => {
    fc.assert(
      fc.property(policy, target, further, (policy, target, further) => {
        assert.deepEqual(resolveLimits(policy, target, ...further).session, policy.limits);
      }),
    );
  });
});

describe('matches', () => {
  const everything = { cluster: 'prod-eu', namespace: 'payments', resource: 'pods/exec' };
  for (const [match, target, expected] of [
    [{ clusters: ['prod-*'] }, { cluster: 'prod-eu' }, true],
    [{ clusters: ['prod-*'] }, { cluster: 'dev' }, false],
    [{ clusters: ['dev', 'prod-*'] }, everything, true],
    [{ namespaces: ['payments'] }, everything, true],
    [{ namespaces: ['payments'] }, { cluster: 'prod-eu' }, false],
    [{ namespaces: ['payments'] }, { cluster: 'prod-eu', namespace: EVERY }, true],
    [{ namespaces: ['pay*'] }, { cluster: 'prod-eu', namespace: 'payroll' }, true],
    [{ resources: ['pods'] }, everything, false],
    [{ resources: ['pods*'] }, everything, true],
    [{ resources: ['*/exec'] }, everything, true],
    [{ resources: ['secrets'] }, { cluster: 'prod-eu', resource: EVERY }, true],
    [{ namespaces: ['payments'], resources: ['pods/exec'] }, everything, true],
    [{ namespaces: ['payments'], resources: ['secrets'] }, everything, false],
    [{}, { cluster: 'dev' }, true],
    [{}, {}, false],
    [{}, { target: 'orders-db' }, true],
    [{ targets: ['*-db'] }, { target: 'orders-db', account: 'orders_ro' }, true],
    [{ targets: ['*-db'] }, { target: 'bastion' }, false],
    [{ targets: ['*'] }, { cluster: 'orders-db' }, false],
    [{ clusters: ['*'] }, { target: 'prod-eu' }, false],
    [{ namespaces: ['*'] }, { target: 'prod-eu', account: 'payments' }, false],
    [{ accounts: ['*_rw'] }, { target: 'orders-db', account: 'orders_rw' }, true],
    [{ accounts: ['*_rw'] }, { target: 'orders-db', account: EVERY }, true],
    [{ accounts: ['*_rw'] }, { target: 'cache' }, false],
    [{ accounts: ['*'] }, { cluster: 'dev', namespace: EVERY }, false],
    [{ clusters: ['dev'], targets: ['*-db'] }, { cluster: 'dev' }, true],
    [{ clusters: ['dev'], targets: ['*-db'] }, { target: 'orders-db' }, true],
    [{ clusters: ['dev'], targets: ['*-db'] }, { target: 'dev' }, false],
    [{ clusters: ['dev'], accounts: ['root'] }, { target: 'dev', account: 'admin' }, false],
    [{ clusters: ['*'] }, {}, false],
  ] as const satisfies readonly (readonly [Match, Target, boolean])[]) {
    test(`${JSON.stringify(match)} ${expected ? 'means' : 'does not mean'} ${JSON.stringify(target)}`, () => {
      assert.equal(matches(match, target), expected);
      assert.equal(naiveMatches(match, target), expected);
    });
  }
});

describe('the segment that names the reason', () => {
  const segment = (name: string, match: Match): Segment => ({ name, match, limits: { max_age: seconds(60) } });
  const named = (target: Target, ...segments: Segment[]) =>
    resolveLimits(
      { limits: { max_age: seconds(900), inactivity_timeout: seconds(600), token_ttl: seconds(60) }, segments },
      target,
    ).segment;
  const exec = { cluster: 'prod-eu', namespace: 'payments', resource: 'pods/exec' };

  test('is the one that names most of the target, then the longest part of its names, then the first by name', () => {
    const all = segment('all', { clusters: ['*'] });
    const prod = segment('prod', { clusters: ['prod-*'] });
    const pay = segment('pay', { namespaces: ['payments'] });
    const execs = segment('exec', { namespaces: ['pay*'], resources: ['pods/exec'] });
    assert.equal(named(exec, all, prod), 'prod');
    assert.equal(named(exec, all, prod, pay), 'pay');
    assert.equal(named(exec, execs, all, prod, pay), 'exec');
    assert.equal(named({ cluster: 'prod-eu' }, execs, all, prod, pay), 'prod');
    assert.equal(named({ cluster: 'dev' }, execs, prod, pay), undefined);
    assert.equal(named({ cluster: 'dev' }, segment('b', { clusters: ['*'] }), segment('a', { clusters: ['*'] })), 'a');
  });

  test('decides nothing: the limits are those of all that match', () => {
    const policy: Policy = {
      limits: { max_age: seconds(900), inactivity_timeout: seconds(600), token_ttl: seconds(60) },
      segments: [
        { name: 'tight', match: { clusters: ['*'] }, limits: { max_age: seconds(60) } },
        { name: 'pay', match: { namespaces: ['payments'] }, limits: { max_age: seconds(300) } },
      ],
    };
    const { segment, target } = resolveLimits(policy, { cluster: 'dev', namespace: 'payments' });
    assert.equal(segment, 'pay');
    assert.equal(target.max_age, 60);
  });
});

describe('withYields', () => {
  const resolved: fc.Arbitrary<ResolvedLimits> = fc
    .tuple(wholeLimits, wholeLimits)
    .map(([session, extra]) => ({ session, target: combine(session, extra) }));

  test('only tightens, session and target alike, and the target is never looser than the session', () => {
    fc.assert(
      fc.property(resolved, target, yields, (resolved, target, yields) => {
        const after = withYields(resolved, target, yields);
        assertTighter(after.session, resolved.session);
        assertTighter(after.target, resolved.target);
        assertTighter(after.target, after.session);
      }),
      RUNS,
    );
  });

  test('agrees with a plain look at each of them, few or many, asked in any order and again', () => {
    const many = fc.array(fc.record({ rule: fc.constantFrom('a', 'b'), match, limits: wholeLimits }), MANY);
    const targets = fc.array(target, { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(resolved, targets, fc.oneof(yields, many), (resolved, targets, yields) => {
        const apply = (sum: WholeLimits, one: Yield) => combine(sum, one.limits);
        for (const target of [...targets, ...targets.toReversed()]) {
          const wide = yields.filter(({ match }) => match === undefined);
          const meant = yields.filter(({ match }) => match === undefined || naiveMatches(match, target));
          const expected = {
            session: wide.reduce(apply, resolved.session),
            target: meant.reduce(apply, resolved.target),
          };
          assert.deepEqual(withYields(resolved, target, yields), expected);
        }
      }),
      RUNS,
    );
  });

  test('does not depend on order or repetition', () => {
    fc.assert(
      fc.property(resolved, target, yields, (resolved, target, yields) => {
        const after = withYields(resolved, target, yields);
        assert.deepEqual(withYields(resolved, target, [...yields.toReversed(), ...yields]), after);
        assert.deepEqual(withYields(after, target, yields), after);
      }),
      RUNS,
    );
  });

  test('tightens the session by what names no target alone, and each target by what means it', () => {
    const whole = { max_age: seconds(900), inactivity_timeout: seconds(600), token_ttl: seconds(60) };
    const given: Yield[] = [
      { rule: 'wide', limits: { inactivity_timeout: seconds(300) } },
      { rule: 'prod', match: { clusters: ['prod-*'] }, limits: { max_age: seconds(120) } },
      { rule: 'pay', match: { namespaces: ['payments'] }, limits: { max_age: seconds(60) } },
    ];
    const ask = (target: Target) => withYields({ session: whole, target: whole }, target, given);
    for (const target of [{}, { cluster: 'dev' }, { cluster: 'prod-eu', namespace: 'payments' }]) {
      assert.deepEqual(ask(target).session, { ...whole, inactivity_timeout: 300 });
    }
    assert.equal(ask({}).target.max_age, 900);
    assert.equal(ask({ cluster: 'dev' }).target.max_age, 900);
    assert.equal(ask({ cluster: 'prod-eu' }).target.max_age, 120);
    assert.equal(ask({ cluster: 'prod-eu', namespace: 'payments' }).target.max_age, 60);
    assert.equal(ask({ cluster: 'prod-eu', namespace: EVERY }).target.max_age, 60);
  });
});
