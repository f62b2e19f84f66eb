// The server's certificate: replaced while the server runs, and kept when what replaces it is broken.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { connect, type SecureVersion } from 'node:tls';
import { pino } from 'pino';
import {
  faultOfPair,
  readTlsPair,
  type TlsPair,
  type TlsWatch,
  tlsOptions,
  watchTls,
} from '../../serving/config/tls.ts';
import { type CertificateAuthority, createCertificateAuthority } from '../support/certificates.ts';
import { until } from '../support/patience.ts';

let folder: string;
let ca: CertificateAuthority;
let files: { cert_file: string; key_file: string };
let server: Server;
let watching: TlsWatch;
const logged: string[] = [];
const log = pino({ level: 'trace' }, { write: (line: string) => void logged.push(line) });

before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'curfew-tls-'));
  ca = await createCertificateAuthority(folder);
});
after(() => rm(folder, { recursive: true }));

beforeEach(async () => {
  logged.length = 0;
  const { certFile, keyFile } = await ca.issue({ name: 'server', hosts: ['127.0.0.1'] });
  files = { cert_file: certFile, key_file: keyFile };
  server = createServer(tlsOptions(await readTlsPair(files)), (_, response) => response.end());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterEach(() => {
  watching?.close();
  server.close();
});

async function pairOf(name: string): Promise<TlsPair> {
  const { certFile, keyFile } = await ca.issue({ name, hosts: ['127.0.0.1'] });
  return { cert: await readFile(certFile, 'utf8'), key: await readFile(keyFile, 'utf8') };
}

/** The serial number that a new connection sees. */
async function serial(maxVersion: SecureVersion = 'TLSv1.3'): Promise<string> {
  const { port } = server.address() as AddressInfo;
  const minVersion = maxVersion === 'TLSv1.1' ? 'TLSv1' : 'TLSv1.2';
  const socket = connect({ port, host: '127.0.0.1', ca: ca.caPem, maxVersion, minVersion });
  try {
    await once(socket, 'secureConnect');
    return socket.getPeerCertificate().serialNumber;
  } finally {
    socket.destroy();
  }
}

async function changesFrom(old: string): Promise<string> {
  let now = old;
  await until(async () => {
    now = await serial();
    return now !== old;
  }, 'the certificate stays');
  return now;
}

describe('the server', () => {
  test('speaks TLS 1.2 and 1.3, nothing older', async () => {
    assert.equal(await serial('TLSv1.2'), await serial('TLSv1.3'));
    await assert.rejects(serial('TLSv1.1'));
  });

  test('uses a new certificate without a restart when the files are replaced', async () => {
    watching = watchTls(server, files, await readTlsPair(files), { log, interval: 60_000 });
    const old = await serial();
    await ca.issue({ name: 'server', hosts: ['127.0.0.1'] });
    assert.notEqual(await changesFrom(old), old);
    assert.ok(logged.some((line) => line.includes('certificate reloaded')));
  });

  test('uses a new certificate when a link is swapped, as Kubernetes does in a Secret that is mounted', async () => {
    const mount = await mkdtemp(path.join(folder, 'mount-'));
    for (const version of ['v1', 'v2']) {
      const { cert, key } = await pairOf(version);
      const data = path.join(mount, `..${version}`);
      await mkdir(data);
      await writeFile(path.join(data, 'tls.crt'), cert);
      await writeFile(path.join(data, 'tls.key'), key);
    }
    await symlink('..v1', path.join(mount, '..data'));
    files = { cert_file: path.join(mount, 'tls.crt'), key_file: path.join(mount, 'tls.key') };
    await symlink('..data/tls.crt', files.cert_file);
    await symlink('..data/tls.key', files.key_file);
    const first = await readTlsPair(files);
    server.setSecureContext(first);
    watching = watchTls(server, files, first, { log, interval: 60_000 });
    const old = await serial();
    await symlink('..v2', path.join(mount, '..data_tmp'));
    await rename(path.join(mount, '..data_tmp'), path.join(mount, '..data'));
    assert.notEqual(await changesFrom(old), old);
  });

  test('finds a change by the clock where nothing is reported', async () => {
    const [elsewhere, links] = [await mkdtemp(path.join(folder, 'real-')), await mkdtemp(path.join(folder, 'links-'))];
    const real = { cert_file: path.join(elsewhere, 'tls.crt'), key_file: path.join(elsewhere, 'tls.key') };
    const unseen = { cert_file: path.join(links, 'tls.crt'), key_file: path.join(links, 'tls.key') };
    for (const file of ['cert_file', 'key_file'] as const) {
      await writeFile(real[file], await readFile(files[file]));
      await symlink(real[file], unseen[file]);
    }
    watching = watchTls(server, unseen, await readTlsPair(files), { log, interval: 50 });
    const old = await serial();
    const { cert, key } = await pairOf('next');
    await writeFile(real.key_file, key);
    await writeFile(real.cert_file, cert);
    assert.notEqual(await changesFrom(old), old);
  });

  test('keeps the old certificate while the new pair is broken, says so once, and heals by itself', async () => {
    watching = watchTls(server, files, await readTlsPair(files), { log, interval: 60_000 });
    const old = await serial();
    const [good, other] = [await pairOf('good'), await pairOf('other')];
    const broken: [string, string][] = [
      [good.cert, other.key],
      ['not a certificate', good.key],
      [good.cert, ''],
    ];
    for (const [cert, key] of broken) {
      logged.length = 0;
      await writeFile(files.cert_file, cert);
      await writeFile(files.key_file, key);
      await watching.reload();
      await watching.reload();
      assert.equal(await serial(), old);
      assert.equal(logged.filter((line) => line.includes('the old one stays')).length, 1);
    }
    await rm(files.cert_file);
    await watching.reload();
    assert.equal(await serial(), old);
    await writeFile(files.cert_file, good.cert);
    await writeFile(files.key_file, good.key);
    await watching.reload();
    assert.notEqual(await serial(), old);
    const key = good.key.split('\n')[1] ?? '';
    assert.ok(key.length > 40 && !logged.join().includes(key));
  });
});

describe('a pair of certificate and key', () => {
  test('is refused in words that name what is wrong, and quote nothing', async () => {
    const [one, other] = [await pairOf('one'), await pairOf('two')];
    assert.equal(faultOfPair(one.cert, one.key), undefined);
    assert.match(faultOfPair(one.cert, other.key) ?? '', /do not belong together/);
    for (const text of ['', ' ', 'x', one.key]) assert.match(faultOfPair(text, one.key) ?? '', /no certificate in PEM/);
    for (const text of ['', ' ', 'x', one.cert])
      assert.match(faultOfPair(one.cert, text) ?? '', /no private key in PEM/);
    assert.match(faultOfPair(one.cert.replace(/M/g, 'N'), one.key) ?? '', /cannot be used/);
    assert.match(faultOfPair(one.cert, one.key.slice(0, -60)) ?? '', /cannot be used/);
    await assert.rejects(readTlsPair({ ...files, key_file: `${folder}/gone` }), {
      code: 'configuration',
      message: /no such file/,
    });
  });
});
