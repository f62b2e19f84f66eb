// What the configuration says of clusters: found by name, the limits of each, and for how long its API server takes a token.

import { CurfewError } from '../../shared/errors.ts';
import type { Limits } from '../../shared/limits.ts';
import { EVERY, type ResolvedLimits, resolveLimits } from '../../shared/policy.ts';
import type { Reach } from '../../shared/reach.ts';
import { plus, type Seconds, seconds } from '../../shared/time.ts';
import { GATEWAY_TOKEN_TYP, gatewayAudience, TOKEN_TYP, type TokenTyp } from '../../shared/token_typ.ts';
import type { BrokerPolicy, Cluster, Config } from './settings.ts';

/** @throws CurfewError `usage` when there is no cluster of this name */
export function clusterNamed({ clusters, file }: Config, wanted: string): Cluster {
  const cluster = clusters.find(({ name }) => name === wanted);
  if (cluster) return cluster;
  const names = clusters.map(({ name }) => name).join(', ');
  throw new CurfewError('usage', `there is no cluster ${JSON.stringify(wanted)} in ${file}, only ${names}`);
}

/**
 * The limits of one cluster: the policy, the cluster's ceiling, and what the caller asks for. The latter tighten only.
 *
 * @param max_age the plugin's `--max-age`, in seconds
 */
export function clusterLimits(config: Pick<Config, 'policy'>, cluster: Cluster, max_age?: Seconds): ResolvedLimits {
  return targetLimits(config, cluster, {}, max_age);
}

/** The same for one namespace or resource of the cluster. */
export function targetLimits(
  config: Pick<Config, 'policy'>,
  cluster: Cluster,
  within: Reach,
  max_age?: Seconds,
): ResolvedLimits {
  return resolveLimits(config.policy, { cluster: cluster.name, ...within }, ceilingLimits(cluster), { max_age });
}

/** The smallest limits that any request to the cluster can meet, apart from what rules yield. */
export function strictestLimits(config: Pick<Config, 'policy'>, cluster: Cluster): ResolvedLimits {
  return targetLimits(config, cluster, { namespace: EVERY, resource: EVERY });
}

/** Whether any part of a policy wants the identity provider to vouch for accounts again. */
export function revalidates({ limits, segments, rules }: BrokerPolicy): boolean {
  return [{ limits }, ...segments, ...rules].some((part) => part.limits.revalidate !== undefined);
}

/**
 * Whether anything is tighter for who is in some group: a rule that looks at groups, or a ServiceAccount that comes before the one
 * for everyone. Then somebody whose groups got lost on the way would have more, not less.
 */
export function groupsTighten({ policy, clusters }: Pick<Config, 'policy' | 'clusters'>): boolean {
  return (
    policy.rules.some(({ when }) => when.uses_groups) ||
    clusters.some(({ service_accounts = [] }) => service_accounts.findIndex(({ group }) => group === '*') > 0)
  );
}

/** kube-apiserver goes on taking a token that it took, for as long as this: the cache of its authenticators. */
export const AUTHENTICATOR_CACHE = seconds(10);
/** By default; `--authentication-token-webhook-cache-ttl` of kube-apiserver may say less. */
const TOKEN_REVIEW_CACHE = seconds(120);
/** For the deletion of a session's Secret. */
const DELETION = seconds(1);
/** For how many seconds after its `exp` an API server of this cluster may still take a token. */
export function takenAfterExp({ webhook }: Pick<Cluster, 'webhook'>): Seconds {
  return webhook?.authentication ? plus(TOKEN_REVIEW_CACHE, AUTHENTICATOR_CACHE) : AUTHENTICATOR_CACHE;
}

/** For how many seconds any token can be taken that is minted under this configuration. */
export function longestTaken({ policy, clusters }: Pick<Config, 'policy' | 'clusters'>): Seconds {
  const after = clusters.map((cluster) => takenAfterExp(cluster));
  return plus(policy.limits.token_ttl, seconds(Math.max(...after)));
}

/** Seconds until the end of a session takes effect at a cluster, at most, with broker and API server up. */
export function endWithin(config: Pick<Config, 'policy'>, cluster: Cluster): Seconds {
  if (cluster.webhook || cluster.gateway?.required) return seconds(0);
  if (cluster.credential === 'service-account') return plus(AUTHENTICATOR_CACHE, DELETION);
  return plus(clusterLimits(config, cluster).target.token_ttl, AUTHENTICATOR_CACHE);
}

/** The `aud` of tokens for a cluster's gateway alone; `undefined` where it has none. */
export function gatewayAudienceOf({ name, gateway }: Pick<Cluster, 'name' | 'gateway'>): string | undefined {
  return gateway && gatewayAudience(name);
}

/** For whom the tokens are that people get: the cluster, or its gateway alone. */
export function personsAudience(cluster: Cluster): { readonly audience: string; readonly typ: TokenTyp } {
  return cluster.gateway?.required
    ? { audience: gatewayAudience(cluster.name), typ: GATEWAY_TOKEN_TYP }
    : { audience: cluster.audience, typ: TOKEN_TYP };
}

/** What ids of tokens are made for that a gateway got in place of a person's: no audience has a space. */
export function swappedAudience({ name, audience }: Cluster): string {
  return `${audience} by ${gatewayAudience(name)}`;
}

/** Where people reach a cluster, and whose certificates they are to believe there (PEM): its gateway's, where it has one. */
export function entranceOf({ server, ca, gateway }: Cluster): {
  readonly server: string;
  readonly ca?: string | undefined;
} {
  return gateway ? { server: gateway.url, ca: gateway.ca } : { server, ca };
}

/** What the API server enforces by itself, as limits. */
export function ceilingLimits(cluster: Pick<Cluster, 'ceiling'>): Limits {
  return { max_age: cluster.ceiling?.max_age, token_ttl: cluster.ceiling?.token_ttl };
}
