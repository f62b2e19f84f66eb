// `check --live` reads the figures of the broker that runs: by https from whoever presents the very certificate of `metrics.tls`.

import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { createAsk } from '../../broker/live/ask.ts';
import { createFigures } from '../../broker/live/figures.ts';
import { fromMilliseconds } from '../../shared/time.ts';
import { createCertificateAuthority } from '../support/certificates.ts';

const TEXT = `curfew_gateway_feeds{cluster="dev"} 2
curfew_gateway_feeds{cluster="other"} 7
curfew_webhook_duration_seconds_count{webhook="authenticate",outcome="allowed"} 3
curfew_webhook_duration_seconds_count{webhook="authenticate",outcome="denied"} 1
curfew_webhook_duration_seconds_count{webhook="authorize",outcome="denied"} 9
`;

let dir: string;
let server: Server;
let pair: { readonly certFile: string; readonly keyFile: string };
let other: typeof pair;
let status = 200;
let asked = 0;

before(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'curfew-figures-'));
  const authority = await createCertificateAuthority(dir);
  // Of a host that is not asked for: metrics are read by address.
  pair = await authority.issue({ name: 'metrics', hosts: ['metrics.example.com'] });
  other = await authority.issue({ name: 'other', hosts: ['127.0.0.1'] });
  const tls = { cert: await readFile(pair.certFile), key: await readFile(pair.keyFile) };
  server = createServer(tls, (_request, response) => {
    asked += 1;
    response.writeHead(status, { 'content-type': 'text/plain' }).end(TEXT);
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
});
after(async () => {
  server?.close();
  server?.closeAllConnections();
  await rm(dir, { recursive: true, force: true });
});

function figures(cert_file: string) {
  const { port } = server.address() as AddressInfo;
  const metrics = { address: '0.0.0.0', port, tls: { cert_file, key_file: pair.keyFile } };
  return createFigures(
    { metrics },
    createAsk(() => fromMilliseconds(Date.now())),
  );
}

test('figures are read by https', async () => {
  const { asked: reviews, feeds } = figures(pair.certFile);
  assert.equal(await reviews(), 4);
  assert.equal(await feeds('dev'), 2);
});

test('nothing is known of whoever presents another certificate, nor by one that cannot be read, nor where figures are for others', async () => {
  assert.equal(await figures(other.certFile).feeds('dev'), undefined);
  const before = asked;
  const broken = path.join(dir, 'broken.crt');
  await writeFile(broken, 'half of one');
  assert.equal(await figures(broken).feeds('dev'), undefined);
  assert.equal(await figures(path.join(dir, 'missing.crt')).feeds('dev'), undefined);
  assert.equal(asked, before);
  status = 401;
  assert.equal(await figures(pair.certFile).feeds('dev'), undefined);
});
