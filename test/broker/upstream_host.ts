// An identity provider's metadata and keys over real HTTP, that answers as badly as a test wants, and signs whatever it wants.

import { constants, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { createServer, type RequestListener, type ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';

export type Answer =
  | 'good'
  | 'hang'
  | 'drip'
  | 'slow_drip_of_json'
  | '500'
  | 'html'
  | 'redirect'
  | 'large'
  | 'list'
  | 'wrong_issuer'
  | 'unsafe_jwks_uri'
  | 'no_keys'
  | 'cut';

type Json = Readonly<Record<string, unknown>>;

export interface UpstreamHost {
  readonly issuer: string;
  readonly host: string;
  /** How it answers from now on. */
  discovery: Answer;
  jwks: Answer;
  /** The keys that it publishes. */
  keys: Json[];
  /** More of, or other, metadata. */
  metadata: Json;
  /** Paths that were asked for. */
  readonly requests: string[];
  stop(): Promise<void>;
}

export async function startUpstreamHost(tls?: { readonly cert: string; readonly key: string }): Promise<UpstreamHost> {
  const listener: RequestListener = ({ url = '' }, response) => {
    upstream.requests.push(url);
    const isKeys = url.startsWith('/jwks');
    answer(upstream, isKeys ? upstream.jwks : upstream.discovery, response, isKeys);
  };
  const server = tls ? createSecureServer(tls, listener) : createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const issuer = `${tls ? 'https' : 'http'}://${host}`;
  const upstream: UpstreamHost = {
    issuer,
    host,
    discovery: 'good',
    jwks: 'good',
    keys: [],
    metadata: {},
    requests: [],
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return upstream;
}

function answer(upstream: UpstreamHost, how: Answer, response: ServerResponse, isKeys: boolean): void {
  const { issuer, keys, metadata } = upstream;
  const body = JSON.stringify(isKeys ? { keys } : { issuer, jwks_uri: `${issuer}/jwks`, ...metadata });
  const drip = (text: string, every: number) => {
    let at = 0;
    response.setHeader('content-type', 'application/json');
    const timer = setInterval(() => response.write(text[at++ % text.length] ?? ' '), every);
    response.on('close', () => clearInterval(timer));
  };
  const answers: Record<Answer, () => unknown> = {
    good: () => response.setHeader('content-type', 'application/json').end(body),
    hang: () => undefined,
    drip: () => drip(' ', 20),
    slow_drip_of_json: () => drip(body, 20),
    '500': () => response.writeHead(500).end(body),
    html: () => response.setHeader('content-type', 'text/html').end('<html>sign in</html>'),
    redirect: () => response.writeHead(302, { location: `${issuer}/elsewhere` }).end(),
    large: () => response.end(JSON.stringify({ padding: 'x'.repeat(1024 * 1024) })),
    list: () => response.end('[]'),
    wrong_issuer: () => response.end(JSON.stringify({ issuer: `${issuer}/`, jwks_uri: `${issuer}/jwks` })),
    unsafe_jwks_uri: () => response.end(JSON.stringify({ issuer, jwks_uri: 'http://192.0.2.1/jwks' })),
    no_keys: () => response.end('{"keys":[]}'),
    cut: () => {
      response.write(body.slice(0, 10));
      response.destroy();
    },
  };
  answers[how]();
}

export interface SigningKey {
  readonly alg: string;
  readonly key: KeyObject;
  /** As it would be published. */
  readonly jwk: Json;
}

export function makeKey(alg: string, kid?: string, modulusLength = 2048): SigningKey {
  const pair = alg.startsWith('ES')
    ? generateKeyPairSync('ec', { namedCurve: { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' }[alg] ?? 'P-256' })
    : generateKeyPairSync('rsa', { modulusLength });
  return { alg, key: pair.privateKey, jwk: { ...pair.publicKey.export({ format: 'jwk' }), kid, use: 'sig' } };
}

/** A compact JWS; a text as payload is taken as it is, for JSON that `JSON.stringify` cannot write. */
export function signJws({ alg, key, jwk }: SigningKey, payload: Json | string, header: Json = {}): string {
  const head = { alg, kid: jwk.kid, ...header };
  const text = typeof payload === 'string' ? payload : JSON.stringify(payload);
  const signed = [JSON.stringify(head), text].map((part) => Buffer.from(part).toString('base64url')).join('.');
  return `${signed}.${signatureOf(alg, key, signed).toString('base64url')}`;
}

function signatureOf(alg: string, key: KeyObject, signed: string): Buffer {
  const hash = `sha${alg.slice(2)}`;
  const data = Buffer.from(signed);
  if (alg.startsWith('ES')) return sign(hash, data, { key, dsaEncoding: 'ieee-p1363' });
  if (alg.startsWith('RS')) return sign(hash, data, key);
  const saltLength = constants.RSA_PSS_SALTLEN_DIGEST;
  return sign(hash, data, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength });
}
