// The throw-away certificate authority: its certificates are taken by TLS clients that know the CA, and by no others.
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { createServer, request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type CertificateAuthority, createCertificateAuthority } from './certificates.ts';

let dir = '';
let authority: CertificateAuthority;

before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'curfew-certificates-'));
  authority = await createCertificateAuthority(join(dir, 'pki'));
});
after(() => rm(dir, { recursive: true, force: true }));

function get(port: number, host: string, ca: string | undefined): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const call = request({ host, port, ...(ca === undefined ? {} : { ca }), agent: false }, (response) => {
    response.resume();
    resolve(response.statusCode ?? 0);
  });
  call.on('error', reject).end();
  return promise;
}

test('an issued certificate serves its DNS names and IP addresses to whoever trusts the CA, and nobody else', async () => {
  const { certFile, keyFile } = await authority.issue({ name: 'broker', hosts: ['localhost', '127.0.0.1', '::1'] });
  const [cert, key] = await Promise.all([readFile(certFile), readFile(keyFile)]);
  const server = createServer({ cert, key }, (_, response) => response.end('ok'));
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  try {
    const { port } = server.address() as AddressInfo;
    assert.equal(await get(port, '127.0.0.1', authority.caPem), 200);
    assert.equal(await get(port, 'localhost', authority.caPem), 200);
    await assert.rejects(get(port, '127.0.0.1', undefined));
  } finally {
    server.close();
  }
});

test('keys are ECDSA P-256 and every file is readable by its owner alone', async () => {
  const { certFile, keyFile } = await authority.issue({ name: 'modes', hosts: ['modes.example.com'], days: 2 });
  for (const file of [certFile, keyFile, authority.caFile]) assert.equal((await stat(file)).mode & 0o777, 0o600);
  const cert = new X509Certificate(await readFile(certFile));
  assert.equal(cert.publicKey.asymmetricKeyDetails?.namedCurve, 'prime256v1');
  assert.equal(cert.checkHost('modes.example.com'), 'modes.example.com');
  assert.ok(cert.verify(new X509Certificate(authority.caPem).publicKey));
  const life = (Date.parse(cert.validTo) - Date.parse(cert.validFrom)) / 86_400_000;
  assert.equal(life, 2);
});

test('issuing a name again replaces the certificate in place', async () => {
  const first = await authority.issue({ name: 'renewed', hosts: ['127.0.0.1'] });
  const old = await readFile(first.certFile, 'utf8');
  const second = await authority.issue({ name: 'renewed', hosts: ['127.0.0.1'] });
  assert.deepEqual(second, first);
  assert.notEqual(await readFile(second.certFile, 'utf8'), old);
});

test('a name that would leave the folder is refused', async () => {
  await assert.rejects(authority.issue({ name: '../escape', hosts: ['127.0.0.1'] }), TypeError);
  await assert.rejects(authority.issue({ name: 'nowhere', hosts: [] }), TypeError);
});
