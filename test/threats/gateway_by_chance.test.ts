// Requests by chance at a gateway, and at what its broker has for gateways, with credentials of every kind: each is refused or closed unless
// it is good, nothing else reaches the API server, nothing ends, no stream of others is cut, and nothing is kept. Both are processes.

import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { signEs256 } from '../../serving/jws/es256.ts';
import { GATEWAY_PATHS } from '../../shared/gateway_wire.ts';
import { GRANT } from '../../shared/wire.ts';
import { countOf, isLong } from '../counts.ts';
import { chanceOf } from '../support/chance.ts';
import { type GatewayBetween, type Logged, makeGatewayBetween } from '../support/gateway_between.ts';
import type { ClientStream } from '../support/gateway_client.ts';
import { heapOf } from '../support/heap.ts';
import { type LoneBroker, makeLoneBroker } from '../support/lone_broker.ts';
import { oddRequest, type Peer, statusOf } from '../support/odd_requests.ts';
import { until } from '../support/patience.ts';

const REQUESTS = countOf('gateway_chance');
const chance = chanceOf('gateway_by_chance');
const POD = '/api/v1/namespaces/dev/pods/shell';
/** MiB by which what is held may have grown. */
const HELD = 16;

let lone: LoneBroker;
let between: GatewayBetween;
let alice: Logged;
let bob: Logged;
let streams: readonly ClientStream[];
/** Of another cluster's gateway, which is required there, and of an API server. */
const [others_token, hook_token] = [randomBytes(32), randomBytes(32)];
/** Bob's, for the gateway of that cluster alone. */
let for_other: string;
/** That was used already. */
let proof: string;

before(async () => {
  between = await makeGatewayBetween(() => lone.url);
  const [own] = between.sections.clusters as readonly object[];
  const other = { name: 'prod', server: 'https://127.0.0.1:1', audience: 'prod', allowed_groups: ['*'] };
  const clusters = [
    { ...own, webhook: { token_file: 'hook', on_failure: 'deny' } },
    { ...other, gateway: { url: 'https://127.0.0.1:2', token_file: 'other-gateway', required: true } },
  ];
  lone = await makeLoneBroker({ name: 'gateway-chance', sections: { ...between.sections, clusters } });
  await between.prepare(lone.folder);
  await writeFile(path.join(lone.folder, 'other-gateway'), others_token.toString('base64'), { mode: 0o600 });
  await writeFile(path.join(lone.folder, 'hook'), hook_token.toString('base64'), { mode: 0o600 });
  await lone.start();
  await between.startGateway();
  alice = await between.logIn(lone.issuer, 'alice');
  bob = await between.logIn(lone.issuer, 'bob');
  proof = bob.holder.proof();
  for_other = (await bob.holder.renew(bob.handle, 'prod', {}, proof)).granted.access_token;
  streams = [await alice.client.watch('/api/v1/namespaces/dev/pods?watch=1'), await alice.client.exec('shell')];
});
after(async () => {
  await between?.stop();
  await lone?.remove();
});

const bearer = (token: string) => `Bearer ${token}`;
const ofOther = () => others_token.toString('base64url');

/** Everything that is a token somewhere, but not a person's here. */
function otherTokens(): readonly string[] {
  const [head, payload, signature = ''] = bob.client.token.split('.');
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const unsigned = Buffer.from(JSON.stringify({ alg: 'none', typ: 'JWT' })).toString('base64url');
  return [
    ...[bob.handle, for_other, ofOther(), hook_token.toString('base64url'), between.gateway_token, 'x', '', 'a b'],
    ...[
      `${head}.${payload}.${signEs256(`${head}.${payload}`, privateKey).toString('base64url')}`,
      `${head}.${payload}.`,
    ],
    ...[
      `${unsigned}.${payload}.`,
      `${head}.${payload}.${signature.slice(1)}`,
      `${bob.client.token}x`,
      'a'.repeat(20_000),
    ],
    ...[
      `${head}.${payload}.${signature}, Bearer x`,
      lone.issuer.sign({ iss: lone.issuer.issuer, aud: 'dev', sub: 'bob' }),
    ],
  ];
}

