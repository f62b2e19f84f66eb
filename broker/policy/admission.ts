// Whom the configuration admits: to the broker, and to a cluster.

import { groupsTighten } from '../config/clusters.ts';
import type { Cluster, Config } from '../config/settings.ts';
import { admits } from './groups.ts';
import { serviceAccountOf } from './service_accounts.ts';

/** Whether a cluster admits somebody with these groups; where its own ServiceAccounts are used, one of them must be theirs. */
export function mayUse(cluster: Cluster, idp_groups: readonly string[]): boolean {
  if (!admits(cluster.allowed_groups, idp_groups)) return false;
  return cluster.credential === 'token' || serviceAccountOf(cluster, idp_groups) !== undefined;
}

/** Whether the person of a session could still log in: their IdP and their groups are in the configuration. */
export function mayLogIn(
  config: Pick<Config, 'identity_provider' | 'policy' | 'clusters'>,
  { iss, idp_groups }: { readonly iss: string; readonly idp_groups: readonly string[] },
): boolean {
  const { issuer, allowed_groups } = config.identity_provider;
  if (idp_groups.length === 0 && groupsTighten(config)) return false;
  return iss === issuer && admits(allowed_groups, idp_groups);
}
