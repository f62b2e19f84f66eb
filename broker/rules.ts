// Rules of the policy: CEL expressions over who asks from where. A rule can only tighten, and one that cannot be evaluated
// denies. Expressions are checked when the policy is loaded; a rule sees the time it is given and no clock.

import { BlockList, isIP, isIPv6 } from 'node:net';
import { Environment } from '@marcbachmann/cel-js';
import { CurfewError } from '../shared/errors.ts';
import type { Limits } from '../shared/limits.ts';
import type { Match, Yield } from '../shared/policy.ts';
import type { Seconds } from '../shared/time.ts';

/** What a rule can look at. Names as the IdP gives them. */
export interface RuleFacts {
  readonly user: {
    readonly name: string;
    readonly groups: readonly string[];
    readonly acr?: string | undefined;
    readonly amr: readonly string[];
  };
  readonly request: { readonly address: string; readonly time: Seconds; readonly user_agent?: string | undefined };
  /** Absent at a login that is for no cluster: rules that look at it are then not evaluated. */
  readonly cluster?: { readonly name: string; readonly labels: Readonly<Record<string, string>> } | undefined;
  readonly session: { readonly address: string };
}

/** An expression that has been checked. */
export interface Condition {
  readonly text: string;
  readonly uses_cluster: boolean;
  /** @throws Error when it cannot be evaluated for these facts */
  holds(facts: RuleFacts): boolean;
}

export interface Rule {
  readonly name: string;
  readonly when: Condition;
  /** Which targets its limits are for; without it, and without a look at the cluster, they are session-wide. */
  readonly match?: Match | undefined;
  readonly limits: Limits;
}

/** @returns the condition, or what is wrong with it in a few words */
export function parseCondition(text: string): Condition | string {
  const fault = faultOf(WITH_CLUSTER, text);
  if (fault !== undefined) return fault;
  const uses_cluster = faultOf(WITHOUT_CLUSTER, text) !== undefined;
  const program = (uses_cluster ? WITH_CLUSTER : WITHOUT_CLUSTER).parse(text);
  return Object.freeze({
    text,
    uses_cluster,
    holds: (facts: RuleFacts) => {
      const holds: unknown = program(asVariables(facts));
      if (typeof holds !== 'boolean') throw new TypeError('a condition is neither true nor false');
      return holds;
    },
  });
}

/**
 * Evaluates all rules that can be evaluated for these facts.
 *
 * @param before what rules yielded for this session so far: kept only of rules that look at another cluster
 * @throws CurfewError `rule_error`, naming the rule: then nothing may be issued
 */
export function yieldsOf(rules: readonly Rule[], facts: RuleFacts, before: readonly Yield[] = []): readonly Yield[] {
  const { cluster } = facts;
  const names = new Set(rules.map(({ name }) => name));
  const kept = before.filter(
    (old) => old.cluster !== undefined && old.cluster !== cluster?.name && names.has(old.rule),
  );
  const fresh = rules.flatMap((rule): Yield[] => {
    const { name, when, match, limits } = rule;
    if (when.uses_cluster && cluster === undefined) return [];
    if (!holds(rule, facts)) return [];
    if (!when.uses_cluster || cluster === undefined) return [{ rule: name, ...(match && { match }), limits }];
    return [{ rule: name, match: { clusters: [cluster.name], ...match }, limits, cluster: cluster.name }];
  });
  return [...kept, ...fresh];
}

function holds({ name, when }: Rule, facts: RuleFacts): boolean {
  try {
    return when.holds(facts);
  } catch (cause) {
    throw new CurfewError('rule_error', `the rule ${name} of the policy cannot be evaluated`, { cause });
  }
}

function environment() {
  return new Environment({ limits: { maxAstNodes: 2000, maxDepth: 60 } })
    .registerVariable({
      name: 'user',
      schema: { name: 'string', groups: 'list<string>', acr: 'string', amr: 'list<string>' },
    })
    .registerVariable({
      name: 'request',
      schema: { address: 'string', time: 'google.protobuf.Timestamp', user_agent: 'string' },
    })
    .registerVariable({ name: 'session', schema: { address: 'string' } })
    .registerFunction('inNetwork(string, string): bool', inNetwork);
}

const WITHOUT_CLUSTER = environment();
const WITH_CLUSTER = environment().registerVariable({
  name: 'cluster',
  schema: { name: 'string', labels: 'map<string, string>' },
});

function faultOf(env: Environment, text: string): string | undefined {
  const { valid, type, error } = env.check(text);
  if (!valid) return (error?.message ?? 'not an expression').split('\n', 1)[0];
  return type === 'bool' ? undefined : `it gives ${type}, not true or false`;
}

function asVariables({ user, request, cluster, session }: RuleFacts) {
  return {
    user: { ...user, acr: user.acr ?? '' },
    request: { ...request, time: new Date(request.time * 1000), user_agent: request.user_agent ?? '' },
    ...(cluster && { cluster }),
    session,
  };
}

/** Whether an address lies in a block such as `10.0.0.0/8`. */
function inNetwork(address: string, block: string): boolean {
  const [base = '', bits = ''] = block.split('/');
  if (isIP(base) === 0 || isIP(address) === 0) throw new TypeError('not an address, or not a block of addresses');
  const list = new BlockList();
  list.addSubnet(base, Number(bits), isIPv6(base) ? 'ipv6' : 'ipv4');
  return list.check(address, isIPv6(address) ? 'ipv6' : 'ipv4');
}