/** What must be as it was, whatever came. */
async function assertUnmoved(): Promise<void> {
  const { gateway, api } = between;
  assert.deepEqual(
    [...api.tokens].filter((token) => ![alice, bob].some(({ client }) => client.token === token)),
    [],
  );
  assert.ok(
    streams.every(({ closed }) => !closed),
    'a stream of somebody else was cut',
  );
  const rows = lone.process.audit().filter(({ event }) => event === 'end' || event === 'stream_cut');
  assert.deepEqual(rows, []);
  await until(async () => (await gateway.status()) === 'ok', 'the gateway is not ready');
  await until(async () => (await alice.client.get(POD)).status === 200, 'alice is not let in');
  await until(async () => (await lone.ready()) === 200, 'the broker is not ready');
}

const openAtGateway = async () =>
  [...(await between.gateway.metrics()).matchAll(/^curfew_gateway_streams\{.*\} (\d+)/gm)]
    .map(([, count]) => Number(count))
    .reduce((sum, count) => sum + count, 0);
const descriptorsOf = (pid: number) => readdirSync(`/proc/${pid}/fd`).length;

/** @param allowed with what any may be answered: also 503, where a busy machine leaves the broker silent for a moment */
async function send(to: Peer, make: () => string, allowed: RegExp, at_once = 1): Promise<ReadonlySet<string>> {
  const seen = new Map<string, number>();
  let left = REQUESTS;
  const sending = async () => {
    for (; left > 0; left -= 1) {
      const text = make();
      const status = await statusOf(to, text);
      assert.match(status, allowed, JSON.stringify(text).slice(0, 2_000));
      seen.set(status, (seen.get(status) ?? 0) + 1);
    }
  };
  await Promise.all(Array.from({ length: at_once }, sending));
  console.log(JSON.stringify(Object.fromEntries(seen)));
  return new Set(seen.keys());
}

/** Requests for the gateway: what a person sends, and what nobody should. */
function oddAtGateway(): string {
  const upgrade = 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13';
  const carried = `base64url.bearer.authorization.k8s.io.${Buffer.from(for_other).toString('base64url')}`;
  return oddRequest(
    chance,
    {
      method: ['GET'],
      path: [
        POD,
        '/api/v1/pods?watch=1',
        `${POD}/exec?command=cat`,
        `${POD}/portforward`,
        '/version',
        `${POD}/proxy/a`,
      ],
      authorization: [bearer(bob.client.token)],
      headers: ['', `${upgrade}\r\nSec-WebSocket-Protocol: v5.channel.k8s.io`],
      body: [''],
    },
    {
      path: [
        ...['/', '*', '', '//', '/%2e%2e/x', `${POD}%2fexec`, `/${'a'.repeat(9_000)}`, '/metrics', '/readyz', '/\x01'],
        ...[
          '/api/v1/namespaces/../secrets',
          '/v1/gateway/sessions',
          'https://127.0.0.1/x',
          '/\xe9',
          '/a#b',
          '/a?b=%',
          '/a b',
        ],
        `/apis/example.com/v1/kind${chance.below(1_000)}?watch=1`,
      ],
      authorization: [
        ...[
          '',
          'Basic YTpi',
          `DPoP ${bob.client.token}`,
          'Bearer',
          `${bearer('x')}\r\nSec-WebSocket-Protocol: ${carried}`,
        ],
        ...otherTokens().map(bearer),
      ],
      body: ['{}', '0\r\n\r\n', 'x'.repeat(100_000), '\xff\xfe', 'GET /version HTTP/1.1\r\nHost: x\r\n\r\n'],
    },
  );
}

