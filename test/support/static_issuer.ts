// An issuer whose ID tokens say whatever a test wants, at whatever time: for clocks that are bent and for hostile tokens.
// Discovery and keys are served over real HTTP.

import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** How it answers: rightly, or in one of the ways in which identity providers fail. */
export type Fault = 'hang' | 'drip' | '500' | 'html' | 'redirect' | 'other issuer' | 'other keys' | 'refuse';

export interface StaticIssuer {
  readonly issuer: string;
  readonly key: KeyObject;
  /** Compact JWS, RS256 unless the header says otherwise (then the caller signs it differently). */
  sign(claims: Readonly<Record<string, unknown>>, header?: Readonly<Record<string, unknown>>): string;
  /** Signs a payload as it stands, byte for byte. */
  resign(header: string, payload: string): string;
  fault: Fault | undefined;
  /** Its clock, in milliseconds since 1970, as its answers carry it. */
  date: () => number;
  /** Paths that were asked for. */
  readonly requests: string[];
  stop(): Promise<void>;
}

export async function startStaticIssuer(): Promise<StaticIssuer> {
  const { privateKey: key, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const kid = 'static';
  const jwks = { keys: [{ ...publicKey.export({ format: 'jwk' }), kid, use: 'sig', alg: 'RS256' }] };
  const requests: string[] = [];
  const server = createServer((request, response) => {
    requests.push(request.url ?? '');
    const { fault } = self;
    response.setHeader('date', new Date(self.date()).toUTCString());
    if (fault === 'hang') return;
    if (fault === 'refuse') return request.socket.destroy();
    if (fault === '500') return response.writeHead(500).end('broken');
    if (fault === 'html') return response.setHeader('content-type', 'text/html').end('<h1>maintenance</h1>');
    if (fault === 'redirect') return response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end();
    const others = fault === 'other keys' ? { keys: [{ ...otherKey(), kid, use: 'sig', alg: 'RS256' }] } : jwks;
    const body =
      request.url === '/jwks'
        ? others
        : { ...discovery(), ...(fault === 'other issuer' && { issuer: 'https://other.example.com' }) };
    if (fault === 'drip') return drip(response, JSON.stringify(body));
    response.setHeader('content-type', 'application/json').end(JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const discovery = () => ({
    issuer,
    jwks_uri: `${issuer}/jwks`,
    authorization_endpoint: `${issuer}/auth`,
    token_endpoint: `${issuer}/token`,
    response_types_supported: ['code'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['RS256'],
    claims_supported: ['sub', 'auth_time', 'acr', 'email', 'email_verified', 'groups'],
    scopes_supported: ['openid', 'email', 'groups'],
    code_challenge_methods_supported: ['S256'],
  });
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const resign = (header: string, payload: string) => {
    const signed = `${header}.${Buffer.from(payload).toString('base64url')}`;
    return `${signed}.${sign('sha256', Buffer.from(signed), key).toString('base64url')}`;
  };
  const self: StaticIssuer = {
    fault: undefined,
    date: () => Date.now(),
    issuer,
    key,
    requests,
    sign: (claims, header = {}) => resign(encode({ alg: 'RS256', kid, ...header }), JSON.stringify(claims)),
    resign,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return self;
}

function otherKey() {
  return generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ format: 'jwk' });
}

/** One byte a second. */
function drip(response: ServerResponse, text: string): void {
  let at = 0;
  const timer = setInterval(() => {
    response.write(text[at++] ?? ' ');
    if (response.destroyed) clearInterval(timer);
  }, 1000);
  timer.unref();
}
