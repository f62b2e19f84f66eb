// A signing key is replaced while 500 requests a second come to the real kube-apiserver, directly and through a gateway, with tokens that are
// renewed all the while: none is refused. Then all keys are revoked, and what they signed is refused within the bound that is published.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, fetch, request } from 'undici';
import { type GatewayWorld, startGatewayWorld } from '../support/gateway_world.ts';
import { Holder } from '../support/holder.ts';
import { assertKept } from '../support/patience.ts';

const POLICY = { limits: { max_age: '12h', inactivity_timeout: '2h', token_ttl: '1m' }, segments: [] };
const SESSIONS = 20;
const TICK_MS = 20;
/** Each tick, to each of both. */
const AT_ONCE = 5;
/** Published two minutes before it signs, and a while with the new one. */
const LENGTH_MS = 160_000;
/** API servers keep keys for a minute, and what they found of a token for ten seconds. */
const REVOKED_WITHIN_MS = 70_000;

let world: GatewayWorld;
let agent: Agent;

before(async () => {
  world = await startGatewayWorld({ policy: POLICY });
  agent = new Agent({ connect: { ca: world.authority.caPem + world.plane.caPem }, connections: 32 });
});
after(async () => {
  await agent?.destroy();
  await world?.stop();
});

interface Session {
  readonly holder: Holder;
  readonly handle: string;
  token: string;
}

async function login(i: number): Promise<Session> {
  const send = (url: string, init: object) =>
    fetch(url, { ...init, dispatcher: agent }) as unknown as Promise<Response>;
  const holder = new Holder({ url: world.brokerUrl, issuer: world.brokerUrl, send });
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    ...{ sub: `person-${i}`, email: `person-${i}@example.com`, groups: ['dev'] },
    ...{ iat: now, exp: now + 300, auth_time: now, nonce: holder.nonce },
  };
  const { granted } = await holder.exchange(world.idp.issueIdToken('alice', claims), { audience: 'dev' });
  return { holder, handle: granted.refresh_token ?? '', token: granted.access_token };
}

async function statusAt(server: string, token: string): Promise<number> {
  const { statusCode, body } = await request(`${server}/version`, {
    ...{ dispatcher: agent, headers: { authorization: `Bearer ${token}` } },
  });
  await body.dump();
  return statusCode;
}

const kidOf = (token: string) =>
  String(JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString('utf8')).kid);

test('while a key is replaced no token is refused, directly and through a gateway', async (t) => {
  const sessions = await Promise.all(Array.from({ length: SESSIONS }, (_, i) => login(i)));
  const servers = [world.plane.server, world.gateway.url];
  const answers = new Map<string, number>();
  const kids = new Set<string>();
  let over = false;
  const renewing = sessions.map(async (session) => {
    while (!over) {
      session.token = (await session.holder.renew(session.handle, 'dev')).granted.access_token;
      await sleep(250);
    }
  });
  const under_way = new Set<Promise<void>>();
  const ask = async (server: string, { token }: Session) => {
    const status = await statusAt(server, token).catch((error: Error) => error.message);
    kids.add(kidOf(token));
    answers.set(`${status}`, (answers.get(`${status}`) ?? 0) + 1);
  };
  const rotated = await world.site.command('keys', 'rotate');
  assert.equal(rotated.code, 0, rotated.stderr);
  const began = performance.now();
  for (let i = 0; performance.now() - began < LENGTH_MS; i += 1) {
    for (let n = 0; n < AT_ONCE; n += 1) {
      const session = sessions[(i * AT_ONCE + n) % SESSIONS];
      for (const server of servers) {
        const asked = session && ask(server, session);
        if (!asked) continue;
        under_way.add(asked);
        void asked.finally(() => under_way.delete(asked));
      }
    }
    await sleep(Math.max(0, began + (i + 1) * TICK_MS - performance.now()));
  }
  over = true;
  await Promise.all([...renewing, ...under_way]);
  const total = [...answers.values()].reduce((sum, count) => sum + count, 0);
  const seconds = (performance.now() - began) / 1000;
  t.diagnostic(
    `${total} requests, ${Math.round(total / seconds)} a second, by ${kids.size} keys: ${JSON.stringify([...answers])}`,
  );
  assert.deepEqual([...answers.keys()], ['200']);
  assert.equal(kids.size, 2);
});

test('T11 what revoked keys signed is refused within the published bound, by the API server and by the gateway', async (t) => {
  const session = await login(SESSIONS);
  const took = new Map<string, number>();
  const began = performance.now();
  let over = false;
  const revoking = world.site.command('keys', 'revoke', '--all').finally(() => {
    over = true;
  });
  const watching = [world.plane.server, world.gateway.url].map(async (server) => {
    while (!over) {
      if ((await statusAt(server, session.token)) === 200) took.set(server, performance.now() - began);
      await sleep(100);
    }
  });
  const { code, stdout, stderr } = await revoking;
  await Promise.all(watching);
  assert.equal(code, 0, stdout + stderr);
  for (const server of [world.plane.server, world.gateway.url]) {
    const is = server === world.gateway.url ? 'the gateway' : 'the API server';
    const last = took.get(server) ?? 0;
    t.diagnostic(`${is} took a token of before for ${(last / 1000).toFixed(1)} s`);
    assertKept(last, REVOKED_WITHIN_MS, is);
    assert.equal(await statusAt(server, session.token), 401);
  }
});
