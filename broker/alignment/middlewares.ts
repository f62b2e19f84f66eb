// Middlewares of Traefik: which of those that a route names asks an authority.

import type { KubeObject } from '../manifests/objects.ts';
import { fieldsAt, listAt, textAt } from '../manifests/values.ts';
import type { Estate } from './estate.ts';
import type { Asked } from './route.ts';

export interface MiddlewareRef {
  readonly name: string;
  readonly namespace?: string | undefined;
  /** Where it is defined: `kubernetescrd`, `file`. */
  readonly provider?: string | undefined;
}

/** `auth-forward@kubernetescrd,strip@file`: in the first the namespace is before the name. */
export function middlewareRefs(text: string | undefined): readonly MiddlewareRef[] {
  return (text ?? '').split(',').flatMap((part): MiddlewareRef[] => {
    const [name = '', provider] = part.trim().split('@');
    return name === '' ? [] : [{ name, provider }];
  });
}

/** The first of them that asks somebody. */
export function askedByMiddlewares(
  refs: readonly MiddlewareRef[],
  namespace: string | undefined,
  estate: Estate,
  depth = 0,
): Asked | undefined {
  for (const ref of refs) {
    const asked = askedBy(ref, namespace, estate, depth);
    if (asked) return asked;
  }
  return undefined;
}

function askedBy(ref: MiddlewareRef, namespace: string | undefined, estate: Estate, depth: number): Asked | undefined {
  if (ref.provider === 'file' || ref.name.endsWith('@file')) return inFiles(ref.name.replace(/@file$/, ''), estate);
  const object = findMiddleware(ref, namespace, estate);
  if (!object) return undefined;
  const { spec } = object.value;
  const address = textAt(spec, 'forwardAuth', 'address');
  if (address !== undefined) return { by: 'url', url: address };
  const own = ['basicAuth', 'digestAuth'].find((one) => Object.hasOwn(fieldsAt(object.value, 'spec'), one));
  if (own !== undefined) return { by: 'own', what: 'passwords in a Secret' };
  // A chain within itself is nobody's.
  if (depth > 8) return undefined;
  const chain = listAt(spec, 'chain', 'middlewares').map((one) => ({
    name: textAt(one, 'name') ?? '',
    namespace: textAt(one, 'namespace'),
  }));
  return askedByMiddlewares(chain, object.namespace, estate, depth + 1);
}

function findMiddleware(ref: MiddlewareRef, namespace: string | undefined, estate: Estate): KubeObject | undefined {
  if (ref.provider !== 'kubernetescrd') return estate.find('Middleware', ref.namespace ?? namespace, ref.name);
  return estate.all('Middleware').find((one) => `${one.namespace ?? namespace ?? 'default'}-${one.name}` === ref.name);
}

function inFiles(name: string, estate: Estate): Asked | undefined {
  for (const file of estate.files) {
    if (file.is !== 'traefik') continue;
    const url = textAt(file.value, 'http', 'middlewares', name, 'forwardAuth', 'address');
    if (url !== undefined) return { by: 'url', url };
  }
  return undefined;
}
