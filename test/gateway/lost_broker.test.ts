// A broker that is lost: what it said before is not relied on, and what was asked for before its feed began is asked for again. The broker
// is a stand-in over HTTP, as a real one does not fall silent at will; the clock is fake.

import assert from 'node:assert/strict';
import { createSecretKey, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { type Broker, createBroker } from '../../gateway/authority/ask.ts';
import { Authority } from '../../gateway/authority/authority.ts';
import { GATEWAY_PATHS, type LeaseReply, type LeaseRequest } from '../../shared/gateway_wire.ts';
import { seconds } from '../../shared/time.ts';
import type { Metadata } from '../../shared/wire.ts';
import { until } from '../support/patience.ts';

const NOW = seconds(1_800_000_000);
const LIMITS = { max_age: seconds(36_000), inactivity_timeout: seconds(3_600), token_ttl: seconds(120) };
const METADATA: Metadata = {
  issuer: 'https://curfew.example.com',
  token_endpoint: 'https://curfew.example.com/token',
  revocation_endpoint: 'https://curfew.example.com/revoke',
  sessions_endpoint: 'https://curfew.example.com/v1/sessions',
  identity_provider: {
    issuer: 'https://idp.example.com',
    client_id: 'curfew',
    scopes: ['openid'],
    redirect_host: '127.0.0.1',
    redirect_ports: [8000],
  },
  limits: LIMITS,
  clusters: [
    {
      ...{ name: 'prod', audience: 'https://prod.example.com', server: 'https://prod.example.com:6443' },
      ...{ credential: 'token', end_within: seconds(0) },
      ...{ limits: { session: LIMITS, target: LIMITS }, strictest: LIMITS },
    },
  ],
};
const SPEAKER = { asked: { sid: 'sid-1' }, user: 'ada@example.com' };

describe('a broker whose feed says nothing', () => {
  let elapsed_ms: number;
  let is_ended: boolean;
  let feeds: ServerResponse[];
  let broker: Broker;
  let authority: Authority;
  const server = createServer(async (request, response) => {
    const say = (body: object) =>
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    if (request.url === '/jwks') return say({ keys: [] });
    if (request.url === '/.well-known/curfew') return say(METADATA);
    if (request.url?.startsWith(GATEWAY_PATHS.ends)) {
      response.writeHead(200, { 'content-type': 'application/x-ndjson' }).flushHeaders();
      feeds.push(response);
      return;
    }
    let text = '';
    for await (const chunk of request.setEncoding('utf8')) text += chunk;
    return say(request.url === GATEWAY_PATHS.sessions ? leasesFor(JSON.parse(text)) : {});
  });

  function leasesFor({ asks }: LeaseRequest): LeaseReply {
    const sessions = asks.map(({ sid = '', targets }) =>
      is_ended
        ? ({ sid, denied: 'unknown_session', message: 'there is no such session' } as const)
        : {
            ...{ sid, judged_sid: sid, username: SPEAKER.user, groups: [] },
            ...{ facts: { auth_time: NOW, last_used: NOW } },
            limits: targets.map(() => ({ session: LIMITS, target: LIMITS })),
          },
    );
    return { broker_time: NOW, sessions, record: [] };
  }

  beforeEach(async () => {
    [elapsed_ms, is_ended, feeds] = [1_000_000, false, []];
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    broker = createBroker({ url: `http://127.0.0.1:${port}`, token: createSecretKey(randomBytes(32)) });
    const none = () => undefined;
    authority = new Authority({
      ...{ broker, cluster: 'prod', instance: 'i', elapsed: () => elapsed_ms, wall: () => elapsed_ms },
      ...{ log: { info: none, warn: none, error: none }, onEnd: none, onKeyRevoked: none, onLeases: none },
    });
    await until(() => feeds.length === 1, 'the feed is not read');
    // No time has passed on this clock since it began: then nothing is late yet.
    elapsed_ms += 1;
  });
  afterEach(async () => {
    const stopped = authority.stop();
    for (const feed of feeds) feed.destroy();
    await stopped;
    broker.close();
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });

  const lost = () => authority.lost()?.why;

  test('is lost from the start: that it took the question says nothing, and it is asked again', async () => {
    await until(() => lost() === 'feed', 'it counts as heard from, or never answered');
    elapsed_ms += 3_001;
    await until(() => feeds.length === 2, 'the feed is not read again');
    assert.equal(lost(), 'feed');
    feeds[1]?.write('\n');
    await until(() => lost() === undefined, 'it is lost although it speaks');
  });

  test('is lost 3 s after its last line', async () => {
    feeds[0]?.write('\n');
    await until(() => lost() === undefined, 'it is lost although it speaks');
    elapsed_ms += 3_000;
    assert.equal(lost(), undefined);
    elapsed_ms += 1;
    assert.equal(lost(), 'feed');
  });

  test('a lease that was asked for before its first line counts no more: an end before that line is not told', async () => {
    const judged = () => authority.leases.judge(SPEAKER, {}).kind;
    await authority.leases.obtain(SPEAKER.asked, {});
    assert.equal(judged(), 'allowed');
    is_ended = true;
    elapsed_ms += 1;
    feeds[0]?.write('{"type":"heartbeat","place":"7.abc.def"}\n');
    await until(() => judged() !== 'allowed', 'a lease of before the feed began is still judged by');
    await until(() => judged() === 'denied', 'it is not asked for again');
  });
});
