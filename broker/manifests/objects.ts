// Objects of Kubernetes as the audit sees them: which kinds it knows, and each with what it is asked for most.

import { isObject } from '../../shared/wire.ts';
import { type Fields, fieldsAt, listAt, type Path, textAt, textsAt } from './values.ts';

export interface KubeObject {
  readonly kind: string;
  /** Of `apiVersion`; empty for the core. */
  readonly group: string;
  readonly name: string;
  /** Absent where it says none. */
  readonly namespace: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly value: Fields;
  readonly place: Place;
}

/** Where something is: a file as it was named, and a line of it. */
export interface Place {
  readonly file: string;
  readonly lineOf: (...path: Path) => number;
}

/** By kind the groups under which it is looked at; each resource by its name in the API, for a cluster. */
export const KINDS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  Ingress: { 'networking.k8s.io': 'ingresses', extensions: '' },
  NetworkPolicy: { 'networking.k8s.io': 'networkpolicies' },
  Service: { '': 'services' },
  Pod: { '': 'pods' },
  ConfigMap: { '': 'configmaps' },
  Deployment: { apps: 'deployments' },
  StatefulSet: { apps: 'statefulsets' },
  DaemonSet: { apps: 'daemonsets' },
  Gateway: { 'gateway.networking.k8s.io': 'gateways', 'networking.istio.io': 'gateways' },
  HTTPRoute: { 'gateway.networking.k8s.io': 'httproutes' },
  GRPCRoute: { 'gateway.networking.k8s.io': 'grpcroutes' },
  IngressRoute: { 'traefik.io': 'ingressroutes', 'traefik.containo.us': '' },
  IngressRouteTCP: { 'traefik.io': 'ingressroutetcps', 'traefik.containo.us': '' },
  Middleware: { 'traefik.io': 'middlewares', 'traefik.containo.us': '' },
  TraefikService: { 'traefik.io': 'traefikservices' },
  ServersTransport: { 'traefik.io': 'serverstransports', 'traefik.containo.us': '' },
  VirtualServer: { 'k8s.nginx.org': 'virtualservers' },
  VirtualServerRoute: { 'k8s.nginx.org': 'virtualserverroutes' },
  TransportServer: { 'k8s.nginx.org': 'transportservers' },
  Policy: { 'k8s.nginx.org': 'policies' },
  HTTPProxy: { 'projectcontour.io': 'httpproxies' },
  ContourConfiguration: { 'projectcontour.io': 'contourconfigurations' },
  ClientTrafficPolicy: { 'gateway.envoyproxy.io': 'clienttrafficpolicies' },
  BackendTrafficPolicy: { 'gateway.envoyproxy.io': 'backendtrafficpolicies' },
  SecurityPolicy: { 'gateway.envoyproxy.io': 'securitypolicies' },
  DestinationRule: { 'networking.istio.io': 'destinationrules' },
  VirtualService: { 'networking.istio.io': 'virtualservices' },
  EnvoyFilter: { 'networking.istio.io': 'envoyfilters' },
  RequestAuthentication: { 'security.istio.io': 'requestauthentications' },
  AuthorizationPolicy: { 'security.istio.io': 'authorizationpolicies' },
  ServiceProfile: { 'linkerd.io': 'serviceprofiles' },
  CiliumNetworkPolicy: { 'cilium.io': 'ciliumnetworkpolicies' },
  CiliumClusterwideNetworkPolicy: { 'cilium.io': 'ciliumclusterwidenetworkpolicies' },
};

/** Lists of them are looked through. */
export function isKnownKind(kind: string): boolean {
  return Object.hasOwn(KINDS, kind) || kind.endsWith('List');
}

/**
 * The objects of one document: itself, or the items of a list.
 *
 * @param onUnknown with the kind of each that is not looked at
 */
export function objectsIn(value: unknown, place: Place, onUnknown: (kind: string) => void): KubeObject[] {
  if (!isObject(value)) return [];
  const kind = textAt(value, 'kind') ?? '';
  const apiVersion = textAt(value, 'apiVersion') ?? '';
  if (kind.endsWith('List') && Array.isArray(value.items)) {
    const of = kind.slice(0, -'List'.length);
    return listAt(value, 'items').flatMap((item, i) => {
      // Items of a list that a client library wrote do not name their kind.
      const whole = isObject(item) && of !== '' ? { apiVersion, kind: of, ...item } : item;
      return objectsIn(whole, { ...place, lineOf: (...path) => place.lineOf('items', i, ...path) }, onUnknown);
    });
  }
  const group = apiVersion.includes('/') ? (apiVersion.split('/')[0] ?? '') : '';
  if (kind === '' || apiVersion === '') return [];
  if (!Object.hasOwn(KINDS[kind] ?? {}, group)) {
    onUnknown(kind);
    return [];
  }
  const metadata = fieldsAt(value, 'metadata');
  // Pods that something makes are judged as that.
  if (kind === 'Pod' && listAt(metadata, 'ownerReferences').length > 0) return [];
  return [
    {
      ...{ kind, group, value, place },
      name: textAt(metadata, 'name') ?? textAt(metadata, 'generateName') ?? '',
      namespace: textAt(metadata, 'namespace') || undefined,
      labels: textsAt(metadata, 'labels'),
      annotations: textsAt(metadata, 'annotations'),
    },
  ];
}
