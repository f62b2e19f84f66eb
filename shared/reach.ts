// What of a cluster a request reaches, from what kube-apiserver says of it: so that no way leads around the limits of a namespace
// or a resource. What is not known to lie outside of all namespaces meets what each of them would meet.

import { type ClusterTarget, EVERY } from './policy.ts';

export type Reach = Pick<ClusterTarget, 'namespace' | 'resource'>;

/** A request's resource, as kube-apiserver asks about it; empty where it does not say. */
export interface ResourceRequest {
  readonly verb: string;
  readonly group: string;
  readonly resource: string;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
}

const EVERYTHING: Reach = { namespace: EVERY, resource: EVERY };

export function reachOfResource(request: ResourceRequest): Reach {
  const { verb, group, resource, subresource } = request;
  // Whoever acts as somebody else is asked about only here: what follows is judged in their name, not in a session's.
  if (verb.startsWith('impersonate')) return EVERYTHING;
  if ([resource, subresource].includes(EVERY) || resource === '') return { ...spaceOf(request), resource: EVERY };
  // A kubelet runs commands in all pods of its node and reads their logs: `nodes/proxy`, and what it asks about by itself.
  if (group === '' && resource === 'nodes' && subresource !== '') return EVERYTHING;
  return { ...spaceOf(request), resource: subresource === '' ? resource : `${resource}/${subresource}` };
}

/** A path that names no resource: health and discovery lie outside of namespaces; `/logs`, `/metrics`, `/debug` and whatever else do not. */
export function reachOfPath(path: string, verb: string): Reach {
  return ['get', 'head'].includes(verb) && OPEN.test(path) ? {} : EVERYTHING;
}

/** What kubectl asks before the request that is meant: what Kubernetes' own role `system:discovery` lets everybody read who is logged in. */
export function isDiscovery(path: string, verb: string): boolean {
  return verb === 'get' && DISCOVERY.test(path);
}

// Segments of plain characters alone, and none of dots: no path that two parsers read differently.
const SEGMENT = '(?!\\.+(?:/|$))[A-Za-z0-9._-]+';
const DISCOVERY = new RegExp(`^/(?:(?:api|apis|openapi|version)(?:/${SEGMENT})*/?|healthz|livez|readyz)$`);
const OPEN = new RegExp(`^/(?:api|apis|openapi|version|healthz|livez|readyz|\\.well-known|openid)(?:/${SEGMENT})*/?$`);

/** Without a namespace a request is for something outside of all, or for all of them at once: then each one's limits apply. */
function spaceOf({ verb, group, resource, subresource, namespace, name }: ResourceRequest): Reach {
  // The namespace itself: kube-apiserver names it as one, others may not.
  const named = namespace === '' && group === '' && resource === 'namespaces' ? name : namespace;
  // An aggregated API may call anything a namespace, such as `*`.
  if (named !== '') return { namespace: LABEL.test(named) ? named : EVERY };
  const harmless = READS.has(verb) ? HARMLESS.read : verb === 'create' ? HARMLESS.create : undefined;
  return subresource === '' && harmless?.get(group)?.has(resource) ? {} : { namespace: EVERY };
}

/** RFC 1123. */
const LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const READS: ReadonlySet<string> = new Set(['get', 'list', 'watch']);

/**
 * Kubernetes' own resources that lie in no namespace and tell nothing of what lies in one, by API group. A change to them is felt
 * in all namespaces: webhooks, definitions, bindings, nodes. A volume is the data of somebody's namespace, so none is here.
 * What is not known here (a custom resource) counts as asked for in all namespaces: a review does not say which.
 */
const HARMLESS = {
  read: table({
    '': ['componentstatuses', 'namespaces', 'nodes'],
    'admissionregistration.k8s.io': [
      'mutatingadmissionpolicies',
      'mutatingadmissionpolicybindings',
      'mutatingwebhookconfigurations',
      'validatingadmissionpolicies',
      'validatingadmissionpolicybindings',
      'validatingwebhookconfigurations',
    ],
    'apiextensions.k8s.io': ['customresourcedefinitions'],
    'apiregistration.k8s.io': ['apiservices'],
    'certificates.k8s.io': ['certificatesigningrequests', 'clustertrustbundles'],
    'flowcontrol.apiserver.k8s.io': ['flowschemas', 'prioritylevelconfigurations'],
    'networking.k8s.io': ['ingressclasses', 'ipaddresses', 'servicecidrs'],
    'node.k8s.io': ['runtimeclasses'],
    policy: ['podsecuritypolicies'],
    'rbac.authorization.k8s.io': ['clusterrolebindings', 'clusterroles'],
    'resource.k8s.io': ['deviceclasses', 'devicetaintrules', 'resourceslices'],
    'scheduling.k8s.io': ['priorityclasses'],
    'storage.k8s.io': ['csidrivers', 'csinodes', 'storageclasses', 'volumeattributesclasses'],
  }),
  /** Questions: nothing comes into being. */
  create: table({
    'authentication.k8s.io': ['selfsubjectreviews', 'tokenreviews'],
    'authorization.k8s.io': ['selfsubjectaccessreviews', 'selfsubjectrulesreviews', 'subjectaccessreviews'],
  }),
};

function table(groups: Readonly<Record<string, readonly string[]>>): ReadonlyMap<string, ReadonlySet<string>> {
  return new Map(Object.entries(groups).map(([group, resources]) => [group, new Set(resources)]));
}
