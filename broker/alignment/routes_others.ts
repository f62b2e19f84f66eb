// Routes of F5's NGINX Ingress Controller, of Contour, and of Istio.

import { isObject } from '../../shared/wire.ts';
import type { KubeObject } from '../manifests/objects.ts';
import { fieldsAt, listAt, type Path, textAt } from '../manifests/values.ts';
import type { Estate } from './estate.ts';
import { type Asked, backend, hostName, type Route } from './route.ts';

/** VirtualServer, with the routes that it gives to others; a policy of a route comes before one of the whole. */
export function routesOfVirtualServer(object: KubeObject, estate: Estate): readonly Route[] {
  const { namespace, value } = object;
  const host = hostName(textAt(value, 'spec', 'host'));
  const whole = askedByPolicies(listAt(value, 'spec', 'policies'), namespace, estate);
  return listAt(value, 'spec', 'routes').flatMap((route, i): Route[] => {
    const at = ['spec', 'routes', i];
    const asked = askedByPolicies(listAt(route, 'policies'), namespace, estate) ?? whole;
    const path = textAt(route, 'path') ?? '/';
    const further = textAt(route, 'route');
    if (further === undefined) return [toUpstream(object, route, { host, path, at, asked })];
    const [there, name = ''] = further.includes('/') ? further.split('/') : [namespace, further];
    const other = estate.find('VirtualServerRoute', there, name);
    if (!other) return [];
    return listAt(other.value, 'spec', 'subroutes').map((sub, j) =>
      toUpstream(other, sub, {
        ...{ host, path: textAt(sub, 'path') ?? path, at: ['spec', 'subroutes', j] },
        asked: askedByPolicies(listAt(sub, 'policies'), other.namespace, estate) ?? asked,
      }),
    );
  });
}

type Facts = Pick<Route, 'host' | 'path' | 'at' | 'asked'>;

function toUpstream(object: KubeObject, route: unknown, facts: Facts): Route {
  const name = textAt(route, 'action', 'pass') ?? textAt(route, 'action', 'proxy', 'upstream');
  const upstream = listAt(object.value, 'spec', 'upstreams').find((one) => textAt(one, 'name') === name);
  const answers = isObject(fieldsAt(route, 'action').redirect) || isObject(fieldsAt(route, 'action').return);
  return {
    ...{ ...facts, object, backends: backend(textAt(upstream, 'service'), object.namespace) },
    ...(answers && { answers: true as const }),
  };
}

/** The first of these policies that asks somebody. */
export function askedByPolicies(
  refs: readonly unknown[],
  namespace: string | undefined,
  estate: Estate,
): Asked | undefined {
  for (const ref of refs) {
    const policy = estate.find('Policy', textAt(ref, 'namespace') ?? namespace, textAt(ref, 'name') ?? '');
    const spec = fieldsAt(policy?.value, 'spec');
    const external = fieldsAt(spec, 'externalAuth');
    if (Object.keys(external).length > 0) {
      const url = textAt(external, 'authURL') ?? textAt(external, 'authURI');
      const service = textAt(external, 'authServiceName');
      const [there, name = ''] = (service ?? '').includes('/')
        ? (service ?? '').split('/')
        : [policy?.namespace, service];
      return name === '' ? { by: 'url', url: url ?? '' } : { by: 'service', name, namespace: there };
    }
    if (isObject(spec.jwt)) return { by: 'tokens', issuer: undefined };
    if (isObject(spec.oidc)) return { by: 'own', what: 'a login of NGINX Plus (oidc)' };
    if (isObject(spec.basicAuth)) return { by: 'own', what: 'passwords in a Secret' };
    if (isObject(spec.apiKey)) return { by: 'own', what: 'keys in a Secret' };
  }
  return undefined;
}

export function routesOfTransportServer(object: KubeObject): readonly Route[] {
  const name = textAt(object.value, 'spec', 'action', 'pass');
  const upstream = listAt(object.value, 'spec', 'upstreams').find((one) => textAt(one, 'name') === name);
  const host = hostName(textAt(object.value, 'spec', 'host'));
  const backends = backend(textAt(upstream, 'service'), object.namespace);
  return [{ ...{ host, path: '/', object, at: ['spec'], asked: undefined, backends }, opaque: true }];
}

