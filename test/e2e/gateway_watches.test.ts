// Watches of every encoding, aggregated APIs, informers and `kubectl proxy`, all open at once and cut at one logout; large lists and
// uploads. Real kube-apiserver, kubectl and the official JavaScript client.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import http2 from 'node:http2';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { CoreV1Api, KubeConfig, makeInformer } from '@kubernetes/client-node';
import { freePort } from '../cluster/ports.ts';
import { startAggregatedApi } from '../support/aggregated_api.ts';
import { type GatewayWorld, kubectlOf, startGatewayWorld } from '../support/gateway_world.ts';
import { tokenOf } from '../support/log_in.ts';
import { applyContainers } from '../support/open_terminals.ts';
import { until } from '../support/patience.ts';
import type { Person } from '../support/person.ts';

const LOGGED_OUT = 'curfew: session is over: logged out; run: kubectl curfew login';
const PODS = '/api/v1/namespaces/dev/pods';

let world: GatewayWorld;
let things: { stop(): void };
let alice: Person;
const stops: (() => unknown)[] = [];

before(async () => {
  // CBOR is served where this is asked for alone.
  const plane = { flags: ['--feature-gates=CBORServingAndStorage=true'] };
  world = await startGatewayWorld({ kubelet: true, plane });
  await applyContainers(world);
  things = await startAggregatedApi(world.authority, world.plane);
  alice = await world.person('alice');
  assert.equal((await alice.setup()).code, 0);
});
after(async () => {
  for (const stop of stops) await stop();
  things?.stop();
  await world?.stop();
});

async function login(): Promise<string> {
  const { code, stderr } = await alice.curfew(['login']);
  assert.equal(code, 0, stderr);
  return tokenOf(world, alice);
}

interface RawWatch {
  readonly type: string;
  readonly bytes: () => Buffer;
  readonly closed: Promise<number>;
}

/** A watch as a client of another language asks for it, over HTTP/2. */
async function rawWatch(token: string, accept: string, at = PODS): Promise<RawWatch> {
  const session = http2.connect(world.gateway.url, { ca: world.authority.caPem });
  stops.push(() => session.destroy());
  session.on('error', () => undefined);
  const stream = session.request({ ':path': `${at}?watch=1`, accept, authorization: `Bearer ${token}` });
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => chunks.push(chunk)).on('error', () => undefined);
  const closed = new Promise<number>((resolve) => stream.once('close', () => resolve(stream.rstCode)));
  const [headers] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
  assert.equal(headers[':status'], 200, accept);
  await until(() => chunks.length > 0, `${accept}: no event`);
  return { type: String(headers['content-type']), bytes: () => Buffer.concat(chunks), closed };
}

/** Some of the official client's, with all that it is told. */
async function informer() {
  const config = new KubeConfig();
  config.loadFromFile(alice.env.KUBECONFIG ?? '');
  config.setCurrentContext('dev');
  for (const user of config.users)
    if (user.exec)
      user.exec.env = [...user.exec.env, ...Object.entries(alice.env).map(([name, value]) => ({ name, value }))];
  const api = config.makeApiClient(CoreV1Api);
  const told: string[] = [];
  const errors: string[] = [];
  const one = makeInformer(config, PODS, () => api.listNamespacedPod({ namespace: 'dev' }));
  one.on('add', (pod) => void told.push(pod.metadata?.name ?? ''));
  one.on('error', (error) => void errors.push(error instanceof Error ? error.message : JSON.stringify(error)));
  await one.start();
  stops.push(() => one.stop());
  return { told, errors };
}

/** `kubectl proxy`, and a watch through it. */
async function throughKubectlProxy() {
  const port = await freePort();
  const proxy = kubectlOf(alice, world.plane.kubectlPath, 'proxy', `--port=${port}`);
  stops.push(() => proxy.kill());
  await proxy.says(/Starting to serve/);
  const at = `http://127.0.0.1:${port}${PODS}`;
  const { body } = await fetch(`${at}?watch=1`);
  assert.ok(body);
  let text = '';
  const read = (async () => {
    for await (const part of body.pipeThrough(new TextDecoderStream())) text += part;
  })().catch(() => undefined);
  await until(() => text.includes('"pipes"'), 'no event through kubectl proxy');
  return { at, read, text: () => text };
}

describe('G1 at one end', () => {
  test('watches of every encoding, informers and `kubectl proxy` are cut, as far as each can tell why', async () => {
    const token = await login();
    const json = await rawWatch(token, 'application/json');
    const table = await rawWatch(token, 'application/json;as=Table;v=v1;g=meta.k8s.io');
    const protobuf = await rawWatch(token, 'application/vnd.kubernetes.protobuf');
    const cbor = await rawWatch(token, 'application/cbor');
    const aggregated = await rawWatch(token, 'application/json', '/apis/things.example.com/v1/namespaces/dev/things');
    const listed = kubectlOf(alice, world.plane.kubectlPath, '-n', 'dev', 'get', 'things', '-w');
    await listed.says(/one/);
    const informed = await informer();
    await until(() => informed.told.includes('pipes'), 'the informer tells nothing');
    const proxied = await throughKubectlProxy();
    assert.match(protobuf.type, /protobuf/);
    assert.match(cbor.type, /cbor/);

    assert.equal((await alice.curfew(['logout'])).code, 0);
    for (const watch of [json, table, aggregated]) {
      await watch.closed;
      const last = JSON.parse(String(watch.bytes()).trimEnd().split('\n').at(-1) ?? '');
      assert.deepEqual([last.type, last.object.code, last.object.message], ['ERROR', 401, LOGGED_OUT]);
    }
    for (const watch of [protobuf, cbor]) {
      assert.equal(await watch.closed, http2.constants.NGHTTP2_INTERNAL_ERROR);
      assert.ok(!watch.bytes().includes('curfew:'), 'words in a watch that cannot show them');
    }
    await until(() => listed.ended, 'get -w of an aggregated API goes on');
    assert.ok((listed.stdout() + listed.stderr()).includes(LOGGED_OUT), listed.stderr());
    await until(() => informed.errors.length > 0, 'the informer hears nothing');
    await proxied.read;
    assert.ok(proxied.text().includes(LOGGED_OUT), proxied.text());
    const next = await fetch(proxied.at);
    assert.deepEqual([next.status, (await next.text()).includes('curfew:')], [401, true]);
  });
});

describe('what is large', () => {
  test('uploads of more than 1 MiB and a list of 20 MB pass as they are', async () => {
    await login();
    const file = path.join(alice.dir, 'data');
    for (let i = 0; i < 15; i += 1) {
      await writeFile(file, randomBytes(1_000_000));
      const made = await alice.kubectl(['-n', 'dev', 'create', 'configmap', `big-${i}`, `--from-file=data=${file}`]);
      assert.equal(made.code, 0, made.stderr);
    }
    const list = ['get', '--raw', '/api/v1/namespaces/dev/configmaps'];
    const [through, direct] = [await alice.kubectl(list), await world.plane.adminKubectl(list)];
    assert.equal(through.code, 0, through.stderr);
    assert.ok(through.stdout.length > 20_000_000, String(through.stdout.length));
    // The version of the list is that of when it was asked for.
    const hash = (text: string) =>
      createHash('sha256')
        .update(JSON.stringify(JSON.parse(text).items))
        .digest('hex');
    assert.equal(hash(through.stdout), hash(direct.stdout));
  });
});
