// What a token is asked for, resolved: the cluster or the target, its limits, and what the rules yield for this person and request.

import { type ResolvedLimits, resolveLimits, withYields, type Yield } from '../../shared/policy.ts';
import type { Seconds } from '../../shared/time.ts';
import { clusterLimits } from '../config/clusters.ts';
import type { Cluster, Config } from '../config/settings.ts';
import type { TargetSettings } from '../config/target_settings.ts';
import { accessLimits } from '../config/targets.ts';
import type { RuleFacts } from '../rules/facts.ts';
import { type AskedFor, yieldsOf } from '../rules/rules.ts';
import { type AsWhom, asWhom } from './accounts.ts';
import { mayUse } from './admission.ts';

interface Resolved {
  readonly limits: ResolvedLimits;
  /** What rules yielded just now, to be stored with the session. */
  readonly yields: readonly Yield[];
}

/** What is asked for, resolved. */
export type Asked = AskedSession | AskedCluster | AskedTarget;
/** What has tokens of its own. */
export type AskedAudience = AskedCluster | AskedTarget;

/** The session as a whole. */
export interface AskedSession extends Resolved {
  readonly cluster?: undefined;
  readonly target?: undefined;
}

export interface AskedCluster extends Resolved {
  readonly cluster: Cluster;
  readonly target?: undefined;
}

export interface AskedTarget extends Resolved, AsWhom {
  readonly target: TargetSettings;
  readonly cluster?: undefined;
}

/** The person as rules see them. */
export interface Subject {
  readonly user: RuleFacts['user'];
  /** The address at login. */
  readonly login_address: string;
  /** What rules have yielded for the session before. */
  readonly yields?: readonly Yield[];
}

/** Why what is asked for cannot be judged. Unknown ones and those that do not admit the person get one answer. */
export interface Unresolved extends AskedFor {
  readonly refused: 'invalid_target' | 'rule_error';
  readonly message: string;
  /** For the audit log: the rule that could not be evaluated, and for what. */
  readonly rule?: string;
}
const NO_SUCH_TARGET: Unresolved = {
  refused: 'invalid_target',
  message: 'no such cluster or target, or you have no access to it',
};

/** What a token is asked for. */
export interface Wish {
  readonly audience?: string | undefined;
  /** At a target; without it the first that is theirs. */
  readonly account?: string | undefined;
  /** Of whoever is to log in at an SSH server: `ssh-ed25519 AAAA...`. */
  readonly ssh_public_key?: string | undefined;
  /** Whether only the way to the target is wanted, and nothing that is presented there: what was given before is. */
  readonly way_alone?: boolean | undefined;
  /** The caller's own. */
  readonly max_age?: Seconds | undefined;
}

/** A wish for a token of one cluster or target. */
export type AudienceWish = Wish & { readonly audience: string };

type TargetParts = Pick<Config, 'policy' | 'clusters' | 'targets'>;

/** Resolves what is asked for, and evaluates the rules. Without an audience the session as a whole is meant. */
export function resolveTarget(
  config: TargetParts,
  wish: AudienceWish,
  subject: Subject,
  origin: Origin,
  now: Seconds,
): AskedAudience | Unresolved;

export function resolveTarget(
  config: TargetParts,
  wish: Wish,
  subject: Subject,
  origin: Origin,
  now: Seconds,
): Asked | Unresolved;

export function resolveTarget(
  { policy, ...config }: TargetParts,
  wish: Wish,
  subject: Subject,
  origin: Origin,
  now: Seconds,
): Asked | Unresolved {
  const found = findAsked(config, wish, subject.user.groups);
  if (!found) return NO_SUCH_TARGET;
  const facts = ruleFacts(subject, origin, found, now);
  const yields = policy.rules.length === 0 ? [] : yieldsOf(policy.rules, facts, subject.yields);
  if ('failed' in yields) {
    const message = `the rule ${yields.failed} of the policy cannot be evaluated`;
    return { refused: 'rule_error', message, rule: yields.failed, ...namesOf(found) };
  }
  const { max_age } = wish;
  const { cluster, target, account } = found;
  if (target) {
    const limits = withYields(
      accessLimits({ policy }, target, account, max_age),
      { target: target.name, account },
      yields,
    );
    return { target, account, limits, yields };
  }
  if (!cluster) return { limits: withYields(resolveLimits(policy, {}, { max_age }), {}, yields), yields };
  const limits = withYields(clusterLimits({ policy }, cluster, max_age), { cluster: cluster.name }, yields);
  return { cluster, limits, yields };
}

/** What an audience stands for, by its settings. */
export interface FoundTarget extends AsWhom {
  readonly cluster?: Cluster | undefined;
  readonly target?: TargetSettings | undefined;
}

/** @returns `undefined` where it is nothing, or nothing that admits somebody with these groups */
function findAsked(
  { clusters, targets }: Pick<Config, 'clusters' | 'targets'>,
  { audience, account }: Wish,
  idp_groups: readonly string[],
): FoundTarget | undefined {
  if (audience === undefined) return {};
  const cluster = clusters.find((candidate) => candidate.audience === audience);
  if (cluster) return mayUse(cluster, idp_groups) ? { cluster } : undefined;
  const target = targets.find((candidate) => candidate.audience === audience);
  const as = target && asWhom(target, idp_groups, account);
  return as && { target, ...as };
}

/** What rules see. */
export function ruleFacts(
  { user, login_address }: Subject,
  { address, user_agent }: Origin,
  { cluster, target, account }: FoundTarget,
  now: Seconds,
): RuleFacts {
  return {
    user,
    request: { address, time: now, user_agent },
    ...(cluster && { cluster: { name: cluster.name, labels: cluster.labels } }),
    ...(target && { target: { name: target.name, kind: target.kind, account } }),
    session: { address: login_address },
  };
}

/** By their names, for rows of the audit log; nothing for the session as a whole. */
export function namesOf({ cluster, target, account }: FoundTarget): AskedFor {
  if (cluster) return { cluster: cluster.name };
  return target ? { target: target.name, ...(account !== undefined && { account }) } : {};
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
