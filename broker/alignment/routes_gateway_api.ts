// Routes of the Gateway API, and whom policies of Envoy Gateway, filters of Traefik and nobody else ask in front of them.

import type { KubeObject } from '../manifests/objects.ts';
import { fieldsAt, listAt, textAt } from '../manifests/values.ts';
import type { Estate } from './estate.ts';
import { askedByMiddlewares } from './middlewares.ts';
import { type Asked, hostName, type Route } from './route.ts';

export function routesOfHttpRoute(object: KubeObject, estate: Estate): readonly Route[] {
  const policy = askedByPolicies(object, estate);
  const names = listAt(object.value, 'spec', 'hostnames').map((one) => hostName(String(one)));
  const hosts = names.length === 0 ? hostsOfListeners(object, estate) : names;
  return listAt(object.value, 'spec', 'rules').flatMap((rule, i): Route[] => {
    const filters = listAt(rule, 'filters');
    const extensions = filters.filter((one) => textAt(one, 'extensionRef', 'kind') === 'Middleware');
    const refs = extensions.map((one) => ({ name: textAt(one, 'extensionRef', 'name') ?? '' }));
    const asked = policy ?? askedByMiddlewares(refs, object.namespace, estate);
    const redirects = filters.some((one) => textAt(one, 'type') === 'RequestRedirect');
    const backends = listAt(rule, 'backendRefs').flatMap((one) => {
      const name = textAt(one, 'name');
      if (name === undefined || (textAt(one, 'kind') ?? 'Service') !== 'Service') return [];
      return [{ name, namespace: textAt(one, 'namespace') ?? object.namespace }];
    });
    const matches = listAt(rule, 'matches');
    const paths = matches.length === 0 ? ['/'] : matches.map((one) => pathOf(one));
    const common = { object, at: ['spec', 'rules', i], asked, backends, ...(redirects && { answers: true as const }) };
    return hosts.flatMap((host) => [...new Set(paths)].map((path) => ({ ...common, host, path })));
  });
}

function pathOf(match: unknown): string {
  const service = textAt(match, 'method', 'service');
  if (service !== undefined) return `/${service}/${textAt(match, 'method', 'method') ?? ''}`;
  return textAt(match, 'path', 'value') ?? '/';
}

/** A route without a host has those of its listeners. */
function hostsOfListeners(object: KubeObject, estate: Estate): readonly string[] {
  const hosts = gatewaysOf(object, estate).flatMap((gateway) =>
    listAt(gateway.value, 'spec', 'listeners').map((one) => hostName(textAt(one, 'hostname'))),
  );
  return hosts.length === 0 ? ['*'] : [...new Set(hosts)];
}

export function gatewaysOf({ value, namespace }: KubeObject, estate: Estate): readonly KubeObject[] {
  return listAt(value, 'spec', 'parentRefs').flatMap((ref) => {
    if ((textAt(ref, 'kind') ?? 'Gateway') !== 'Gateway') return [];
    const there = textAt(ref, 'namespace') ?? namespace;
    return estate.find('Gateway', there, textAt(ref, 'name') ?? '', 'gateway.networking.k8s.io') ?? [];
  });
}

/** Policies of a kind that are attached to a route, else those of its Gateways (Envoy Gateway: the most specific holds). */
export function policiesFor(kind: string, object: KubeObject, estate: Estate): readonly KubeObject[] {
  const own = attachedTo(kind, object, estate);
  return own.length > 0 ? own : gatewaysOf(object, estate).flatMap((gateway) => attachedTo(kind, gateway, estate));
}

export function attachedTo(kind: string, target: KubeObject, estate: Estate): readonly KubeObject[] {
  return estate
    .inNamespace(kind, target.namespace)
    .filter((policy) => targetsOf(policy).some((ref) => ref.kind === target.kind && ref.name === target.name));
}

export function targetsOf({ value }: KubeObject): readonly { readonly kind: string; readonly name: string }[] {
  const one = fieldsAt(value, 'spec', 'targetRef');
  const refs = [...listAt(value, 'spec', 'targetRefs'), ...(Object.keys(one).length > 0 ? [one] : [])];
  return refs.map((ref) => ({ kind: textAt(ref, 'kind') ?? '', name: textAt(ref, 'name') ?? '' }));
}

function askedByPolicies(object: KubeObject, estate: Estate): Asked | undefined {
  for (const policy of policiesFor('SecurityPolicy', object, estate)) {
    const { spec } = policy.value;
    const ext = fieldsAt(spec, 'extAuth');
    if (Object.keys(ext).length > 0) return askedByExtAuth(ext, policy.namespace);
    const issuer = textAt(spec, 'jwt', 'providers', 0, 'issuer');
    if (Object.keys(fieldsAt(spec, 'jwt')).length > 0) return { by: 'tokens', issuer };
    if (Object.keys(fieldsAt(spec, 'oidc')).length > 0) return { by: 'own', what: 'a login of Envoy Gateway (oidc)' };
    if (Object.keys(fieldsAt(spec, 'basicAuth')).length > 0) return { by: 'own', what: 'passwords in a Secret' };
  }
  return undefined;
}

function askedByExtAuth(ext: Readonly<Record<string, unknown>>, namespace: string | undefined): Asked {
  for (const by of ['http', 'grpc']) {
    const [ref = fieldsAt(ext, by, 'backendRef')] = listAt(ext, by, 'backendRefs');
    const name = textAt(ref, 'name');
    const there = textAt(ref, 'namespace') ?? namespace;
    const path = textAt(ext, by, 'path');
    if (name !== undefined && path !== undefined) return { by: 'url', url: `http://${name}.${there}.svc${path}` };
    if (name !== undefined) return { by: 'service', name, namespace: there };
  }
  return { by: 'own', what: 'an authority without a name' };
}
