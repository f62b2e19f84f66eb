// Which gateway asks: that of a cluster, or the one of targets. Known by its bearer token, and by nothing else.

import type { KeyObject } from 'node:crypto';
import type { Cluster, Config, GatewaySettings } from '../config/settings.ts';
import { ownerOfBearer } from '../net/bearer.ts';

/** A cluster behind a gateway. */
export type GatewayCluster = Cluster & { readonly gateway: GatewaySettings };

/** The gateway before a cluster. */
export interface ClusterGateway {
  readonly kind: 'cluster';
  /** Of the cluster. */
  readonly name: string;
  readonly cluster: GatewayCluster;
  readonly token: KeyObject;
}

/** The gateway that people reach targets through. */
export interface TargetGateway {
  readonly kind: 'targets';
  readonly name: typeof OF_TARGETS;
  readonly token: KeyObject;
}

export type GatewayCaller = ClusterGateway | TargetGateway;

/** Stands where a gateway of a cluster has the cluster's name: none is called so. */
export const OF_TARGETS = '';

/**
 * @param authorization the header as it came
 * @returns `undefined` for anything but the token of a gateway
 */
export function gatewayOf(
  { clusters, target_gateway }: Pick<Config, 'clusters' | 'target_gateway'>,
  authorization?: string,
): GatewayCaller | undefined {
  const callers: GatewayCaller[] = clusters.filter(hasGateway).map((cluster) => ({
    kind: 'cluster',
    name: cluster.name,
    cluster,
    token: cluster.gateway.token,
  }));
  if (target_gateway) callers.push({ kind: 'targets', name: OF_TARGETS, token: target_gateway.token });
  return ownerOfBearer(callers, ({ token }) => token, authorization);
}

/** @returns `undefined` for anything but the token of a cluster's gateway */
export function clusterOfGateway(
  config: Pick<Config, 'clusters' | 'target_gateway'>,
  authorization?: string,
): GatewayCluster | undefined {
  const caller = gatewayOf(config, authorization);
  return caller?.kind === 'cluster' ? caller.cluster : undefined;
}

export function hasGateway(cluster: Cluster): cluster is GatewayCluster {
  return cluster.gateway !== undefined;
}
