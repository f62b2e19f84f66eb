// Which cluster's API server asks: known by the bearer token that `print webhook-kubeconfig` gave it, and by nothing else.

import type { Cluster, Config } from '../config/settings.ts';
import { ownerOfBearer } from '../net/bearer.ts';

/**
 * @param authorization the header as it came
 * @returns `undefined` for anything but the webhook token of a cluster
 */
export function clusterOfToken({ clusters }: Pick<Config, 'clusters'>, authorization = ''): Cluster | undefined {
  return ownerOfBearer(clusters, ({ webhook }) => webhook?.token, authorization);
}
