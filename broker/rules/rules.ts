// Rules of the policy: limits that hold while a condition does. A rule can only tighten, and one that cannot be evaluated
// denies.

import type { Limits } from '../../shared/limits.ts';
import {
  type AccessTarget,
  type Match,
  matches,
  meansClusters,
  meansTargets,
  type Yield,
} from '../../shared/policy.ts';
import type { Condition } from './condition.ts';
import { type RuleFacts, type Variables, variablesOf } from './facts.ts';

export interface Rule {
  readonly name: string;
  readonly when: Condition;
  /** Which targets its limits are for; without it, and without a look at cluster or target, they are session-wide. */
  readonly match?: Match | undefined;
  readonly limits: Limits;
}

/** What came of one rule for these facts. */
export type RuleResult =
  | { readonly rule: string; readonly yields: Yield }
  | { readonly rule: string; readonly yields?: undefined; readonly because: Because; readonly error?: unknown };

export type Because =
  /** Its condition is false. */
  | 'does_not_hold'
  /** It looks at the cluster, and none was asked for. */
  | 'no_cluster'
  /** It looks at the cluster, and is for other clusters. */
  | 'other_cluster'
  /** It looks at the target, and none was asked for. */
  | 'no_target'
  /** It looks at the target, and is for other targets or accounts. */
  | 'other_target'
  /** It could not be evaluated: then nothing may be issued. */
  | 'error';

export function evaluate(rules: readonly Rule[], facts: RuleFacts): RuleResult[] {
  const variables = variablesOf(facts);
  return rules.map((rule) => outcomeOf(rule, variables));
}

export interface RuleError {
  /** The rule that could not be evaluated. */
  readonly failed: string;
}

/**
 * What all rules that can be evaluated for these facts yield.
 *
 * @param before what rules yielded for this session so far: kept only of rules that look at another cluster or target
 * @returns the yields, or the rule that could not be evaluated: then nothing may be issued
 */
export function yieldsOf(
  rules: readonly Rule[],
  facts: RuleFacts,
  before: readonly Yield[] = [],
): readonly Yield[] | RuleError {
  const fresh: Yield[] = [];
  for (const outcome of evaluate(rules, facts)) {
    if (outcome.yields) fresh.push(outcome.yields);
    else if (outcome.because === 'error') return { failed: outcome.rule };
  }
  if (before.length === 0) return fresh;
  const names = new Set(rules.map(({ name }) => name));
  const asked = { cluster: facts.cluster?.name, target: facts.target?.name, account: facts.target?.account };
  return [...before.filter((old) => isOfAnother(old, asked) && names.has(old.rule)), ...fresh];
}

/** What was asked for, by its names. */
export interface AskedFor {
  readonly cluster?: string | undefined;
  readonly target?: string | undefined;
  readonly account?: string | undefined;
}

/** Whether a rule yielded this when another cluster or target was asked for: it is evaluated again when that one is. */
export function isOfAnother({ cluster, target }: Yield, asked: AskedFor): boolean {
  if (target) return target.target !== asked.target || target.account !== asked.account;
  return cluster !== undefined && cluster !== asked.cluster;
}

function outcomeOf(rule: Rule, variables: Variables): RuleResult {
  const { name, when, match, limits } = rule;
  const meant = meantBy(rule, variables);
  if ('because' in meant) return { rule: name, because: meant.because };
  try {
    if (!when.holds(variables)) return { rule: name, because: 'does_not_hold' };
  } catch (error) {
    return { rule: name, because: 'error', error };
  }
  return { rule: name, yields: { rule: name, ...(match && { match }), limits, ...meant } };
}

/** What its limits are for alone, where it looks at that. */
function meantBy(
  { when, match = {} }: Rule,
  { cluster, target }: Variables,
): Pick<Yield, 'match' | 'cluster' | 'target'> | { readonly because: Because } {
  if (when.uses_cluster) {
    if (!cluster) return { because: 'no_cluster' };
    const { clusters, namespaces, resources } = match;
    if (!meansClusters(match) || (clusters && !matches({ clusters }, { cluster: cluster.name })))
      return { because: 'other_cluster' };
    const within = { ...(namespaces && { namespaces }), ...(resources && { resources }) };
    return { match: { ...within, clusters: [cluster.name] }, cluster: cluster.name };
  }
  if (when.uses_target) {
    if (!target) return { because: 'no_target' };
    const asked: AccessTarget = { target: target.name, ...(target.account !== '' && { account: target.account }) };
    if (!meansTargets(match) || !matches({ targets: match.targets, accounts: match.accounts }, asked))
      return { because: 'other_target' };
    const accounts = asked.account === undefined ? {} : { accounts: [asked.account] };
    return { match: { targets: [asked.target], ...accounts }, target: asked };
  }
  return {};
}
