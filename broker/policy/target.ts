// What a token is asked for, resolved: the cluster, its limits, and what the rules yield for this person and request.

import { type ResolvedLimits, resolveLimits, withYields, type Yield } from '../../shared/policy.ts';
import type { Seconds } from '../../shared/time.ts';
import { clusterLimits } from '../config/clusters.ts';
import type { Cluster, Config } from '../config/settings.ts';
import type { RuleFacts } from '../rules/facts.ts';
import { yieldsOf } from '../rules/rules.ts';
import { mayUse } from './admission.ts';

/** A target as asked for, resolved: no cluster means the session as a whole. */
export interface Asked {
  readonly cluster?: Cluster | undefined;
  readonly limits: ResolvedLimits;
  /** What rules yielded just now, to be stored with the session. */
  readonly yields: readonly Yield[];
}

/** A target that is a cluster. */
export type AskedCluster = Asked & { readonly cluster: Cluster };
/** The person as rules see them. */
export interface Subject {
  readonly user: RuleFacts['user'];
  /** The address at login. */
  readonly login_address: string;
  /** What rules have yielded for the session before. */
  readonly yields?: readonly Yield[];
}

/** Why a target cannot be judged. An unknown cluster and one that does not admit the person get one answer. */
export interface Unresolved {
  readonly refused: 'invalid_target' | 'rule_error';
  readonly message: string;
  /** For the audit log: the rule that could not be evaluated, and for which cluster. */
  readonly rule?: string;
  readonly cluster?: string | undefined;
}
const NO_SUCH_TARGET: Unresolved = {
  refused: 'invalid_target',
  message: 'no such cluster, or you have no access to it',
};

/** What a token is asked for. */
export interface Wish {
  readonly audience?: string | undefined;
  /** The caller's own. */
  readonly max_age?: Seconds | undefined;
}

/** Resolves what is asked for, and evaluates the rules. Without an audience the session as a whole is meant. */
export function resolveTarget(
  config: Pick<Config, 'policy' | 'clusters'>,
  wish: Wish & { readonly audience: string },
  subject: Subject,
  origin: Origin,
  now: Seconds,
): AskedCluster | Unresolved;

export function resolveTarget(
  config: Pick<Config, 'policy' | 'clusters'>,
  wish: Wish,
  subject: Subject,
  origin: Origin,
  now: Seconds,
): Asked | Unresolved;

export function resolveTarget(
  { policy, clusters }: Pick<Config, 'policy' | 'clusters'>,
  { audience, max_age }: Wish,
  subject: Subject,
  origin: Origin,
  now: Seconds,
): Asked | Unresolved {
  const cluster = clusters.find((candidate) => candidate.audience === audience);
  if (audience !== undefined && (!cluster || !mayUse(cluster, subject.user.groups))) return NO_SUCH_TARGET;
  const facts = ruleFacts(subject, origin, cluster, now);
  const yields = policy.rules.length === 0 ? [] : yieldsOf(policy.rules, facts, subject.yields);
  if ('failed' in yields) {
    const message = `the rule ${yields.failed} of the policy cannot be evaluated`;
    return { refused: 'rule_error', message, rule: yields.failed, cluster: cluster?.name };
  }
  const limits = cluster
    ? withYields(clusterLimits({ policy }, cluster, max_age), { cluster: cluster.name }, yields)
    : withYields(resolveLimits(policy, {}, { max_age }), {}, yields);
  return { cluster, limits, yields };
}

/** What rules see. */
export function ruleFacts(
  { user, login_address }: Subject,
  { address, user_agent }: Origin,
  cluster: Cluster | undefined,
  now: Seconds,
): RuleFacts {
  return {
    user,
    request: { address, time: now, user_agent },
    ...(cluster && { cluster: { name: cluster.name, labels: cluster.labels } }),
    session: { address: login_address },
  };
}

/** Names of the rules whose limits apply, for the audit log. */
export function rulesOf({ yields }: Pick<Asked, 'yields'>): readonly string[] | undefined {
  return yields.length === 0 ? undefined : yields.map(({ rule }) => rule);
}

/** Where a request comes from. */
export interface Origin {
  readonly address: string;
  /** As the client says it; shortened, and printable. */
  readonly user_agent?: string | undefined;
}
