// What kube-apiserver asks the webhooks: SubjectAccessReview and TokenReview, parsed once at the edge from anything.

import { isDiscovery, type Reach, reachOfPath, reachOfResource } from '../../shared/reach.ts';
import { isObject } from '../../shared/wire.ts';
import { CREDENTIAL_ID_KEY, SESSION_ID_KEY, TOKEN_ID_KEY } from '../tokens/user_extra.ts';
import { actsAs } from './impersonation.ts';

/** Far longer than any id that we make. */
const LONGEST_ID = 256;

/** A request at an API server, as far as it matters for a session. */
export interface AccessReview {
  readonly apiVersion: string;
  readonly user: string;
  readonly sid?: string | undefined;
  /** Of the token that the request was made with, as far as that is so: anybody can write anything here. */
  readonly jti?: string | undefined;
  readonly verb: string;
  readonly namespace?: string | undefined;
  /** With its subresource: `pods/exec`; or a path. */
  readonly resource?: string | undefined;
  /** What of a cluster the request touches. */
  readonly within: Reach;
  /** The namespace of the ServiceAccount that the request wants to act as, or `*`: see impersonation.ts. */
  readonly acts_as?: string | undefined;
  /** Whether it only asks what the API server can do, as kubectl does before the request that is meant. */
  readonly discovery: boolean;
}

/** What of both reviews is looked at is the same in these. What is asked in one is answered in it. */
const VERSIONS = ['v1', 'v1beta1'];

/** @returns `undefined` for anything that is no SubjectAccessReview of authorization.k8s.io, v1 or v1beta1 */
export function parseAccessReview(body: unknown): AccessReview | undefined {
  const review = reviewOf(body, 'SubjectAccessReview', 'authorization.k8s.io');
  if (!review) return undefined;
  const { spec } = review;
  if (!isObject(spec) || typeof spec.user !== 'string') return undefined;
  const asked = { apiVersion: review.apiVersion, user: spec.user, ...idsOf(spec.extra) };
  const { resourceAttributes: resource, nonResourceAttributes: path } = spec;
  if (isObject(resource)) return { ...asked, ...ofResource(resource), discovery: false };
  if (isObject(path)) return { ...asked, ...ofPath(text(path.path), text(path.verb)) };
  return undefined;
}

function idsOf(extra: unknown): Pick<AccessReview, 'sid' | 'jti'> {
  if (!isObject(extra)) return {};
  const jti = only(extra[CREDENTIAL_ID_KEY])?.replace(/^JTI=/, '') ?? only(extra[TOKEN_ID_KEY]);
  return { sid: only(extra[SESSION_ID_KEY]), jti };
}

/** A session is one, and so is a token: two ids on one user are a forgery, and are judged as none that we know. */
function only(values: unknown): string | undefined {
  if (values === undefined) return undefined;
  const [value] = Array.isArray(values) && values.length === 1 ? (values as unknown[]) : [];
  return typeof value === 'string' && value.length <= LONGEST_ID ? value : '';
}

function ofResource(attributes: Readonly<Record<string, unknown>>) {
  const { verb, group, resource: kind, subresource, namespace, name } = attributes;
  const request = {
    ...{ verb: text(verb), group: text(group), resource: text(kind), subresource: text(subresource) },
    ...{ namespace: text(namespace), name: text(name) },
  };
  const resource = request.subresource === '' ? request.resource : `${request.resource}/${request.subresource}`;
  const said = { verb: request.verb, ...(request.namespace !== '' && { namespace: request.namespace }), resource };
  return { ...said, within: reachOfResource(request), acts_as: actsAs(request) };
}

function ofPath(path: string, verb: string) {
  return { verb, resource: path, discovery: isDiscovery(path, verb), within: reachOfPath(path, verb) };
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** A token that an API server asks about. */
export interface TokenReview {
  readonly apiVersion: string;
  readonly token: string;
}

/** @returns `undefined` for anything that is no TokenReview of authentication.k8s.io, v1 or v1beta1 */
export function parseTokenReview(body: unknown): TokenReview | undefined {
  const review = reviewOf(body, 'TokenReview', 'authentication.k8s.io');
  if (!review || !isObject(review.spec) || typeof review.spec.token !== 'string') return undefined;
  return { apiVersion: review.apiVersion, token: review.spec.token };
}

function reviewOf(body: unknown, kind: string, group: string): { apiVersion: string; spec: unknown } | undefined {
  if (!isObject(body) || body.kind !== kind) return undefined;
  const { apiVersion, spec } = body;
  const known = VERSIONS.some((version) => apiVersion === `${group}/${version}`);
  return known ? { apiVersion: apiVersion as string, spec } : undefined;
}
