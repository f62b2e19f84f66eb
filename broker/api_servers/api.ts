// One cluster's API server, as far as the broker asks it: Secrets of sessions, and tokens that are bound to them. Short waits,
// no redirects, bounded answers; what cannot be understood is a failure.

import { type Agent, request } from 'undici';
import { textOf } from '../../serving/files/regular_file.ts';
import { isBearer } from '../../serving/net/bearer.ts';
import { readBounded } from '../../serving/net/bounded_body.ts';
import { CurfewError } from '../../shared/errors.ts';
import { parseJson } from '../../shared/json.ts';
import { isSeconds, type Seconds } from '../../shared/time.ts';
import { isObject } from '../../shared/wire.ts';
import type { Cluster } from '../config/settings.ts';
import { sayFailure } from './failure.ts';
import type { AdmissionObject, Bindings, Right } from './objects.ts';

/** A Secret by name; the `uid` tells it from any other of that name. */
export interface SecretRef {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

export interface NewSecret {
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

/** A token as the API server signed it, and what it says of itself. */
export interface ServiceAccountToken {
  readonly token: string;
  readonly jti: string;
  readonly iat: Seconds;
  readonly exp: Seconds;
}

/** @throws CurfewError of each: `api_server` when it is away, `service_account` when it refuses or answers otherwise than it should */
export interface ClusterApi {
  /** @returns its `uid`, or `undefined` when there is one of that name already */
  createSecret(secret: NewSecret): Promise<string | undefined>;
  /** @returns the `uid` of the one of that name, if there is one */
  findSecret(namespace: string, name: string): Promise<string | undefined>;
  /** Resolves when it is gone. @param uid another one of that name stays */
  deleteSecret(secret: Omit<SecretRef, 'uid'> & { readonly uid?: string | undefined }): Promise<void>;
  /** All with these labels, in one namespace; their content is not asked for. */
  listSecrets(namespace: string, labels: Readonly<Record<string, string>>): Promise<readonly SecretRef[]>;
  /** Whether the broker has a right there (SelfSubjectAccessReview). */
  may(right: Right): Promise<boolean>;
  /** All of RBAC's bindings and roles. */
  listBindings(): Promise<Bindings>;
  /** A policy of admissionregistration.k8s.io/v1, or the binding of one. @returns `undefined` when there is none of that name */
  findAdmission(kind: AdmissionObject['kind'], name: string): Promise<unknown>;
  /** TokenRequest. @returns `undefined` when the Secret is not there any more */
  requestToken(account: string, secret: SecretRef): Promise<ServiceAccountToken | undefined>;
}

/** Seconds; kube-apiserver gives none that lives shorter. */
export const TOKEN_LIFE_SECONDS = 600;
/** Milliseconds. */
const TOTAL_MS = 4_000;
const LARGEST_BYTES = 4 * 1024 * 1024;
const ITEMS_AT_ONCE = 500;

interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

interface Question {
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly path: string;
  readonly body?: object;
  readonly accept?: string;
}

/**
 * @param agents one for what takes Secrets away, another for all else
 * @param stopped gives up what is under way
 */
export function createClusterApi(
  cluster: Cluster,
  agents: { readonly mints: Agent; readonly deletions: Agent },
  stopped: AbortSignal,
): ClusterApi {
  const { name, server, broker_token_file } = cluster;
  const away = (why: string) => new CurfewError('api_server', `the API server of cluster ${name} ${why}`);
  const wrong = (why: string) => new CurfewError('service_account', `the API server of cluster ${name} ${why}`);

  const authorization = async (): Promise<string> => {
    const text = await textOf(broker_token_file ?? '');
    if (isBearer(text)) return `Bearer ${text.trim()}`;
    throw new CurfewError('service_account', `cluster ${name}: broker_token_file holds no token`);
  };

  const ask = async ({ method, path, body, accept = 'application/json' }: Question): Promise<Answer> => {
    const headers = { authorization: await authorization(), accept, 'content-type': 'application/json' };
    const signal = AbortSignal.any([stopped, AbortSignal.timeout(TOTAL_MS)]);
    const url = `${server.replace(/\/$/, '')}${path}`;
    let answer: Answer;
    let text: string | undefined;
    try {
      const sent = body === undefined ? { headers } : { headers, body: JSON.stringify(body) };
      const dispatcher = method === 'DELETE' ? agents.deletions : agents.mints;
      const response = await request(url, { method, ...sent, dispatcher, signal });
      text = await readBounded(response.body, LARGEST_BYTES);
      answer = { status: response.statusCode, body: parse(text ?? '') };
    } catch (error) {
      throw away(sayFailure(error));
    }
    if (text === undefined) throw away('answered with more than 4 MiB');
    const { status } = answer;
    if (status === 429 || status >= 500) throw away(`answered HTTP ${status}`);
    if (status === 401) throw wrong('does not take the token in broker_token_file (HTTP 401)');
    if (status === 403) throw wrong(`does not let the broker ${method} ${kindOf(path)} (HTTP 403)`);
    return answer;
  };

  const unexpected = (method: string, path: string, { status }: Answer) =>
    wrong(`answered HTTP ${status} to ${method} ${kindOf(path)}`);

  return {
    async createSecret({ namespace, labels, annotations, ...secret }) {
      const path = `${NAMESPACES}/${namespace}/secrets`;
      const metadata = { name: secret.name, namespace, labels, annotations };
      const body = { apiVersion: 'v1', kind: 'Secret', metadata, type: SECRET_TYPE, immutable: true };
      const answer = await ask({ method: 'POST', path, body });
      if (answer.status === 409) return undefined;
      const uid = uidOf(answer.body);
      if (answer.status !== 201 || uid === undefined) throw unexpected('POST', path, answer);
      return uid;
    },
    async findSecret(namespace, secret) {
      // By a list, so that the broker needs no further right.
      const path = `${NAMESPACES}/${namespace}/secrets?fieldSelector=${encodeURIComponent(`metadata.name=${secret}`)}`;
      const answer = await ask({ method: 'GET', path, accept: METADATA });
      const items = itemsOf(answer);
      if (!items) throw unexpected('GET', path, answer);
      return uidOf(items[0]);
    },
    async deleteSecret({ namespace, name: secret, uid }) {
      const path = `${NAMESPACES}/${namespace}/secrets/${secret}`;
      const preconditions = uid === undefined ? {} : { preconditions: { uid } };
      const body = { apiVersion: 'v1', kind: 'DeleteOptions', gracePeriodSeconds: 0, ...preconditions };
      const answer = await ask({ method: 'DELETE', path, body });
      // 404: gone before. 409: another one bears the name now, so that the one that is meant is gone.
      if (![200, 202, 404, 409].includes(answer.status)) throw unexpected('DELETE', path, answer);
    },
    async listSecrets(namespace, labels) {
      const selector = encodeURIComponent(
        Object.entries(labels)
          .map(([key, value]) => `${key}=${value}`)
          .join(','),
      );
      const found: SecretRef[] = [];
      for (let token = ''; ; ) {
        const path = `${NAMESPACES}/${namespace}/secrets?labelSelector=${selector}&limit=${ITEMS_AT_ONCE}${token && `&continue=${encodeURIComponent(token)}`}`;
        const answer = await ask({ method: 'GET', path, accept: METADATA });
        const { metadata } = answer.body;
        const items = itemsOf(answer);
        if (!items) throw unexpected('GET', path, answer);
        found.push(...items.flatMap((item) => refOf(item, namespace)));
        token = isObject(metadata) && typeof metadata.continue === 'string' ? metadata.continue : '';
        if (token === '') return found;
      }
    },
    async may(resourceAttributes) {
      const path = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews';
      const kind = { apiVersion: 'authorization.k8s.io/v1', kind: 'SelfSubjectAccessReview' };
      const answer = await ask({ method: 'POST', path, body: { ...kind, spec: { resourceAttributes } } });
      const { status } = answer.body;
      if (answer.status !== 201 || !isObject(status)) throw wrong(`answered HTTP ${answer.status} to an access review`);
      return status.allowed === true;
    },
    async listBindings() {
      const all = async (resource: string) => {
        const found: unknown[] = [];
        for (let token = ''; ; ) {
          const path = `${RBAC}/${resource}?limit=${ITEMS_AT_ONCE}${token && `&continue=${encodeURIComponent(token)}`}`;
          const answer = await ask({ method: 'GET', path });
          const { metadata, items } = answer.body;
          if (answer.status !== 200 || !(Array.isArray(items) || items === null)) throw unexpected('GET', path, answer);
          found.push(...((items ?? []) as unknown[]));
          token = isObject(metadata) && typeof metadata.continue === 'string' ? metadata.continue : '';
          if (token === '') return found;
        }
      };
      return {
        clusterrolebindings: await all('clusterrolebindings'),
        rolebindings: await all('rolebindings'),
        clusterroles: await all('clusterroles'),
        roles: await all('roles'),
      };
    },
    async findAdmission(kind, object) {
      const path = `${ADMISSION}/${ADMISSION_RESOURCES[kind]}/${object}`;
      const answer = await ask({ method: 'GET', path });
      if (answer.status === 404) return undefined;
      if (answer.status !== 200) throw unexpected('GET', path, answer);
      return answer.body;
    },
    async requestToken(account, secret) {
      const path = `${NAMESPACES}/${secret.namespace}/serviceaccounts/${account}/token`;
      const boundObjectRef = { apiVersion: 'v1', kind: 'Secret', name: secret.name, uid: secret.uid };
      const spec = { expirationSeconds: TOKEN_LIFE_SECONDS, boundObjectRef };
      const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec };
      const answer = await ask({ method: 'POST', path, body });
      if (answer.status === 409 || (answer.status === 404 && isAbout(answer.body, secret.name))) return undefined;
      if (answer.status === 404) throw wrong(`has no ServiceAccount ${secret.namespace}/${account}`);
      const { status } = answer.body;
      const token = isObject(status) ? status.token : undefined;
      const claims = typeof token === 'string' ? claimsOf(token, secret) : undefined;
      if (answer.status !== 201 || typeof token !== 'string' || !claims) throw unexpected('POST', path, answer);
      return { token, ...claims };
    },
  };
}

/** Of its own, so that nobody takes one of them for something to mount or to pull images with. */
export const SECRET_TYPE = 'curfew.internal/session';
const NAMESPACES = '/api/v1/namespaces';
const RBAC = '/apis/rbac.authorization.k8s.io/v1';
const ADMISSION = '/apis/admissionregistration.k8s.io/v1';
const ADMISSION_RESOURCES = {
  ValidatingAdmissionPolicy: 'validatingadmissionpolicies',
  ValidatingAdmissionPolicyBinding: 'validatingadmissionpolicybindings',
} as const;
const METADATA = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1';

/** What a token says of itself: it comes from the API server itself, over TLS. One that is not bound to the Secret would outlive the session. */
function claimsOf(token: string, { name, uid }: SecretRef): Omit<ServiceAccountToken, 'token'> | undefined {
  const payload = parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
  const { jti, iat, exp, 'kubernetes.io': bound } = payload;
  const secret = isObject(bound) ? bound.secret : undefined;
  if (!isObject(secret) || secret.name !== name || secret.uid !== uid) return undefined;
  if (typeof jti !== 'string' || !isSeconds(iat) || !isSeconds(exp) || exp <= iat) return undefined;
  return { jti, iat, exp };
}

function isAbout({ details }: Answer['body'], name: string): boolean {
  return isObject(details) && details.kind === 'secrets' && details.name === name;
}

/** An empty list of kube-apiserver's is null, now and then. */
function itemsOf({ status, body: { kind, items } }: Answer): readonly unknown[] | undefined {
  if (status !== 200 || kind !== 'PartialObjectMetadataList') return undefined;
  return Array.isArray(items) ? items : items === null || items === undefined ? [] : undefined;
}

function refOf(item: unknown, namespace: string): SecretRef[] {
  const uid = uidOf(item);
  const name = isObject(item) && isObject(item.metadata) ? item.metadata.name : undefined;
  return uid !== undefined && typeof name === 'string' ? [{ namespace, name, uid }] : [];
}

function uidOf(object: unknown): string | undefined {
  const metadata = isObject(object) ? object.metadata : undefined;
  return isObject(metadata) && typeof metadata.uid === 'string' && metadata.uid !== '' ? metadata.uid : undefined;
}

/** `secrets`, `serviceaccounts/token`: without names. */
function kindOf(path: string): string {
  const [, root, , , resource = ''] = (path.split('?', 1)[0] ?? '').split('/');
  if (root === 'apis') return resource;
  const [, kind = '', , subresource] = (path.split('?', 1)[0] ?? '').slice(NAMESPACES.length + 1).split('/');
  return subresource === undefined ? kind : `${kind}/${subresource}`;
}

function parse(text: string): Readonly<Record<string, unknown>> {
  const value = parseJson(text);
  return isObject(value) ? value : {};
}
