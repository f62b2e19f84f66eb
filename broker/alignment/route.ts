// A path of a host, whoever leads there, and whom it asks for a session. Shapes, and what all kinds of objects share.

import type { KubeObject } from '../manifests/objects.ts';
import type { Path } from '../manifests/values.ts';

/** Whom a route asks before it lets a request through. */
export type Asked =
  /** An authority by its address. */
  | { readonly by: 'url'; readonly url: string }
  /** A Service in the cluster. */
  | { readonly by: 'service'; readonly name: string; readonly namespace: string | undefined }
  /** Tokens of an issuer. */
  | { readonly by: 'tokens'; readonly issuer: string | undefined }
  /** A login of the proxy's own, or one that has no session. */
  | { readonly by: 'own'; readonly what: string };

export interface Route {
  /** Lower case; `*` for any. */
  readonly host: string;
  readonly path: string;
  readonly object: KubeObject;
  readonly at: Path;
  readonly asked: Asked | undefined;
  /** Services that it leads to, in the object's namespace unless they name another. */
  readonly backends: readonly Backend[];
  /** Whether it leads to none: a redirect. */
  readonly answers?: true;
  /** Whether nothing of HTTP is seen of it: TLS that is passed through, TCP. */
  readonly opaque?: true;
}

export interface Backend {
  readonly name: string;
  readonly namespace: string | undefined;
}

export function backend(name: string | undefined, namespace: string | undefined): readonly Backend[] {
  return name === undefined || name === '' ? [] : [{ name, namespace }];
}

/** Hosts without a case and a port. */
export function hostName(host: string | undefined): string {
  return (host ?? '').replace(/:\d+$/, '').toLowerCase() || '*';
}
