// Whom a person acts as in a cluster whose own ServiceAccounts are used.

import type { Cluster, ServiceAccountMapping } from '../config/settings.ts';
import { admits } from './groups.ts';

/** The first mapping that a person's groups fit. @returns `undefined` where none does */
export function serviceAccountOf(
  { service_accounts = [] }: Pick<Cluster, 'service_accounts'>,
  idp_groups: readonly string[],
): ServiceAccountMapping | undefined {
  return service_accounts.find(({ group }) => admits([group], idp_groups));
}
