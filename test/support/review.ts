// Asks the broker's webhooks as a kube-apiserver does, over real HTTP.

import { claimsOf } from './holder.ts';

export interface Attributes {
  readonly verb?: string;
  readonly namespace?: string;
  readonly group?: string;
  readonly resource?: string;
  readonly subresource?: string;
  readonly name?: string;
}

export interface Asked {
  readonly user: string;
  /** The session's id, or what stands in its place in the user's extra. */
  readonly sid?: string | readonly string[] | undefined;
  /** Of the token that the request was made with, or what stands in its place; `undefined` for none. */
  readonly jti?: string | readonly string[] | undefined;
  readonly attributes?: Attributes;
  /** Instead of a resource. */
  readonly path?: string;
}

export interface Opinion {
  readonly status: number;
  readonly denied: boolean;
  readonly reason: string;
}

export function reviewOf({ user, sid, attributes = {}, path, ...more }: Asked): object {
  // As kube-apiserver writes it.
  const jti = 'jti' in more ? more.jti : 'some-jti';
  const credential = jti === undefined ? undefined : [jti].flat().map((id) => `JTI=${id}`);
  const ids = sid === undefined ? undefined : { 'curfew.internal/session-id': typeof sid === 'string' ? [sid] : sid };
  const resource = { verb: 'get', version: 'v1', namespace: 'default', resource: 'configmaps', ...attributes };
  const what = path === undefined ? { resourceAttributes: resource } : { nonResourceAttributes: { path, verb: 'get' } };
  const extra = { ...ids, ...(credential && { 'authentication.kubernetes.io/credential-id': credential }) };
  return {
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SubjectAccessReview',
    spec: { user, groups: ['curfew:dev', 'system:authenticated'], extra, ...what },
  };
}

/** @param token of the webhook */
export async function askAuthorization(url: string, token: string, asked: Asked): Promise<Opinion> {
  const { status, body } = await post(`${url}/webhooks/authorize`, token, reviewOf(asked));
  const answer = (body as { status?: { allowed?: boolean; denied?: boolean; reason?: string } }).status ?? {};
  if (answer.allowed) throw new Error('the webhook must never allow');
  return { status, denied: answer.denied === true, reason: answer.reason ?? '' };
}

export async function askAuthentication(url: string, token: string, presented: string) {
  const review = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token: presented } };
  const { status, body } = await post(`${url}/webhooks/authenticate`, token, review);
  type Status = { authenticated?: boolean; error?: string; user?: Readonly<Record<string, unknown>> };
  return { status, ...((body as { status?: Status }).status ?? {}) };
}

/** The id of a Kubernetes token. */
export function jtiOf(token: string): string {
  return String(claimsOf(token).jti);
}

export async function post(url: string, token: string | undefined, body: unknown) {
  const headers = {
    'content-type': 'application/json',
    ...(token !== undefined && { authorization: `Bearer ${token}` }),
  };
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const response = await fetch(url, { method: 'POST', headers, body: text });
  return { status: response.status, body: (await response.json()) as unknown };
}