/** Requests for what the broker has for gateways. @param authorizations of whoever asks */
function oddAtBroker(authorizations: readonly string[]): string {
  const ask = { sid: bob.sid, targets: [{}] };
  const asks = { asks: [ask], uses: [{ sid: bob.sid, age_ms: 0 }] };
  const event = { type: 'opened', stream: 'x', sid: bob.sid, kind: 'exec' };
  const report = { instance: 'x', first: 1, events: [event] };
  const swap = new URLSearchParams({
    ...{ grant_type: GRANT.exchange, subject_token: for_other, audience: 'prod' },
    subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
  });
  const bodies = [
    ...[asks, report, { asks: [], uses: [] }, { asks: [{ ...ask, targets: Array(101).fill({}) }], uses: [] }],
    ...[
      { asks: [], uses: Array(2_001).fill(asks.uses[0]) },
      { ...report, first: -1 },
    ],
    { ...report, events: Array(5_000).fill(event) },
  ].map((body) => JSON.stringify(body));
  return oddRequest(
    chance,
    {
      method: ['POST', 'POST', 'GET'],
      path: [GATEWAY_PATHS.sessions, GATEWAY_PATHS.events, GATEWAY_PATHS.ends, GATEWAY_PATHS.token],
      authorization: authorizations,
      headers: ['Content-Type: application/json', 'Content-Type: application/x-www-form-urlencoded'],
      body: [...bodies, String(swap)],
    },
    {
      path: [
        ...[
          `${GATEWAY_PATHS.ends}?after=x`,
          `${GATEWAY_PATHS.ends}?after=1.a.b`,
          `${GATEWAY_PATHS.ends}?after=1&after=2`,
        ],
        ...['/v1/gateway/', '/v1/gateway/%73essions', '/v1/gateway/ends/..', `${GATEWAY_PATHS.sessions}/`],
        `${GATEWAY_PATHS.ends}?after=${'9'.repeat(400)}`,
      ],
      authorization: [`${authorizations[0]}\r\nDPoP: ${proof}`, `${authorizations[0]}, Bearer x`, 'Basic YTpi'],
      body: ['', '{}', '[]', 'null', '['.repeat(50_000), '\xff\xfe', '{"__proto__":{}}', 'x'.repeat(1_100_000)],
    },
  );
}

describe(`${REQUESTS} requests by chance (SEED=${chance.seed})`, { concurrency: 1 }, () => {
  test('H1 at a gateway: none fails, only what has a token of its own cluster reaches the API server, and nothing is kept', async () => {
    const { gateway, authority, api } = between;
    const [before, open] = [descriptorsOf(gateway.pid), await openAtGateway()];
    const held = isLong ? await heapOf(gateway.pid) : 0;
    const to = { url: gateway.url, ca: authority.caPem, ends_after: 3_000 };
    const seen = await send(to, oddAtGateway, /^(none|101|200|4\d\d|503)$/, 30);
    for (const status of ['101', '200', '400', '401']) assert.ok(seen.has(status), `none had ${status}`);
    await assertUnmoved();
    assert.ok(api.tokens.has(bob.client.token));
    await until(async () => (await openAtGateway()) === open, 'something is open');
    await until(() => descriptorsOf(gateway.pid) <= before + 8, 'descriptors are kept');
    if (isLong) assert.ok((await heapOf(gateway.pid)) - held < HELD * 2 ** 20, 'memory is kept');
  });

  test('H1 at what a broker has for gateways: each is refused but those of a gateway, none fails, and nothing ends', async () => {
    const { pid } = lone.process;
    const before = descriptorsOf(pid);
    const own = [between.gateway_token, ofOther()];
    const wrong = [bob.client.token, ...otherTokens().filter((token) => !own.includes(token))].map(bearer);
    const refused = await send({ url: lone.url }, () => oddAtBroker(wrong), /^(none|4\d\d|503)$/);
    assert.ok(refused.has('401'));
    const answered = await send({ url: lone.url }, () => oddAtBroker(own.map(bearer)), /^(none|200|4\d\d|503)$/);
    for (const status of ['200', '400', '404']) assert.ok(answered.has(status), `none had ${status}`);
    await assertUnmoved();
    await until(() => descriptorsOf(pid) <= before + 8, 'descriptors are kept');
  });
});
