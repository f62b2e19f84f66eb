// What property tests of shared/ draw from: small numbers that make ends meet, and the extremes beside them.

import fc from 'fast-check';
import type { Limits, WholeLimits } from '../../shared/limits.ts';
import {
  type AccessTarget,
  type ClusterTarget,
  EVERY,
  type Match,
  type Policy,
  type Segment,
  type Target,
  type Yield,
} from '../../shared/policy.ts';
import type { Reach } from '../../shared/reach.ts';
import { END_REASONS, type SessionFacts } from '../../shared/session.ts';
import { plus, type Seconds, seconds } from '../../shared/time.ts';

export const MAX = seconds(Number.MAX_SAFE_INTEGER);

/** Lengths close together, so that ends fall on the same second often, and absurd ones now and then. */
export const length: fc.Arbitrary<Seconds> = fc
  .oneof(
    { weight: 1, arbitrary: fc.integer({ min: 1, max: 20 }) },
    { weight: 12, arbitrary: fc.noBias(fc.integer({ min: 1, max: 50_000 })) },
    { weight: 1, arbitrary: fc.constantFrom(MAX - 1, MAX, 2 ** 31, 2 ** 32) },
  )
  .map(seconds);

export const START = 1_000_000;

/** Instants not far from `START`. */
export const instant: fc.Arbitrary<Seconds> = fc
  .oneof(fc.integer({ min: START, max: START + 40 }), fc.noBias(fc.integer({ min: START, max: START + 10_000 })))
  .map(seconds);

/** An `acr` set in the order in which `combine` writes it. */
export const acrs = fc.oneof(
  { weight: 3, arbitrary: fc.subarray(['hwk', 'pin', 'pwd']).map((others) => [...others, 'mfa'].sort()) },
  { weight: 1, arbitrary: fc.subarray(['hwk', 'mfa', 'pin', 'pwd'], { minLength: 1 }) },
);

/** Rare, as it denies much. */
const revalidate = fc.oneof({ weight: 3, arbitrary: fc.integer({ min: 20_000, max: 50_000 }).map(seconds) }, length);

const partial = { max_age: length, inactivity_timeout: length, token_ttl: length, revalidate, acr: acrs };

export const limits: fc.Arbitrary<Limits> = fc.record(partial, { requiredKeys: [], noNullPrototype: true });
export const wholeLimits: fc.Arbitrary<WholeLimits> = fc.record(partial, {
  requiredKeys: ['max_age', 'inactivity_timeout', 'token_ttl'],
  noNullPrototype: true,
});

const globs = (...list: string[]) => fc.array(fc.constantFrom(...list), { minLength: 1, maxLength: 3 });

export const match: fc.Arbitrary<Match> = fc.record(
  {
    clusters: globs('*', 'prod-*', '*-eu', 'prod-eu', 'dev', 'de?', '?rod-??'),
    namespaces: globs('payments', 'payroll', 'pay*', '*', 'kube-system', 'kube-?*'),
    resources: globs('pods', 'pods/exec', 'pods*', '*/exec', 'secrets', '*'),
    targets: globs('*', '*-db', 'orders-db', 'prod-*', 'dev'),
    accounts: globs('*', '*_rw', 'orders_rw', 'orders*', 'root'),
  },
  { requiredKeys: [], noNullPrototype: true },
);

export const segment: fc.Arbitrary<Segment> = plain({
  name: fc.constantFrom('prod', 'europe', 'ledger', 'all'),
  match,
  limits,
});

export const policy: fc.Arbitrary<Policy> = plain({
  limits: wholeLimits,
  segments: fc.array(segment, { maxLength: 4 }),
});

const inside = {
  namespace: fc.constantFrom('payments', 'payroll', 'kube-system', 'default', EVERY),
  resource: fc.constantFrom('pods', 'pods/exec', 'secrets', 'nodes', EVERY),
};

/** What a target names within its cluster. */
export const within: fc.Arbitrary<Reach> = fc.record(inside, {
  requiredKeys: [],
  noNullPrototype: true,
});

export const clusterTarget: fc.Arbitrary<ClusterTarget> = fc.record(
  { cluster: fc.constantFrom('prod-eu', 'prod-us', 'dev', 'dev-eu', 'lab'), ...inside },
  { requiredKeys: [], noNullPrototype: true },
);

/** Some have the names of clusters. */
export const accessTarget: fc.Arbitrary<AccessTarget> = fc.record(
  {
    target: fc.constantFrom('orders-db', 'billing-db', 'bastion', 'dev', 'prod-eu'),
    account: fc.constantFrom('orders_rw', 'orders_ro', 'root', EVERY),
  },
  { requiredKeys: ['target'], noNullPrototype: true },
);

export const target: fc.Arbitrary<Target> = fc.oneof(
  { weight: 2, arbitrary: clusterTarget },
  { weight: 1, arbitrary: accessTarget },
);

export const yields: fc.Arbitrary<Yield[]> = fc.array(
  fc.record(
    { rule: fc.constantFrom('a', 'b'), match, limits },
    { requiredKeys: ['rule', 'limits'], noNullPrototype: true },
  ),
  { maxLength: 4 },
);

export const further: fc.Arbitrary<Limits[]> = fc.array(limits, { maxLength: 2 });

/** A living session: used at its `auth_time` or later. */
export const living: fc.Arbitrary<SessionFacts> = fc
  .record(
    {
      auth_time: instant,
      used_after: fc.oneof(fc.integer({ min: 0, max: 40 }), fc.noBias(fc.integer({ min: 0, max: 6000 }))).map(seconds),
      revalidated_at: fc.noBias(fc.integer({ min: START, max: START + 5000 })).map(seconds),
      end_at_most: fc.noBias(fc.integer({ min: START, max: START + 30_000 })).map(seconds),
      acr: fc.constantFrom('mfa', 'mfa', 'mfa', 'hwk', 'pin', 'other', undefined),
    },
    { requiredKeys: ['auth_time', 'used_after', 'acr'], noNullPrototype: true },
  )
  .map(({ used_after, ...facts }) => ({ ...facts, last_used: plus(facts.auth_time, used_after) }));

/** Any session, ended ones among them. */
export const session: fc.Arbitrary<SessionFacts> = fc
  .tuple(living, fc.option(plain({ at: instant, reason: fc.constantFrom(...END_REASONS) }), { freq: 5 }))
  .map(([facts, ended]) => (ended ? { ...facts, ended } : facts));

/** Any instant of interest: near the session's times, at the far end, or at zero. */
export const now: fc.Arbitrary<Seconds> = fc.oneof(
  { weight: 8, arbitrary: instant },
  { weight: 1, arbitrary: fc.constantFrom(0, MAX - 1, MAX).map(seconds) },
);

/** A record with all its members and the prototype that a literal has. */
function plain<T extends object>(members: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
  return fc.record<T>(members, { noNullPrototype: true });
}
