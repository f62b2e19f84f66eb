// Certificates that are not taken, of broker and identity provider alike: each is told in its own words, never as the network.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { createBroker } from '../../cli/wire/broker.ts';
import { certificateFault } from '../../cli/wire/certificate_fault.ts';
import { createSend } from '../../cli/wire/http.ts';
import { discover } from '../../cli/wire/identity_provider.ts';
import { CurfewError } from '../../shared/errors.ts';
import { createCertificateAuthority } from '../support/certificates.ts';
import { temporaryFolder, testHost } from './host.ts';

const DAY = 86_400_000;

describe('a certificate that is not taken', () => {
  const servers: Server[] = [];
  const dir = temporaryFolder('certificates');
  const urls = new Map<string, string>();
  let ca_file = '';

  const serve = async (name: string, certFile: string, keyFile: string) => {
    const server = createServer({ cert: readFileSync(certFile), key: readFileSync(keyFile) }, (_, response) =>
      response.end('{}'),
    );
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
    servers.push(server);
    urls.set(name, `https://127.0.0.1:${(server.address() as AddressInfo).port}`);
  };
  /** Signed by itself, valid between these times. */
  const signed = async (name: string, from: number, to: number) => {
    const [cert, key] = [path.join(dir, `${name}.crt`), path.join(dir, `${name}.key`)];
    const stamp = (at: number) => new Date(Date.now() + at).toISOString().replace(/[-:T]|\.\d+/g, '');
    await promisify(execFile)('openssl', [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', `/CN=${name}`],
      ...['-addext', 'subjectAltName=IP:127.0.0.1', '-addext', 'basicConstraints=critical,CA:TRUE'],
      ...['-keyout', key, '-out', cert],
      ...(from === 0 ? ['-days', '1'] : ['-not_before', stamp(from), '-not_after', stamp(to)]),
    ]);
    await serve(name, cert, key);
    return cert;
  };

  before(async () => {
    const known = await createCertificateAuthority(path.join(dir, 'known'));
    const unknown = await createCertificateAuthority(path.join(dir, 'unknown'));
    ca_file = known.caFile;
    const other = await known.issue({ name: 'other', hosts: ['other.example.com'] });
    await serve('another host name', other.certFile, other.keyFile);
    const stranger = await unknown.issue({ name: 'stranger', hosts: ['127.0.0.1'] });
    await serve('an unknown issuer', stranger.certFile, stranger.keyFile);
    await signed('signed by itself', 0, DAY);
  });
  after(() => {
    for (const server of servers) {
      server.close();
      server.closeAllConnections();
    }
  });

  const ASKED = {
    broker: (url: string) => {
      const host = testHost();
      return createBroker(url, createSend(host, ca_file), host).metadata();
    },
    'identity provider': (issuer: string) =>
      discover(
        { issuer, client_id: 'curfew', scopes: ['openid'], redirect_host: '127.0.0.1', redirect_ports: [] },
        createSend(testHost(), ca_file),
      ),
  };
  for (const [who, ask] of Object.entries(ASKED))
    for (const [name, message, hint] of [
      ['another host name', /its certificate is for another host name/, /^correct the URL/],
      ['an unknown issuer', /its certificate is not trusted .*of an issuer that is not known here/, /--ca-file FILE/],
      ['signed by itself', /its certificate is not trusted .*signed by itself/, /--ca-file FILE/],
    ] as const)
      it(`by the ${who}: ${name}`, async () => {
        const failed = await Promise.resolve(ask(urls.get(name) ?? '')).then(
          () => undefined,
          (error: unknown) => error,
        );
        assert.ok(failed instanceof CurfewError, String(failed));
        assert.match(failed.message, message);
        assert.match(failed.hint, hint);
        assert.doesNotMatch(failed.hint, /network/);
      });

  it('has words for each code, and no other fault has them', () => {
    const codes = [
      ...[
        'CERT_HAS_EXPIRED',
        'CERT_NOT_YET_VALID',
        'CERT_REVOKED',
        'CERT_REJECTED',
        'CERT_UNTRUSTED',
        'INVALID_PURPOSE',
      ],
      ...['INVALID_CA', 'PATH_LENGTH_EXCEEDED', 'CERT_SIGNATURE_FAILURE', 'HOSTNAME_MISMATCH', 'CERT_CHAIN_TOO_LONG'],
      ...[
        'SELF_SIGNED_CERT_IN_CHAIN',
        'UNABLE_TO_GET_ISSUER_CERT',
        'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
        'UNABLE_TO_GET_CRL',
      ],
    ];
    for (const code of codes) assert.match(certificateFault(code)?.message ?? '', /^its certificate /, code);
    for (const code of ['ECONNREFUSED', 'ENOTFOUND', 'ECONNRESET', 'EPROTO', 'ETIMEDOUT', ''])
      assert.equal(certificateFault(code), undefined, code);
    assert.match(certificateFault('CERT_HAS_EXPIRED')?.hint ?? '', /renew the certificate/);
    assert.match(certificateFault('CERT_NOT_YET_VALID')?.hint ?? '', /clock/);
  });
});
