// Rules of the policy: limits that hold while a condition does. A rule can only tighten, and one that cannot be evaluated
// denies.

import type { Limits } from '../../shared/limits.ts';
import { type Match, matches, type Yield } from '../../shared/policy.ts';
import type { Condition } from './condition.ts';
import { type RuleFacts, type Variables, variablesOf } from './facts.ts';

export interface Rule {
  readonly name: string;
  readonly when: Condition;
  /** Which targets its limits are for; without it, and without a look at the cluster, they are session-wide. */
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
 * @param before what rules yielded for this session so far: kept only of rules that look at another cluster
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
  return [...before.filter((old) => isOfAnother(old, facts.cluster?.name) && names.has(old.rule)), ...fresh];
}

/** Whether a rule yielded this when another cluster was asked for: it is evaluated again when that one is. */
export function isOfAnother({ cluster }: Yield, asked: string | undefined): boolean {
  return cluster !== undefined && cluster !== asked;
}

function outcomeOf({ name: rule, when, match, limits }: Rule, variables: Variables): RuleResult {
  const cluster = when.uses_cluster ? variables.cluster?.name : undefined;
  if (when.uses_cluster) {
    if (cluster === undefined) return { rule, because: 'no_cluster' };
    const { clusters } = match ?? {};
    if (clusters && !matches({ clusters }, { cluster })) return { rule, because: 'other_cluster' };
  }
  try {
    if (!when.holds(variables)) return { rule, because: 'does_not_hold' };
  } catch (error) {
    return { rule, because: 'error', error };
  }
  if (cluster === undefined) return { rule, yields: { rule, ...(match && { match }), limits } };
  return { rule, yields: { rule, match: { ...match, clusters: [cluster] }, limits, cluster } };
}
