// The least that kube-apiserver needs of an issuer: discovery, JWKS and a key that signs, over HTTPS. It signs what it
// is told to, so that a test can show what the API server itself refuses.
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose';
import type { CertificateAuthority } from '../support/certificates.ts';

export type Issuer = {
  readonly url: string;
  readonly ca_pem: string;
  /** A JWT of exactly these claims and `iss`, ES256. */
  sign(claims: JWTPayload): Promise<string>;
  close(): Promise<void>;
};

export async function startIssuer(authority: CertificateAuthority): Promise<Issuer> {
  const { certFile, keyFile } = await authority.issue({ name: 'issuer', hosts: ['127.0.0.1'] });
  const [cert, key] = await Promise.all([readFile(certFile), readFile(keyFile)]);
  const { publicKey, privateKey } = await generateKeyPair('ES256');
  const header = { alg: 'ES256', kid: 'test', typ: 'curfew+jwt' };
  const jwks = { keys: [{ ...(await exportJWK(publicKey)), alg: 'ES256', kid: 'test', use: 'sig' }] };
  const server = createServer({ cert, key }, (request, response) => {
    const documents: Readonly<Record<string, unknown>> = {
      '/jwks': jwks,
      '/.well-known/openid-configuration': {
        issuer: url,
        jwks_uri: `${url}/jwks`,
        response_types_supported: ['id_token'],
        subject_types_supported: ['public'],
        id_token_signing_alg_values_supported: ['ES256'],
      },
    };
    const document = documents[request.url ?? ''];
    response.setHeader('content-type', 'application/json').setHeader('cache-control', 'max-age=60');
    response.writeHead(document === undefined ? 404 : 200).end(JSON.stringify(document ?? {}));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    ca_pem: authority.caPem,
    sign: (claims) => new SignJWT({ iss: url, ...claims }).setProtectedHeader(header).sign(privateKey),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
