// Which cluster's gateway asks: known by its bearer token, and by nothing else.

import type { Cluster, Config, GatewaySettings } from '../config/settings.ts';
import { ownerOfBearer } from '../net/bearer.ts';

/** A cluster behind a gateway. */
export type GatewayCluster = Cluster & { readonly gateway: GatewaySettings };

/**
 * @param authorization the header as it came
 * @returns `undefined` for anything but the token of a cluster's gateway
 */
export function clusterOfGateway(
  { clusters }: Pick<Config, 'clusters'>,
  authorization = '',
): GatewayCluster | undefined {
  return ownerOfBearer(clusters.filter(hasGateway), ({ gateway }) => gateway.token, authorization);
}

export function hasGateway(cluster: Cluster): cluster is GatewayCluster {
  return cluster.gateway !== undefined;
}
