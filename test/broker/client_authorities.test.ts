// Settings by which clients must present certificates: printed for API servers, and refused or found by `check` where nobody could have one.

import assert from 'node:assert/strict';
import { globSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { parse, stringify } from 'yaml';
import { checkClientAuthorities } from '../../broker/commands/client_authorities.ts';
import { loadConfig } from '../../broker/config/load.ts';
import { printWebhookKubeconfig } from '../../broker/layers/authz_config.ts';
import { fromMilliseconds } from '../../shared/time.ts';
import { createCertificateAuthority } from '../support/certificates.ts';
import { type LoneBroker, makeLoneBroker } from '../support/lone_broker.ts';

const [LIBRARY = ''] = globSync('/usr/lib/*/faketime/libfaketime.so.1');
const now = fromMilliseconds(Date.now());
let folder: string;
let lone: LoneBroker;
const cluster = (client_certificate: boolean) => [{ name: 'dev', webhook: { client_certificate } as never }];

before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'curfew-client-authorities-'));
  lone = await makeLoneBroker({ name: 'client-authorities', tls: true, webhook: true });
});
after(async () => {
  await lone.remove();
  await rm(folder, { recursive: true });
});

/** Its configuration, changed. @param ca_file of `listen.tls` */
async function configure(client_certificate: unknown, ca_file?: string) {
  const settings = parse(await readFile(lone.configFile, 'utf8'));
  settings.listen.tls = { ...settings.listen.tls, ...(ca_file !== undefined && { client_ca_file: ca_file }) };
  settings.clusters[0].webhook = { token_file: 'hook', on_failure: 'deny', client_certificate };
  const file = path.join(lone.folder, 'changed.yaml');
  await writeFile(file, stringify(settings));
  return loadConfig(file, { env: {} });
}

test('a certificate that nobody could present is refused at load, and so is an authority that is none', async () => {
  await assert.rejects(configure(true), {
    code: 'configuration',
    message: /clusters\[0\]\.webhook\.client_certificate: needs listen\.tls\.client_ca_file/,
  });
  await assert.rejects(configure(false, 'hook'), {
    message: /listen\.tls\.client_ca_file: hook: holds no certificate/,
  });
  await assert.rejects(configure('yes'), { message: /client_certificate: expected true or false/ });
});

test('the kubeconfig of a webhook names certificate and key where they are wanted, and nothing of the kind elsewhere', async () => {
  const { caFile } = await createCertificateAuthority(folder);
  const wanted = await configure(true, caFile);
  const user = (text: string) => parse(text).users[0].user;
  assert.deepEqual(user(printWebhookKubeconfig(wanted, 'dev', 'authorization', '/t')), {
    tokenFile: '/t',
    'client-certificate': '/etc/kubernetes/curfew-webhook.crt',
    'client-key': '/etc/kubernetes/curfew-webhook.key',
  });
  const paths = { certificate: '/a', key: '/b' };
  const told = user(printWebhookKubeconfig(wanted, 'dev', 'authorization', undefined, paths));
  assert.deepEqual([told['client-certificate'], told['client-key']], ['/a', '/b']);
  const plain = user(printWebhookKubeconfig(await configure(false, caFile), 'dev', 'authorization', '/t', paths));
  assert.deepEqual(plain, { tokenFile: '/t' });
});

test('check finds authorities that can make no certificate, and the clusters that must present one', async () => {
  const good = await createCertificateAuthority(path.join(folder, 'good'));
  const old = { LD_PRELOAD: LIBRARY, FAKETIME: '-60d' };
  const over = await createCertificateAuthority(path.join(folder, 'over'), 'over', old);
  const leaf = await readFile((await good.issue({ name: 'leaf', hosts: ['a'] })).certFile, 'utf8');
  assert.deepEqual(checkClientAuthorities(undefined, cluster(false), now), []);
  assert.deepEqual(checkClientAuthorities(over.caPem + good.caPem, cluster(true), now), []);
  for (const pem of [over.caPem, leaf]) {
    assert.equal(checkClientAuthorities(pem, cluster(false), now).length, 1);
    assert.match(JSON.stringify(checkClientAuthorities(pem, cluster(true), now)), /cluster dev: webhook/);
  }
});
