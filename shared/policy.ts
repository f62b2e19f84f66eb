// The policy: session-wide limits and segments of the estate. Only a pure meaning; parsing from YAML is the broker's edge.

import { combine, type Limits, type WholeLimits } from './limits.ts';

/** What a credential is asked for. Namespace and resource will stand here too: what they yield can only tighten. */
export interface Target {
  /** A cluster's name; without one the session as a whole is meant. */
  readonly cluster?: string;
}

/** A named part of the estate with limits of its own. */
export interface Segment {
  readonly name: string;
  readonly match: {
    /** Globs over cluster names: `*` for any run of characters, `?` for one. */
    readonly clusters: readonly string[];
  };
  readonly limits: Limits;
}

export interface Policy {
  /** Session-wide: these end a session. */
  readonly limits: WholeLimits;
  readonly segments: readonly Segment[];
}

/** The limits that apply to one target, apart as to what they do. */
export interface ResolvedLimits {
  /** Session-wide: when one of these strikes, the session ends everywhere. */
  readonly session: WholeLimits;
  /** Of the target: the minimum over `session` and all that match. When only these strike, the target is denied. */
  readonly target: WholeLimits;
  /** The most specific segment that matched: names the reason in messages and audit, decides nothing. */
  readonly segment?: string | undefined;
}

/**
 * Combines all that applies to a target.
 *
 * @param further limits from outside the policy: a cluster's ceiling, a caller's `max_age`. They tighten the target only.
 */
export function resolveLimits(policy: Policy, target: Target, ...further: readonly Limits[]): ResolvedLimits {
  const { cluster } = target;
  const matching = cluster === undefined ? [] : policy.segments.filter((segment) => matches(segment, cluster));
  const all = [...matching.map((segment) => segment.limits), ...further];
  return {
    session: policy.limits,
    target: all.reduce<WholeLimits>((sum, limits) => combine(sum, limits), policy.limits),
    ...named(matching, cluster),
  };
}

function matches(segment: Segment, cluster: string): boolean {
  return segment.match.clusters.some((glob) => globMatches(glob, cluster));
}

/** The most specific: the one with the longest literal text in a matching glob, the first by name among equals. */
function named(matching: readonly Segment[], cluster: string | undefined): { segment?: string } {
  let best: { name: string; weight: number } | undefined;
  for (const { name, match } of matching) {
    const globs = match.clusters.filter((glob) => globMatches(glob, cluster ?? ''));
    const weight = Math.max(...globs.map((glob) => glob.replaceAll(/[*?]/g, '').length));
    if (!best || weight > best.weight || (weight === best.weight && name < best.name)) best = { name, weight };
  }
  return best ? { segment: best.name } : {};
}

/** Glob match over a name, at worst the product of both lengths: no regular expression, so no pattern can make it slow. */
export function globMatches(glob: string, name: string): boolean {
  let [g, n, star, mark] = [0, 0, -1, 0];
  while (n < name.length) {
    if (glob[g] === '*') {
      star = g++;
      mark = n;
    } else if (g < glob.length && (glob[g] === '?' || glob[g] === name[n])) {
      g++;
      n++;
    } else if (star >= 0) {
      g = star + 1;
      n = ++mark;
    } else return false;
  }
  while (glob[g] === '*') g++;
  return g === glob.length;
}
