// An API server as far as the broker asks it, over real HTTPS: Secrets, and tokens bound to them that are good while those exist.
// A test may do something before a request is carried out, or before its answer goes out.

import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { createCertificateAuthority } from './certificates.ts';

/** What is asked for. */
export type Asked = 'create' | 'find' | 'list' | 'delete' | 'token' | 'review' | 'other';

interface Secret {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface FakeApiServer {
  readonly url: string;
  readonly caFile: string;
  /** By name. */
  readonly secrets: ReadonlyMap<string, Secret>;
  /** Whether a token is good: its Secret exists. */
  isGood(token: string): boolean;
  /** Takes a Secret away, as somebody with rights there may. */
  drop(name: string): void;
  /** Awaited before a request is carried out. Throws: answered 500. */
  before: (asked: Asked) => Promise<void> | void;
  /** Awaited after it was carried out, before its answer. Throws: answered 500. */
  after: (asked: Asked) => Promise<void> | void;
  stop(): Promise<void>;
}

export async function startFakeApiServer(dir: string): Promise<FakeApiServer> {
  const authority = await createCertificateAuthority(path.join(dir, 'api-ca'));
  const { certFile, keyFile } = await authority.issue({ name: 'api', hosts: ['127.0.0.1'] });
  const [cert, key] = await Promise.all([readFile(certFile), readFile(keyFile)]);
  const secrets = new Map<string, Secret>();
  const server = createServer({ cert, key }, (request, response) => {
    void answer(request, response).catch(() => send(response, 500, {}));
  });

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    const body = text === '' ? {} : JSON.parse(text);
    const url = new URL(request.url ?? '', 'https://api');
    const asked = askedBy(request.method, url);
    await fake.before(asked);
    const [status, reply] = carryOut(asked, url, body);
    await fake.after(asked);
    send(response, status, reply);
  }

  function carryOut(asked: Asked, url: URL, body: Record<string, never>): readonly [number, object] {
    const [, , , , namespace = '', , name = ''] = url.pathname.split('/');
    const { metadata, spec, preconditions } = body as unknown as Body;
    switch (asked) {
      case 'create': {
        if (secrets.has(metadata.name)) return [409, {}];
        const secret = { namespace, name: metadata.name, uid: randomUUID(), annotations: metadata.annotations };
        secrets.set(secret.name, secret);
        return [201, { metadata: { ...metadata, uid: secret.uid } }];
      }
      case 'find':
      case 'list': {
        const wanted = url.searchParams.get('fieldSelector')?.replace('metadata.name=', '');
        const found = [...secrets.values()].filter(
          (secret) => secret.namespace === namespace && (wanted === undefined || secret.name === wanted),
        );
        const items = found.map((secret) => ({ metadata: { name: secret.name, uid: secret.uid } }));
        return [200, { kind: 'PartialObjectMetadataList', metadata: {}, items }];
      }
      case 'delete': {
        const secret = secrets.get(name);
        if (!secret) return [404, {}];
        if (preconditions && preconditions.uid !== secret.uid) return [409, {}];
        secrets.delete(name);
        return [200, {}];
      }
      case 'token': {
        const { name: bound, uid } = spec.boundObjectRef;
        if (secrets.get(bound)?.uid !== uid) return [404, { details: { kind: 'secrets', name: bound } }];
        const iat = Math.floor(Date.now() / 1000);
        const secret = { name: bound, uid };
        const claims = { iat, exp: iat + 600, jti: randomUUID(), account: name, 'kubernetes.io': { secret } };
        const parts = ['{"alg":"none"}', JSON.stringify(claims), 'sig'];
        return [201, { status: { token: parts.map((part) => Buffer.from(part).toString('base64url')).join('.') } }];
      }
      case 'review':
        return [201, { status: { allowed: true } }];
      case 'other':
        return [404, {}];
    }
  }

  const fake: FakeApiServer = {
    url: await listening(),
    caFile: authority.caFile,
    secrets,
    isGood(token) {
      const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
      const { name, uid } = claims['kubernetes.io'].secret;
      return secrets.get(name)?.uid === uid;
    },
    drop: (name) => void secrets.delete(name),
    before: () => undefined,
    after: () => undefined,
    async stop() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };

  async function listening(): Promise<string> {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }
  return fake;
}

interface Body {
  readonly metadata: { readonly name: string; readonly annotations: Readonly<Record<string, string>> };
  readonly spec: { readonly boundObjectRef: { readonly name: string; readonly uid: string } };
  readonly preconditions?: { readonly uid: string };
}

function askedBy(method: string | undefined, { pathname, searchParams }: URL): Asked {
  if (pathname.endsWith('/selfsubjectaccessreviews')) return 'review';
  if (pathname.endsWith('/token')) return 'token';
  if (!pathname.includes('/secrets')) return 'other';
  if (method === 'POST') return 'create';
  if (method === 'DELETE') return 'delete';
  return searchParams.has('fieldSelector') ? 'find' : 'list';
}

function send(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
