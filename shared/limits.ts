// Limits and how they combine: the minimum of each length, the intersection of each set. So combining can only tighten,
// and order and repetition do not matter.

import { earliest, type Seconds } from './time.ts';

/** Limits as one rule, segment or caller states them; what is absent does not limit. Lengths in seconds. */
export interface Limits {
  /** Longest `now - auth_time` before a new login is required (OIDC Core 3.1.2.1). */
  readonly max_age?: Seconds | undefined;
  /** Longest time without use (NIST SP 800-63B-4 5.2). */
  readonly inactivity_timeout?: Seconds | undefined;
  /** Longest life of one Kubernetes token. */
  readonly token_ttl?: Seconds | undefined;
  /** Longest time since the identity provider last confirmed the account. */
  readonly revalidate?: Seconds | undefined;
  /** The `acr` values of which the login must carry one. Never empty. */
  readonly acr?: readonly string[] | undefined;
}

/** Limits that are whole: a policy that leaves one of the three lengths open is refused at load. */
export interface WholeLimits extends Limits {
  readonly max_age: Seconds;
  readonly inactivity_timeout: Seconds;
  readonly token_ttl: Seconds;
}

/**
 * The limits that satisfy both. Commutative, associative and idempotent; `{}` is neutral.
 * An `acr` of two disjoint sets becomes empty: nothing satisfies it, and a policy that can yield it is refused at load.
 */
export function combine(a: WholeLimits, b: Limits): WholeLimits;
export function combine(a: Limits, b: Limits): Limits;
export function combine(a: Limits, b: Limits): Limits {
  return {
    ...shorter('max_age', a, b),
    ...shorter('inactivity_timeout', a, b),
    ...shorter('token_ttl', a, b),
    ...shorter('revalidate', a, b),
    ...intersected(a.acr, b.acr),
  };
}

function shorter(name: 'max_age' | 'inactivity_timeout' | 'token_ttl' | 'revalidate', a: Limits, b: Limits): Limits {
  const [x, y] = [a[name], b[name]];
  if (x === undefined && y === undefined) return {};
  if (x === undefined || y === undefined) return { [name]: x ?? y };
  return { [name]: earliest(x, y) };
}

function intersected(a: Limits['acr'], b: Limits['acr']): Limits {
  if (a === undefined && b === undefined) return {};
  const both = a === undefined || b === undefined ? [...(a ?? b ?? [])] : a.filter((value) => b.includes(value));
  return { acr: [...new Set(both)].sort() };
}