/** HTTPProxy: `authorization` of the virtual host, which a route switches off for itself. */
export function routesOfHttpProxy(object: KubeObject, estate: Estate): readonly Route[] {
  const { namespace, value } = object;
  const fqdn = textAt(value, 'spec', 'virtualhost', 'fqdn');
  // One without a virtual host is included by others.
  if (fqdn === undefined) return [];
  const asked = askedByContour(object, estate);
  return routesWithin(object, '', new Set(), estate).map(({ route, path, at, of }): Route => {
    const off = fieldsAt(route, 'authPolicy').disabled === true;
    return {
      ...{ host: hostName(fqdn), path, object: of, at, asked: off ? undefined : asked },
      backends: listAt(route, 'services').flatMap((one) => backend(textAt(one, 'name'), of.namespace ?? namespace)),
      ...(isObject(fieldsAt(route).requestRedirectPolicy) && { answers: true as const }),
    };
  });
}

interface Within {
  readonly route: unknown;
  readonly path: string;
  readonly at: Path;
  readonly of: KubeObject;
}

/** Its own routes, and those of what it includes. */
function routesWithin(
  object: KubeObject,
  prefix: string,
  seen: ReadonlySet<KubeObject>,
  estate: Estate,
): readonly Within[] {
  if (seen.has(object)) return [];
  const passed = new Set([...seen, object]);
  const own = listAt(object.value, 'spec', 'routes').map((route, i) => ({
    ...{ route, at: ['spec', 'routes', i], of: object },
    path: `${prefix}${prefixOf(route)}` || '/',
  }));
  const included = listAt(object.value, 'spec', 'includes').flatMap((include) => {
    const there = textAt(include, 'namespace') ?? object.namespace;
    const other = estate.find('HTTPProxy', there, textAt(include, 'name') ?? '');
    return other ? routesWithin(other, `${prefix}${prefixOf(include).replace(/\/$/, '')}`, passed, estate) : [];
  });
  return [...own, ...included];
}

function prefixOf(value: unknown): string {
  const conditions = listAt(value, 'conditions');
  return conditions.map((one) => textAt(one, 'prefix') ?? textAt(one, 'exact') ?? '').join('');
}

function askedByContour(object: KubeObject, estate: Estate): Asked | undefined {
  const own = fieldsAt(object.value, 'spec', 'virtualhost', 'authorization');
  const name = textAt(own, 'extensionRef', 'name');
  if (name !== undefined) {
    return { by: 'service', name, namespace: textAt(own, 'extensionRef', 'namespace') ?? object.namespace };
  }
  const jwt = listAt(object.value, 'spec', 'virtualhost', 'jwtProviders');
  if (jwt.length > 0) return { by: 'tokens', issuer: textAt(jwt[0], 'issuer') };
  if (textAt(own, 'authPolicy', 'disabled') === 'true') return undefined;
  for (const { value } of estate.all('ContourConfiguration')) {
    const global = textAt(value, 'spec', 'globalExtAuth', 'extensionRef', 'name');
    const namespace = textAt(value, 'spec', 'globalExtAuth', 'extensionRef', 'namespace');
    if (global !== undefined) return { by: 'service', name: global, namespace };
  }
  return undefined;
}

/** VirtualService of what comes in through a Gateway; what is inside the mesh alone is asked for nothing here. */
export function routesOfVirtualService(object: KubeObject): readonly Route[] {
  const { namespace, value } = object;
  const gateways = listAt(value, 'spec', 'gateways').filter((one) => one !== 'mesh');
  if (gateways.length === 0) return [];
  const hosts = listAt(value, 'spec', 'hosts').map((one) => hostName(String(one)));
  const http = listAt(value, 'spec', 'http').flatMap((route, i): Route[] => {
    const matches = listAt(route, 'match');
    const uris = matches.map((one) => textAt(Object.values(fieldsAt(one, 'uri'))[0]) ?? '/');
    const backends = listAt(route, 'route').flatMap((one) => serviceOf(textAt(one, 'destination', 'host'), namespace));
    const common = { object, at: ['spec', 'http', i], asked: undefined, backends };
    const answers = isObject(fieldsAt(route).redirect) ? { answers: true as const } : {};
    return hosts.flatMap((host) =>
      [...new Set(uris.length === 0 ? ['/'] : uris)].map((path) => ({ ...common, ...answers, host, path })),
    );
  });
  const opaque = ['tls', 'tcp'].flatMap((of) =>
    listAt(value, 'spec', of).flatMap((route, i): Route[] => {
      const backends = listAt(route, 'route').flatMap((one) =>
        serviceOf(textAt(one, 'destination', 'host'), namespace),
      );
      const common = { object, path: '/', at: ['spec', of, i], asked: undefined, backends, opaque: true as const };
      return hosts.map((host) => ({ ...common, host }));
    }),
  );
  return [...http, ...opaque];
}

/** `reviews`, `reviews.shop`, `reviews.shop.svc.cluster.local`. */
function serviceOf(host: string | undefined, namespace: string | undefined) {
  const [name, second] = host?.split('.') ?? [];
  return backend(name, second ?? namespace);
}
