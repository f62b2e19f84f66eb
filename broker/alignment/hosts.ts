// Each host and path, over all objects that lead there: whether somebody is asked for a session, and whether that authority was audited.

import type { KubeObject } from '../manifests/objects.ts';
import { type Estate, hasAll, hostOfUrl, podLabels, selectorOf, serviceOfUrl } from './estate.ts';
import { type Report, subjectOf } from './finding.ts';
import { askedByMesh } from './mesh.ts';
import type { LoginProxy } from './oauth2_proxy.ts';
import type { Asked, Backend, Route } from './route.ts';
import { routesOfHttpRoute } from './routes_gateway_api.ts';
import { isChallenge, routesOfIngress } from './routes_ingress.ts';
import {
  routesOfHttpProxy,
  routesOfTransportServer,
  routesOfVirtualServer,
  routesOfVirtualService,
} from './routes_others.ts';
import { routesOfIngressRoute } from './routes_traefik.ts';

const ROUTES: Readonly<Record<string, (object: KubeObject, estate: Estate) => readonly Route[]>> = {
  Ingress: routesOfIngress,
  IngressRoute: routesOfIngressRoute,
  IngressRouteTCP: routesOfIngressRoute,
  HTTPRoute: routesOfHttpRoute,
  GRPCRoute: routesOfHttpRoute,
  VirtualServer: routesOfVirtualServer,
  TransportServer: routesOfTransportServer,
  HTTPProxy: routesOfHttpProxy,
  VirtualService: routesOfVirtualService,
};

export function routesOf(estate: Estate): readonly Route[] {
  return Object.entries(ROUTES).flatMap(([kind, read]) =>
    estate
      .all(kind)
      .filter((object) => !isChallenge(object))
      .flatMap((object) => read(object, estate)),
  );
}

export interface Authorities {
  readonly estate: Estate;
  readonly routes: readonly Route[];
  readonly proxies: readonly LoginProxy[];
  /** The broker's own `iss`. */
  readonly issuer: string;
}

/** Paths on which a browser comes back from a login. */
const OF_LOGINS = /^\/(?:oauth2|\.curfew)(?:\/|$)/;
/** What the broker answers, for each kind of proxy. */
const FORWARD = /\/forward\/(?:nginx|traefik|envoy)(?:[?/]|$)/;

export function judgeHosts(all: Authorities, isMeant: (object: KubeObject) => boolean, report: Report): void {
  const finder = makeFinder(all);
  const asking = all.routes.map((route) => ({ route, asked: askedAt(route, finder) }));
  const guarded = new Set(asking.filter(({ asked }) => asked !== undefined).map(({ route }) => route.host));
  const told = new Set<string>();
  for (const { route, asked } of asking) {
    if (!isMeant(route.object) || route.answers || route.opaque) continue;
    const shown = `${route.host}${route.path}`;
    if (asked === undefined) {
      const others = guarded.has(route.host)
        ? 'other paths of this host ask somebody'
        : 'nothing on this host asks anybody';
      report('auth_missing', subjectOf(route.object), route.at, others, shown);
      continue;
    }
    if (asked === 'login') continue;
    const away = awayOf(asked, route, finder);
    const key = `${route.object.kind} ${route.object.namespace} ${route.object.name} ${away}`;
    if (away === undefined || told.has(key)) continue;
    told.add(key);
    report('auth_elsewhere', subjectOf(route.object), route.at, away, shown);
  }
}

interface Finder extends Authorities {
  /** Whether a login proxy is behind a Service. */
  readonly isLogin: (service: Backend) => boolean;
  /** Hosts on which one is reached. */
  readonly loginHosts: ReadonlySet<string>;
}

function makeFinder(all: Authorities): Finder {
  const { estate, proxies, routes } = all;
  const known = new Map<string, boolean>();
  const isLogin = ({ name, namespace }: Backend): boolean => {
    const key = `${namespace ?? ''}/${name}`;
    const before = known.get(key);
    if (before !== undefined) return before;
    const service = estate.find('Service', namespace, name) ?? estate.find('Service', undefined, name);
    const found = proxies.some(({ workload, namespace: there }) => {
      if (!workload) return false;
      if (!service) return workload.name === name && (there === namespace || there === undefined);
      const selector = selectorOf(service);
      return Object.keys(selector).length > 0 && there === service.namespace && hasAll(podLabels(workload), selector);
    });
    known.set(key, found);
    return found;
  };
  const loginHosts = new Set(routes.filter(({ backends }) => backends.some(isLogin)).map(({ host }) => host));
  return { ...all, isLogin, loginHosts };
}

/** @returns `login` where the path is the login's own, or all of it leads through a login proxy */
function askedAt(route: Route, finder: Finder): Asked | 'login' | undefined {
  const { backends } = route;
  if (backends.length > 0 && backends.every(finder.isLogin)) return 'login';
  // Whoever names an authority on the same host lets it be reached.
  if (OF_LOGINS.test(route.path) && route.asked === undefined && finder.loginHosts.has(route.host)) return 'login';
  return route.asked ?? askedByMesh(route, podsOf(backends, finder.estate), finder.estate);
}

function podsOf(backends: readonly Backend[], estate: Estate) {
  return backends.flatMap(({ name, namespace }) => {
    const service = estate.find('Service', namespace, name);
    if (!service) return [];
    const pods = estate.workloads(service.namespace, selectorOf(service));
    const labels = pods.map((pod) => podLabels(pod));
    return (labels.length > 0 ? labels : [selectorOf(service)]).map((one) => ({
      namespace: service.namespace,
      labels: one,
    }));
  });
}

/** @returns what is not known of an authority, in words */
function awayOf(asked: Asked, route: Route, finder: Finder): string | undefined {
  switch (asked.by) {
    case 'own':
      return asked.what;
    case 'tokens':
      if (asked.issuer === finder.issuer) return undefined;
      return asked.issuer === undefined ? 'tokens of an issuer that it does not name' : 'tokens of another issuer';
    case 'service':
      return finder.isLogin(asked) ? undefined : `Service ${asked.namespace ?? ''}/${asked.name}`;
    case 'url': {
      if (FORWARD.test(asked.url)) return undefined;
      const url = asked.url.replaceAll(/\$(?:host|http_host|server_name)\b/g, route.host);
      const service = serviceOfUrl(finder.estate, url, route.object.namespace);
      if (service && finder.isLogin(service)) return undefined;
      const host = hostOfUrl(url) ?? 'an address that cannot be read';
      const [name = '', namespace = route.object.namespace] = host.split('.');
      if (finder.loginHosts.has(host) || finder.isLogin({ name, namespace })) return undefined;
      return `authority at ${host}`;
    }
  }
}
