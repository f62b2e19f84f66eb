// The policy: session-wide limits, segments of the estate, and what rules have yielded for a session. Only a pure meaning;
// parsing from YAML and evaluating rules is the broker's.

import { type Glob, globMatches } from './globs.ts';
import { combine, type Limits, type WholeLimits } from './limits.ts';
import { memo, memoOf } from './memo.ts';

/** Stands for every namespace, or every resource: what covers all is judged by the limits of each. No real name has it. */
export const EVERY = '*';

/** What a credential or a request is for. The more it names, the more segments can match: that only tightens. */
export type Target = ClusterTarget | AccessTarget;

export interface ClusterTarget {
  /** A cluster's name; without one the session as a whole is meant. */
  readonly cluster?: string;
  /** A namespace, or `EVERY` for a request over all of them; absent where none is touched, or none is known yet. */
  readonly namespace?: string;
  /** `pods`, or with a subresource `pods/exec`; `EVERY` for all of them; absent likewise. */
  readonly resource?: string;
  readonly target?: undefined;
}

/** What is reached through the gateway of targets: never a cluster, whatever both are called. */
export interface AccessTarget {
  readonly target: string;
  /** As whom; `EVERY` while that may be any of them; absent where its kind has no accounts. */
  readonly account?: string | undefined;
  readonly cluster?: undefined;
}

/**
 * Which targets are meant: those that fit each list that is here. Who names nothing of clusters means none of them, and who names nothing of
 * targets none of those.
 */
export interface Match {
  readonly clusters?: readonly Glob[] | undefined;
  readonly namespaces?: readonly Glob[] | undefined;
  /** Resources with subresource, as in RBAC: `pods` does not match `pods/exec`, `pods*` does. */
  readonly resources?: readonly Glob[] | undefined;
  readonly targets?: readonly Glob[] | undefined;
  readonly accounts?: readonly Glob[] | undefined;
}

/** A named part of the estate with limits of its own. */
export interface Segment {
  readonly name: string;
  readonly match: Match;
  readonly limits: Limits;
}

export interface Policy {
  /** Session-wide: these end a session. */
  readonly limits: WholeLimits;
  readonly segments: readonly Segment[];
}

