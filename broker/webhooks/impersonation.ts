// Who a request wants to act as, where that is a ServiceAccount or an identity of Kubernetes' own: in its name a session could make
// itself a token that outlives it, and what is done so is asked about no more. Denied, unless a segment allows it.

import { globMatches } from '../../shared/globs.ts';
import { EVERY, type Match } from '../../shared/policy.ts';
import type { ResourceRequest } from '../../shared/reach.ts';

/**
 * The namespace of the ServiceAccount, or of those of the group, that a request wants to act as; `EVERY` for an identity that is of no
 * single one. kube-apiserver asks with the verb `impersonate`, and with `impersonate:MODE` where impersonation is constrained; what it
 * then asks as `impersonate-on:MODE:VERB` is of no use without.
 *
 * @returns `undefined` for whatever else, people among it
 */
export function actsAs({ verb, resource, namespace, name }: ResourceRequest): string | undefined {
  if (verb !== 'impersonate' && !verb.startsWith('impersonate:')) return undefined;
  switch (resource) {
    case 'serviceaccounts':
      return namespace === '' ? EVERY : namespace;
    case 'users':
      return NOBODYS_USERS.has(name) ? undefined : namespaceIn(USER, name);
    case 'groups':
      return NOBODYS_GROUPS.has(name) ? undefined : namespaceIn(GROUP, name);
    case 'uids':
    case 'userextras':
      return undefined;
    default:
      // `nodes`, `*`, and what is not known
      return EVERY;
  }
}

/** Whether a segment allows a session to act as ServiceAccounts there; one that names namespaces allows no others. */
export function mayActAs(
  segments: readonly { readonly match: Match; readonly impersonate_service_accounts?: boolean | undefined }[],
  cluster: string,
  namespace: string,
): boolean {
  return segments.some(({ match: { clusters, namespaces, resources }, impersonate_service_accounts }) => {
    if (impersonate_service_accounts !== true) return false;
    const inCluster = clusters?.some((glob) => globMatches(glob, cluster)) ?? true;
    const inNamespace = namespaces?.some((glob) => namespace !== EVERY && globMatches(glob, namespace)) ?? true;
    const ofThem = resources?.some((glob) => globMatches(glob, 'serviceaccounts')) ?? true;
    return inCluster && inNamespace && ofThem;
  });
}

const USER = /^system:serviceaccount:([^:]+):[^:]+$/;
const GROUP = /^system:serviceaccounts:([^:]+)$/;
/** What gives nobody anything that a session does not have. */
const NOBODYS_USERS: ReadonlySet<string> = new Set(['system:anonymous']);
const NOBODYS_GROUPS: ReadonlySet<string> = new Set(['system:authenticated', 'system:unauthenticated']);

/** Names of Kubernetes' own that are of no namespace (`system:masters`, `system:node:n1`) are of all. */
function namespaceIn(pattern: RegExp, name: string): string | undefined {
  return name.startsWith('system:') ? (pattern.exec(name)?.[1] ?? EVERY) : undefined;
}
