// `curfew-broker policy explain`: which parts of the policy hold for a person and a target, and where each limit comes from.
// Only tells: what holds is decided by shared/policy.ts and the rules.

import { formatDuration } from '../../shared/duration.ts';
import { combine, type Limits, type WholeLimits } from '../../shared/limits.ts';
import { type Match, matches, type Policy, resolveLimits, type Target, type Yield } from '../../shared/policy.ts';
import { ceilingLimits, clusterNamed, groupsTighten } from '../config/clusters.ts';
import type { Config } from '../config/settings.ts';
import type { TargetSettings } from '../config/target_settings.ts';
import { targetNamed } from '../config/targets.ts';
import { asWhom, theirAccounts } from '../policy/accounts.ts';
import { admits } from '../policy/groups.ts';
import type { FoundTarget } from '../policy/target.ts';
import { evaluate, type RuleResult } from '../rules/rules.ts';
import { formatTime } from '../text/rfc3339.ts';
import { factsOf, type Question } from './policy_question.ts';

/** Some limits, and the part of the configuration that states them, as it is called there. */
interface Source {
  readonly name: string;
  readonly limits: Limits;
}

/** Limits as they combine, and for each who stated what counts. */
export interface Explained {
  readonly limits: WholeLimits;
  readonly from: { readonly [K in keyof Limits]?: readonly string[] };
}

/**
 * Combines part by part what `resolveLimits` and `withYields` combine, and remembers whence.
 *
 * @param ceiling of the target's cluster, where it is one
 * @param yields of rules
 */
export function explainLimits(
  policy: Policy,
  target: Target,
  ceiling: Limits,
  yields: readonly Yield[],
): { readonly session: Explained; readonly target: Explained } {
  const whole = { name: 'policy.limits', limits: policy.limits };
  const rules = (wide: boolean) =>
    yields
      .filter(({ match }) => (match === undefined ? wide : !wide && matches(match, target)))
      .map(({ rule, limits }) => ({ name: `rule ${rule}`, limits }));
  const segments = policy.segments
    .filter(({ match }) => matches(match, target))
    .map(({ name, limits }) => ({ name: `segment ${name}`, limits }));
  const further = { name: `ceiling of ${target.cluster ?? 'none'}`, limits: ceiling };
  return {
    session: explain(policy.limits, [whole, ...rules(true)]),
    target: explain(policy.limits, [whole, ...segments, further, ...rules(true), ...rules(false)]),
  };
}

function explain(whole: WholeLimits, sources: readonly Source[]): Explained {
  const limits = sources.reduce<WholeLimits>((sum, source) => combine(sum, source.limits), whole);
  const named = (counts: (stated: Limits) => boolean) => [
    ...new Set(sources.filter((source) => counts(source.limits)).map(({ name }) => name)),
  ];
  return {
    limits,
    from: {
      max_age: named(({ max_age }) => max_age === limits.max_age),
      inactivity_timeout: named(({ inactivity_timeout }) => inactivity_timeout === limits.inactivity_timeout),
      token_ttl: named(({ token_ttl }) => token_ttl === limits.token_ttl),
      revalidate: named(({ revalidate }) => revalidate !== undefined && revalidate === limits.revalidate),
      acr: named(({ acr }) => acr !== undefined),
    },
  };
}

/**
 * @returns lines of text, aligned
 * @throws CurfewError `usage` when there is no such cluster or target
 */
export function explainPolicy(config: Config, question: Question): string[] {
  const { policy } = config;
  const { user } = question;
  const found = findNamed(config, question);
  // As whom is known only now, where nobody said.
  const { account } = found;
  const target = found.target ? { target: found.target.name, account } : question.target;
  const outcomes = evaluate(policy.rules, factsOf(question, found));
  const yields = outcomes.flatMap((outcome) => outcome.yields ?? []);
  const explained = explainLimits(policy, target, found.cluster ? ceilingLimits(found.cluster) : {}, yields);
  const { acr } = explained.target.limits;
  const failed = outcomes.some((outcome) => !outcome.yields && outcome.because === 'error');
  return [
    ...table(sayQuestion({ ...question, target })),
    '',
    ...table([
      ...sayAdmitted(config, question, found),
      ...saySegments(policy, target),
      ...(outcomes.length > 0 ? outcomes.map((outcome) => sayRule(outcome, target)) : [['rules', 'none']]),
    ]),
    '',
    'limits of the session: when one strikes, it ends everywhere',
    ...table(sayLimits(explained.session)),
    '',
    'limits of the target: when one strikes, it is denied, and the session continues elsewhere',
    ...table(sayLimits(explained.target)),
    ...(acr !== undefined && (user.acr === undefined || !acr.includes(user.acr))
      ? ['', `denied: acr_too_low, as the login has ${user.acr === undefined ? 'no acr' : `acr ${user.acr}`}`]
      : []),
    ...(failed ? ['', 'denied: rule_error, whatever the limits, as long as a rule cannot be evaluated'] : []),
  ];
}

/** What is meant, as whom it would be. */
function findNamed(config: Config, { target, user }: Question): FoundTarget {
  if (target.target === undefined) return { cluster: clusterNamed(config, target.cluster ?? '') };
  const settings = targetNamed(config, target.target);
  const account = target.account ?? asWhom(settings, user.groups)?.account;
  return { target: settings, account };
}

