// The settings that the chart writes, by the real broker and the real gateway: both serve by them, and find each other.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { buildBundles } from '../../scripts/bundle.ts';
import { run } from '../../scripts/run.ts';
import { freePort } from '../cluster/ports.ts';
import { startBroker } from '../support/broker_process.ts';
import { createCertificateAuthority } from '../support/certificates.ts';
import { until } from '../support/patience.ts';
import { startRunning } from '../support/running.ts';
import { startStaticIssuer } from '../support/static_issuer.ts';
import { startStreamingApiServer } from '../support/streaming_api_server.ts';
import { type Changes, type EXAMPLES, type Manifest, objectsIn, render, valuesOf } from './render.ts';

interface Container {
  readonly name: string;
  readonly command: readonly string[];
  readonly args: readonly string[];
}

const PRINTED: Readonly<Record<string, RegExp>> = {
  'authn-config': /^kind: AuthenticationConfiguration$/m,
  'authz-config': /^kind: AuthorizationConfiguration$/m,
  'webhook-kubeconfig': /^ +tokenFile: \/etc\/kubernetes\/curfew-webhook\.token$/m,
};

const configIn = (objects: readonly Manifest[]) =>
  Object.values(objects.find(({ kind }) => kind === 'ConfigMap')?.data ?? {}).join('');

let folder: string;
before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'curfew-chart-'));
});
after(() => rm(folder, { recursive: true, force: true }));

test('the real broker serves by the settings that the chart writes, and the real gateway finds broker and API server by its own', async (context) => {
  const authority = await createCertificateAuthority(folder);
  const tls = await authority.issue({ name: 'tls', hosts: ['127.0.0.1'] });
  const api = await startStreamingApiServer(authority);
  context.after(() => api.stop());
  const issuer = await startStaticIssuer();
  context.after(() => issuer.stop());
  const url = `https://127.0.0.1:${await freePort()}`;
  const gateway_url = `https://127.0.0.1:${await freePort()}`;
  // Where the volumes of the pod are, below a folder of ours.
  const etc = path.join(folder, 'etc/curfew');
  const place = async (name: string, content: string) => {
    await mkdir(path.dirname(path.join(etc, name)), { recursive: true });
    await writeFile(path.join(etc, name), content, { mode: 0o600 });
  };
  const secret = () => randomBytes(32).toString('base64');
  const gateway_token = secret();
  await mkdir(path.join(folder, 'var/lib/curfew'), { recursive: true });
  await place('keys/encryption-key', secret());
  const webhook_token = secret();
  await place('files/webhook', webhook_token);
  await place('files/gateway', gateway_token);
  await place('token/token', gateway_token);
  await place('files/ca.crt', authority.caPem);
  await place('files/cluster-ca.crt', authority.caPem);
  await place('tls/tls.crt', '');
  await copyFile(tls.certFile, path.join(etc, 'tls/tls.crt'));
  await copyFile(tls.keyFile, path.join(etc, 'tls/tls.key'));

  const cluster = {
    ...{ name: 'dev', server: api.url, ca_file: '/etc/curfew/files/cluster-ca.crt', audience: 'dev' },
    allowed_groups: ['*'],
    webhook: { token_file: '/etc/curfew/files/webhook', on_failure: 'deny' },
    gateway: {
      url: gateway_url,
      ca_file: '/etc/curfew/files/ca.crt',
      token_file: '/etc/curfew/files/gateway',
    },
  };
  const objectsOfBroker = await objectsOf('broker-on-sqlite', {
    'broker.config.issuer': url,
    'broker.config.issuer_ca_file': '/etc/curfew/files/ca.crt',
    'broker.config.identity_provider.issuer': issuer.issuer,
    'broker.config.clusters': [cluster],
  });
  const config = await writeConfig('curfew-broker.yaml', configIn(objectsOfBroker), new URL(url).port);
  const { broker: broker_program, gateway: gateway_program } = await buildBundles();

  const running = await startBroker({ configFile: config, url, ca: authority.caPem });
  context.after(() => running.kill());

  const gateway = await objectsOf('gateway', {
    'gateway.config.broker': { url, ca_file: '/etc/curfew/files/ca.crt' },
    'gateway.config.cluster': 'dev',
    'gateway.config.api_server.url': api.url,
  });
  const gateway_config = await writeConfig('curfew-gateway.yaml', configIn(gateway), new URL(gateway_url).port);
  const found = await run(process.execPath, [gateway_program, 'check', '--config', gateway_config]);
  assert.equal(found.code, 0, found.stdout + found.stderr);
  assert.match(found.stdout, /tokens for dev are for/);
  const serving = startRunning(process.execPath, [gateway_program, 'serve', '--config', gateway_config]);
  context.after(() => serving.kill());
  let said = '';
  await until(async () => {
    const checked = await run(process.execPath, [broker_program, 'check', '--config', config]);
    said = checked.stdout + checked.stderr;
    return checked.code === 0;
  }, 'the broker finds a fault in its settings, or no gateway').catch((error: unknown) => {
    throw new Error(said, { cause: error });
  });
  assert.match(said, /^ok: .*gateway/m);

  // What the Job prints for the API server: by its own command lines, and without a secret.
  const [job] = objectsOfBroker.filter(({ kind }) => kind === 'Job');
  assert.ok(job?.spec);
  const { containers } = (job.spec as { template: { spec: { containers: readonly Container[] } } }).template.spec;
  assert.deepEqual(
    containers.map(({ name }) => name),
    ['authn-config', 'authz-config', 'webhook-kubeconfig'],
  );
  for (const { name, command, args } of containers) {
    assert.deepEqual(command, ['curfew-broker']);
    const own = args.map((word) => (word.startsWith('/etc/curfew/config/') ? config : word));
    const printed = await run(process.execPath, [broker_program, ...own]);
    assert.equal(printed.code, 0, printed.stderr);
    assert.match(printed.stdout, PRINTED[name] ?? /^$/);
    for (const form of ['base64', 'base64url', 'hex'] as const)
      assert.ok(
        !printed.stdout.includes(Buffer.from(webhook_token, 'base64').toString(form)),
        `${name} prints a secret`,
      );
  }

  async function objectsOf(example: (typeof EXAMPLES)[number], changes: Changes): Promise<readonly Manifest[]> {
    const { code, yaml, said } = await render([valuesOf(example)], changes);
    assert.equal(code, 0, said);
    return objectsIn(yaml);
  }

  /** Below our folder, and at ports that are free. */
  async function writeConfig(name: string, text: string, port: string): Promise<string> {
    const file = path.join(folder, name);
    const moved = text
      .replaceAll(/(?<=: )\/(etc|var)\//g, `${folder}/$1/`)
      .replaceAll('address: 0.0.0.0', 'address: 127.0.0.1')
      .replace(/port: (8443|6443)$/m, `port: ${port}`)
      .replace(/port: 909\d$/m, 'port: 0');
    await writeFile(file, moved);
    return file;
  }
});