/** What one rule gave when it was evaluated for a session; it holds until the rule is evaluated again. */
export interface Yield {
  readonly rule: string;
  /** Without it the limits are session-wide. */
  readonly match?: Match | undefined;
  readonly limits: Limits;
  /** Set where the rule looks at the cluster: evaluated again only when that cluster is asked for. */
  readonly cluster?: string | undefined;
  /** The same where it looks at the target. */
  readonly target?: AccessTarget | undefined;
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
 * Combines all of the policy that applies to a target.
 *
 * @param further limits from outside the policy: a cluster's ceiling, a caller's `max_age`. They tighten the target only.
 */
export function resolveLimits(policy: Policy, target: Target, ...further: readonly Limits[]): ResolvedLimits {
  const found = lookUp(partsOf(policy), target);
  return {
    session: policy.limits,
    target: further.reduce<WholeLimits>(combine, combine(policy.limits, found.limits)),
    ...(found.name !== undefined && { segment: found.name }),
  };
}

/** Tightens by what rules have yielded: the session where they name no target, else the targets that they name. */
export function withYields(resolved: ResolvedLimits, target: Target, yields: readonly Yield[]): ResolvedLimits {
  if (yields.length === 0) return resolved;
  const parts = partsOfYields(yields);
  return {
    ...resolved,
    session: combine(resolved.session, parts.limits),
    target: combine(resolved.target, lookUp(parts, target).limits),
  };
}

/** Whether something that names targets means this one. The session as a whole is none. */
export function matches(match: Match, target: Target): boolean {
  if (target.target !== undefined) {
    return meansTargets(match) && fits(match.targets, target.target) && fits(match.accounts, target.account);
  }
  if (target.cluster === undefined || !meansClusters(match)) return false;
  const { clusters, namespaces, resources } = match;
  return fits(clusters, target.cluster) && fits(namespaces, target.namespace) && fits(resources, target.resource);
}

/** Whether any cluster can be meant: what names nothing at all means everything. */
export function meansClusters(match: Match): boolean {
  return namesClusters(match) || !namesTargets(match);
}

export function meansTargets(match: Match): boolean {
  return namesTargets(match) || !namesClusters(match);
}

function namesClusters({ clusters, namespaces, resources }: Match): boolean {
  return (clusters ?? namespaces ?? resources) !== undefined;
}

function namesTargets({ targets, accounts }: Match): boolean {
  return (targets ?? accounts) !== undefined;
}

function fits(globs: readonly Glob[] | undefined, name: string | undefined): boolean {
  if (globs === undefined) return true;
  return name !== undefined && (name === EVERY || globs.some((glob) => globMatches(glob, name)));
}

/** How much of a target a segment names: first how many of namespace, resource and account, then the longest literal texts. */
export function specificity({ clusters, namespaces, resources, targets, accounts }: Match, target: Target): number {
  if (target.target !== undefined) {
    return (accounts ? 10_000 : 0) + weight(targets, target.target) + weight(accounts, target.account);
  }
  const named = [namespaces, resources].filter((globs) => globs !== undefined).length;
  return (
    named * 10_000 +
    weight(clusters, target.cluster) +
    weight(namespaces, target.namespace) +
    weight(resources, target.resource)
  );
}

function weight(globs: readonly Glob[] | undefined, name = ''): number {
  const fitting = (globs ?? []).filter((glob) => name === EVERY || globMatches(glob, name));
  return Math.max(0, ...fitting.map((glob) => glob.replaceAll(/[*?]/g, '').length));
}

// Thousands of segments, or of what rules have yielded, are looked through once for each cluster or target, and once for each namespace
// or account that is asked for again and again. Only a memory of answers: neither is ever changed, so an answer stays right.

interface Part {
  readonly name: string;
  readonly match: Match;
  readonly limits: Limits;
}

interface Parts {
  /** Of every target. */
  readonly limits: Limits;
  readonly parts: readonly Part[];
}

interface Found {
  readonly limits: Limits;
  /** Of the most specific part that matched. */
  readonly name?: string | undefined;
}

interface Candidates {
  /** By namespace or account, where a part names these without wildcards. */
  readonly by_place: ReadonlyMap<string, readonly Part[]>;
  readonly others: readonly Part[];
  readonly all: readonly Part[];
}

/** Of one cluster, or of one target. */
interface Index extends Candidates {
  /** As it was found before, where it was. */
  answer(target: Target): Found;
}

const partsOf = memoOf(({ limits, segments }: Policy): Parts => ({ limits, parts: segments }));

const partsOfYields = memoOf((yields: readonly Yield[]): Parts => {
  const wide = yields.filter(({ match }) => match === undefined);
  return {
    limits: wide.reduce<Limits>((sum, { limits }) => combine(sum, limits), {}),
    parts: yields.flatMap(({ rule: name, match, limits }) => (match ? [{ name, match, limits }] : [])),
  };
});

const MOST_INDEXES = 1_000;
const MOST_ANSWERS = 5_000;
const FEW = 8;
/** No names of Kubernetes, and none of accounts, are longer: what is, somebody made up, and it is not remembered. */
const LONGEST_KEY = 400;

function lookUp(parts: Parts, target: Target): Found {
  const index = parts.parts.length === 0 ? undefined : indexFor(parts, target);
  if (!index) return { limits: parts.limits };
  const candidates = candidatesOf(index, target);
  const count = candidates.reduce((sum, { length }) => sum + length, 0);
  // So few are looked through as quickly as an answer is found.
  return count <= FEW ? combineMatching(parts, target, candidates) : index.answer(target);
}

function indexFor(parts: Parts, target: Target): Index | undefined {
  if (target.target !== undefined) return targetIndexOf(parts)(target.target);
  return target.cluster === undefined ? undefined : clusterIndexOf(parts)(target.cluster);
}

/** Where in the cluster, or as whom at the target. */
function placeOf(target: Target): string | undefined {
  return target.target === undefined ? target.namespace : target.account;
}

function candidatesOf({ all, by_place, others }: Candidates, target: Target): readonly (readonly Part[])[] {
  const place = placeOf(target);
  return place === EVERY ? [all] : [by_place.get(place ?? '') ?? [], others];
}

function combineMatching(parts: Parts, target: Target, candidates: readonly (readonly Part[])[]): Found {
  let { limits } = parts;
  let best: { readonly name: string; readonly weight: number } | undefined;
  for (const list of candidates) {
    for (const part of list) {
      if (!matches(part.match, target)) continue;
      limits = combine(limits, part.limits);
      const { name } = part;
      const weight = specificity(part.match, target);
      if (!best || weight > best.weight || (weight === best.weight && name < best.name)) best = { name, weight };
    }
  }
  return { limits, name: best?.name };
}

const clusterIndexOf = memoOf((parts: Parts) =>
  memo(MOST_INDEXES, (cluster: string) => {
    const all = parts.parts.filter(({ match }) => meansClusters(match) && fits(match.clusters, cluster));
    return makeIndex(parts, all, ({ namespaces }) => namespaces);
  }),
);

const targetIndexOf = memoOf((parts: Parts) =>
  memo(MOST_INDEXES, (target: string) => {
    const all = parts.parts.filter(({ match }) => meansTargets(match) && fits(match.targets, target));
    return makeIndex(parts, all, ({ accounts }) => accounts);
  }),
);

function makeIndex(parts: Parts, all: readonly Part[], placesOf: (match: Match) => readonly Glob[] | undefined): Index {
  const by_place = new Map<string, Part[]>();
  const others: Part[] = [];
  for (const part of all) {
    const places = placesOf(part.match);
    if (places === undefined || places.some((glob) => /[*?]/.test(glob))) others.push(part);
    else {
      for (const place of new Set(places)) {
        const there = by_place.get(place);
        if (there) there.push(part);
        else by_place.set(place, [part]);
      }
    }
  }
  const candidates = { by_place, others, all };
  const answer = memo(
    MOST_ANSWERS,
    (target: Target) => combineMatching(parts, target, candidatesOf(candidates, target)),
    { keyOf, weigh: (target) => (keyOf(target).length > LONGEST_KEY ? Number.POSITIVE_INFINITY : 1) },
  );
  return { ...candidates, answer };
}

/** Within one cluster or target. */
function keyOf(target: Target): string {
  return JSON.stringify(target.target === undefined ? [target.namespace, target.resource] : [target.account]);
}
