// Certificate and key of the broker on a reload, as SIGHUP asks for it: read again, taken when they are good, without a restart.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';
import type { PolicyEvent } from '../../broker/audit_log/events.ts';
import {
  type CertificateAuthority,
  createCertificateAuthority,
  type IssuedCertificate,
} from '../support/certificates.ts';
import { until } from '../support/patience.ts';
import { startTestService, TEST_POLICY, type TestService } from '../support/service.ts';

let folder: string;
let authority: CertificateAuthority;
let service: TestService;

/** Where the certificate and the key lie that the configuration names by links: no change is seen in the links' folder. */
let [cert, key] = ['', ''];

before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'curfew-reload-tls-'));
  authority = await createCertificateAuthority(folder);
  [cert, key] = [path.join(folder, 'real.crt'), path.join(folder, 'real.key')];
  await place(await issue('first'));
  const links = path.join(folder, 'links');
  await mkdir(links);
  const tls = { cert_file: path.join(links, 'tls.crt'), key_file: path.join(links, 'tls.key') };
  await symlink(cert, tls.cert_file);
  await symlink(key, tls.key_file);
  service = await startTestService({ listen: { address: '127.0.0.1', port: 0, tls } });
});
after(async () => {
  await service.stop();
  await rm(folder, { recursive: true });
});

const issue = (name: string) => authority.issue({ name, hosts: ['127.0.0.1'] });

async function place({ certFile, keyFile }: IssuedCertificate): Promise<void> {
  await copyFile(certFile, cert);
  await copyFile(keyFile, key);
}

async function connected(): Promise<TLSSocket> {
  const { hostname: host, port } = new URL(service.url);
  const socket = connect({ host, port: Number(port), ca: authority.caPem });
  await once(socket, 'secureConnect');
  return socket;
}

/** The serial number that a new connection sees. */
async function serial(): Promise<string> {
  const socket = await connected();
  const { serialNumber } = socket.getPeerCertificate();
  socket.destroy();
  return serialNumber;
}

async function isServed(socket: TLSSocket): Promise<void> {
  socket.write('GET /healthz HTTP/1.1\r\nHost: curfew\r\n\r\n');
  const [answer] = await once(socket, 'data');
  assert.match(String(answer), /^HTTP\/1\.1 200 /);
}

const outcomes = () => service.audit.filter((event): event is PolicyEvent => event.event === 'policy');

test('F9 a new certificate is what new connections see from then on; those that are open go on', async () => {
  const [old, open] = [await serial(), await connected()];
  await isServed(open);
  await place(await issue('second'));
  assert.equal(await serial(), old, 'before the reload');
  assert.equal((await service.reload()).outcome, 'reloaded');
  assert.notEqual(await serial(), old);
  assert.ok(service.log.some((line) => line.includes('"certificate reloaded"')));
  await isServed(open);
  open.destroy();
});

test('F9 a pair that is broken is refused by its setting, in log and record, with all else that was to change; the old one is served', async () => {
  const [old, good, other] = [await serial(), await issue('good'), await issue('other')];
  const policy = { ...TEST_POLICY, limits: { ...TEST_POLICY.limits, max_age: '50m' } };
  const broken: readonly (readonly [() => Promise<void>, RegExp])[] = [
    [() => place({ ...good, keyFile: other.keyFile }), /: listen\.tls: .* do not belong together$/],
    [() => writeFile(cert, 'no certificate'), /: listen\.tls: cert_file holds no certificate in PEM$/],
    [() => rm(key), /: listen\.tls\.key_file: /],
  ];
  for (const [spoil, said] of broken) {
    const logged = service.log.length;
    await spoil();
    const outcome = await service.reload({ policy });
    assert.ok(outcome.outcome === 'refused', outcome.outcome);
    assert.ok(
      outcome.faults.some((fault) => said.test(fault)),
      outcome.faults.join('\n'),
    );
    assert.deepEqual(outcomes().at(-1)?.faults, outcome.faults);
    const lines = service.log.slice(logged).map((line) => JSON.parse(line) as { msg: string; faults?: unknown });
    assert.deepEqual(lines.find(({ faults }) => faults)?.faults, outcome.faults);
    assert.ok(!lines.some(({ msg }) => msg === 'certificate reloaded'));
    assert.equal(await serial(), old);
  }
  await place(good);
  assert.equal((await service.reload({ policy })).outcome, 'reloaded');
  assert.notEqual(await serial(), old);
});

test('F9 under load, with good pairs and broken ones in turn: every client is served, by a certificate that is good', async () => {
  const good = async () => {
    await place(await issue(`loaded-${serials.size}`));
    await service.reload();
  };
  const broken = async () => {
    await place({ ...(await issue('one')), keyFile: (await issue('another')).keyFile });
    await service.reload();
  };
  const serials = new Set<string>();
  let [over, served] = [false, 0];
  const client = async () => {
    while (!over) {
      const socket = await connected();
      serials.add(socket.getPeerCertificate().serialNumber);
      await isServed(socket);
      served += 1;
      socket.destroy();
    }
  };
  // One that is not served ends the test, whenever it is.
  const clients = Promise.all(Array.from({ length: 6 }, client));
  clients.catch(() => undefined);
  for (const change of [good, broken, good, broken, good]) {
    await change();
    const before = served;
    await until(() => served >= before + 12, 'nobody is served');
  }
  over = true;
  await clients;
  assert.ok(serials.size >= 4, `${serials.size} certificates`);
});
