// Routes of Ingress objects, whoever the controller is.

import type { KubeObject } from '../manifests/objects.ts';
import { listAt, textAt } from '../manifests/values.ts';
import { layerOfIngress } from './controllers.ts';
import { annotationOf, type Estate } from './estate.ts';
import { askedByMiddlewares, middlewareRefs } from './middlewares.ts';
import { type Asked, backend, hostName, type Route } from './route.ts';
import { askedByPolicies } from './routes_others.ts';

const NGINX = 'nginx.ingress.kubernetes.io';

export function routesOfIngress(object: KubeObject, estate: Estate): readonly Route[] {
  const asked = askedBy(object, estate);
  const opaque = object.annotations[`${NGINX}/ssl-passthrough`] === 'true' ? ({ opaque: true } as const) : {};
  const { namespace, value } = object;
  const common = { object, asked, ...opaque };
  const rules = listAt(value, 'spec', 'rules').flatMap((rule, i): Route[] => {
    const host = hostName(textAt(rule, 'host'));
    const paths = listAt(rule, 'http', 'paths');
    return paths.map((one, j) => ({
      ...{ ...common, host, path: textAt(one, 'path') ?? '/' },
      at: ['spec', 'rules', i, 'http', 'paths', j],
      backends: backend(textAt(one, 'backend', 'service', 'name') ?? textAt(one, 'backend', 'serviceName'), namespace),
    }));
  });
  const rest = textAt(value, 'spec', 'defaultBackend', 'service', 'name');
  if (rest === undefined) return rules;
  const at = ['spec', 'defaultBackend'];
  return [...rules, { ...common, host: '*', path: '/', at, backends: backend(rest, namespace) }];
}

function askedBy(object: KubeObject, estate: Estate): Asked | undefined {
  const layer = layerOfIngress(object);
  if (layer === 'ingress-nginx') return askedByNginx(object, estate);
  if (layer === 'haproxy-ingress') return askedByHaproxy(object);
  if (layer === 'traefik') {
    const names = object.annotations['traefik.ingress.kubernetes.io/router.middlewares'];
    return askedByMiddlewares(middlewareRefs(names), object.namespace, estate);
  }
  return layer === 'nginx-ingress' ? askedByF5(object, estate) : undefined;
}

function askedByHaproxy(object: KubeObject): Asked | undefined {
  const of = (name: string) =>
    annotationOf(object, `haproxy-ingress.github.io/${name}`, `ingress.kubernetes.io/${name}`);
  // With `oauth` it asks what is at /oauth2 of the same host.
  return byUrl(of('auth-url') ?? (of('oauth') === undefined ? undefined : 'http://$host/oauth2/auth'));
}

function askedByF5(object: KubeObject, estate: Estate): Asked | undefined {
  const names = (object.annotations['nginx.org/policies'] ?? '').split(',').map((one) => one.trim());
  const refs = names.map((one) => {
    const [namespace, name] = one.includes('/') ? one.split('/') : [undefined, one];
    return { namespace, name };
  });
  const asked = askedByPolicies(refs, object.namespace, estate);
  if (asked) return asked;
  const own = annotationOf(object, 'nginx.org/basic-auth-secret', 'nginx.com/jwt-key');
  return own === undefined ? undefined : { by: 'own', what: 'passwords or tokens of NGINX' };
}

function askedByNginx(object: KubeObject, estate: Estate): Asked | undefined {
  const own = byUrl(object.annotations[`${NGINX}/auth-url`]);
  if (own) return own;
  if (object.annotations[`${NGINX}/auth-type`] !== undefined) return { by: 'own', what: 'passwords in a Secret' };
  if (object.annotations[`${NGINX}/auth-tls-secret`] !== undefined) return { by: 'own', what: 'client certificates' };
  if (object.annotations[`${NGINX}/enable-global-auth`] === 'false') return undefined;
  const all = estate.all('ConfigMap').find((one) => textAt(one.value, 'data', 'global-auth-url') !== undefined);
  if (all) return byUrl(textAt(all.value, 'data', 'global-auth-url'));
  return canaryOf(object, estate);
}

/** A canary that sets nothing itself has what the main Ingress of its host has. */
function canaryOf(object: KubeObject, estate: Estate): Asked | undefined {
  if (object.annotations[`${NGINX}/canary`] !== 'true') return undefined;
  const hosts = new Set(listAt(object.value, 'spec', 'rules').map((rule) => textAt(rule, 'host')));
  const main = estate
    .inNamespace('Ingress', object.namespace)
    .find(
      (one) =>
        one.annotations[`${NGINX}/canary`] !== 'true' &&
        listAt(one.value, 'spec', 'rules').some((rule) => hosts.has(textAt(rule, 'host'))),
    );
  return main && byUrl(main.annotations[`${NGINX}/auth-url`]);
}

function byUrl(url: string | undefined): Asked | undefined {
  return url === undefined || url === '' ? undefined : { by: 'url', url };
}

/** Whether it only answers challenges of certificates, which nobody may be asked for a session at. */
export function isChallenge({ labels, name }: KubeObject): boolean {
  return labels['acme.cert-manager.io/http01-solver'] === 'true' || name.startsWith('cm-acme-http-solver');
}