type Row = readonly string[];

function sayQuestion({ user, target, address, time }: Question): Row[] {
  return [
    ['user', user.name],
    ['groups', user.groups.join(', ') || 'none'],
    ['acr, amr', `${user.acr ?? 'none'}, ${user.amr.join(' ') || 'none'}`],
    ['target', sayTarget(target)],
    ['request', `from ${address} at ${formatTime(time)}`],
  ];
}

function sayTarget(asked: Target): string {
  const parts =
    asked.target === undefined
      ? [
          `cluster ${asked.cluster}`,
          asked.namespace && `namespace ${asked.namespace}`,
          asked.resource && `resource ${asked.resource}`,
        ]
      : [`target ${asked.target}`, asked.account && `account ${asked.account}`];
  return parts.filter(Boolean).join(', ');
}

function sayAdmitted(config: Config, { user }: Question, { cluster, target, account }: FoundTarget): Row[] {
  const { identity_provider } = config;
  const say = (allowed: readonly string[], setting: string, code: string): Row => {
    const groups = `${setting}.allowed_groups: ${allowed.join(', ')}`;
    return admits(allowed, user.groups) ? ['admitted', `by ${groups}`] : ['denied', `${code}: in none of ${groups}`];
  };
  const lost = user.groups.length === 0 && groupsTighten(config);
  return [
    ...(lost ? [['denied', 'groups: there is none, and the policy is tighter for some groups']] : []),
    say(identity_provider.allowed_groups, 'identity_provider', 'not_admitted'),
    ...(cluster ? [say(cluster.allowed_groups, `cluster ${cluster.name}`, 'invalid_target')] : []),
    ...(target ? [say(target.allowed_groups, `target ${target.name}`, 'invalid_target')] : []),
    ...(target ? sayAccount(target, user.groups, account) : []),
  ];
}

function sayAccount(target: TargetSettings, groups: readonly string[], account: string | undefined): Row[] {
  const theirs = theirAccounts(target, groups);
  const all = theirs.join(', ') || 'none';
  if (account !== undefined && theirs.includes(account)) return [['account', `${account}, of theirs: ${all}`]];
  if (target.kind === 'tcp' && account === undefined) return [];
  const asked = account === undefined ? 'no account there is theirs' : `${account} is none of theirs: ${all}`;
  return [['denied', `invalid_target: ${asked}`]];
}

function saySegments(policy: Policy, target: Target): Row[] {
  const { segment } = resolveLimits(policy, target);
  const applying = policy.segments.filter(({ match }) => matches(match, target));
  if (applying.length === 0) return [['segments', 'none applies']];
  return applying.map(({ name, match }) => [
    'segment',
    `${name}: applies to ${sayMatch(match)}${name === segment ? '; names the reason' : ''}`,
  ]);
}

function sayRule(outcome: RuleResult, target: Target): Row {
  return ['rule', `${outcome.rule}: ${sayOutcome(outcome, target)}`];
}

function sayOutcome(outcome: RuleResult, target: Target): string {
  if (outcome.yields) {
    const { match } = outcome.yields;
    if (match === undefined) return 'holds, for the whole session';
    return `holds, for ${sayMatch(match)}${matches(match, target) ? '' : ': not for this target'}`;
  }
  switch (outcome.because) {
    case 'does_not_hold':
      return 'does not hold';
    case 'no_cluster':
      return 'not evaluated: it looks at the cluster, and none was asked for';
    case 'other_cluster':
      return 'not evaluated: it looks at the cluster, and is for other clusters';
    case 'no_target':
      return 'not evaluated: it looks at the target, and none was asked for';
    case 'other_target':
      return 'not evaluated: it looks at the target, and is for other targets or accounts';
    case 'error':
      return `denies: it cannot be evaluated: ${sayError(outcome.error)}`;
  }
}

/** The language's own words, without the part of the expression that it draws beneath. */
function sayError(error: unknown): string {
  return error instanceof Error ? (error.message.split('\n', 1)[0] ?? '') : 'unknown error';
}

const LISTS = ['clusters', 'namespaces', 'resources', 'targets', 'accounts'] as const;

function sayMatch(match: Match): string {
  return LISTS.flatMap((list) => (match[list] ? [`${list} ${match[list].join(', ')}`] : [])).join(' and ');
}

function sayLimits({ limits, from }: Explained): Row[] {
  const say = (key: 'max_age' | 'inactivity_timeout' | 'token_ttl' | 'revalidate'): Row => [
    `  ${key}`,
    limits[key] === undefined ? 'never' : formatDuration(limits[key]),
    (from[key] ?? []).join(', '),
  ];
  const acr = limits.acr && (limits.acr.join(' or ') || 'none would do');
  return [
    ...(['max_age', 'inactivity_timeout', 'token_ttl'] as const).map(say),
    ...(limits.revalidate === undefined ? [] : [say('revalidate')]),
    ['  acr', acr ?? 'any', (from.acr ?? []).join(', ')],
  ];
}

/** Rows as lines, each column as wide as its widest cell. */
function table(rows: readonly Row[]): string[] {
  const widths = [0, 1].map((column) =>
    Math.max(...rows.map((row) => (row.length > column + 1 ? (row[column]?.length ?? 0) : 0))),
  );
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}
