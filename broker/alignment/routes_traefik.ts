// Routes of Traefik's IngressRoute and IngressRouteTCP: hosts and paths out of its rules.

import type { KubeObject } from '../manifests/objects.ts';
import { listAt, textAt } from '../manifests/values.ts';
import type { Estate } from './estate.ts';
import { askedByMiddlewares } from './middlewares.ts';
import { type Backend, hostName, type Route } from './route.ts';

export function routesOfIngressRoute(object: KubeObject, estate: Estate): readonly Route[] {
  return listAt(object.value, 'spec', 'routes').flatMap((route, i): Route[] => {
    const refs = listAt(route, 'middlewares').map((one) => ({
      name: textAt(one, 'name') ?? '',
      namespace: textAt(one, 'namespace'),
    }));
    const asked = askedByMiddlewares(refs, object.namespace, estate);
    const backends = listAt(route, 'services').flatMap((one) => serviceOf(one, object.namespace));
    const rule = textAt(route, 'match') ?? '';
    const at = ['spec', 'routes', i, 'match'];
    const common = { object, at, asked, backends, ...(object.kind === 'IngressRouteTCP' && { opaque: true as const }) };
    return hostsOf(rule).flatMap((host) => pathsOf(rule).map((path) => ({ ...common, host, path })));
  });
}

function serviceOf(one: unknown, namespace: string | undefined): readonly Backend[] {
  const name = textAt(one, 'name');
  if (name === undefined || textAt(one, 'kind') === 'TraefikService') return [];
  return [{ name, namespace: textAt(one, 'namespace') ?? namespace }];
}

/** ``Host(`a`, `b`) || HostSNI(`c`)``; a rule with HostRegexp, or without a host, is for any. */
export function hostsOf(rule: string): readonly string[] {
  const hosts = argumentsOf(rule, /\bHost(?:SNI)?\(([^)]*)\)/g).map(hostName);
  return hosts.length === 0 ? ['*'] : hosts;
}

export function pathsOf(rule: string): readonly string[] {
  const paths = argumentsOf(rule, /\bPath(?:Prefix|Regexp)?\(([^)]*)\)/g);
  return paths.length === 0 ? ['/'] : paths;
}

function argumentsOf(rule: string, form: RegExp): readonly string[] {
  const all = [...rule.matchAll(form)].flatMap(([, inside = '']) =>
    [...inside.matchAll(/[`"']([^`"']+)[`"']/g)].map(([, text = '']) => text),
  );
  return [...new Set(all)];
}
