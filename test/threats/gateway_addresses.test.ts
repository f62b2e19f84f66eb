// G20: connections at a gateway, by whom they are: one address holds a part of them, whatever it does, and those that have proven nothing end in
// time, whatever they send. With few descriptors, so that the bounds are small: 64 in all.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2, { type ClientHttp2Session } from 'node:http2';
import { afterEach, test } from 'node:test';
import { connect } from 'node:tls';
import { limitsFor } from '../../gateway/clients.ts';
import { until } from '../support/patience.ts';
import { openRaw, requestText } from '../support/raw_client.ts';
import { type RecordedGateway, startRecordedGateway } from '../support/recorded_gateway.ts';

const PODS = '/api/v1/namespaces/dev/pods';
const DESCRIPTORS = 160;
const LIMITS = { all: 64, unproven: 32, unproven_of_address: 16, of_address: 48 };
const [ONE, ANOTHER] = ['127.0.0.1', '127.0.0.2'];

let lone: RecordedGateway;
const sessions: ClientHttp2Session[] = [];

afterEach(async () => {
  for (const session of sessions.splice(0)) session.destroy();
  await lone?.stop();
});

test('G20 the bounds are parts of what a gateway may have open', () => {
  assert.deepEqual(limitsFor(DESCRIPTORS), LIMITS);
  assert.equal(limitsFor(1_048_576).of_address, 314_573);
});

async function start(changes: Parameters<typeof startRecordedGateway>[0] = {}): Promise<void> {
  lone = await startRecordedGateway(changes, DESCRIPTORS);
}

async function open(localAddress: string): Promise<ClientHttp2Session> {
  const session = http2.connect(lone.url, { ca: lone.authority.caPem, ...{ localAddress } });
  session.on('error', () => undefined);
  sessions.push(session);
  await Promise.race([once(session, 'connect'), once(session, 'close')]).catch(() => undefined);
  return session;
}

/** @returns the status; 0 where the connection is cut */
async function ask(session: ClientHttp2Session, token: string | undefined, path = PODS): Promise<number> {
  if (session.destroyed || session.closed) return 0;
  try {
    const stream = session.request({ ':path': path, ...(token !== undefined && { authorization: `Bearer ${token}` }) });
    stream.on('error', () => undefined).resume();
    const answered = once(stream, 'response').then(([headers]) => Number(headers[':status']));
    return await Promise.race([answered, once(stream, 'close').then(() => 0)]);
  } catch {
    return 0;
  }
}

const stay = () => sessions.filter((session) => !session.destroyed && !session.closed);

test('G20 one address with thousands of 401 and pings holds a quarter of the connections, and another gets in', async () => {
  await start();
  const token = lone.broker.token('sid');
  for (let i = 0; i < 2 * LIMITS.all; i++) {
    const session = await open(ONE);
    assert.equal(await ask(session, undefined), 401);
    session.ping(() => undefined);
  }
  await until(() => stay().length <= LIMITS.unproven_of_address, `${stay().length} stay`);
  assert.equal(await ask(await open(ANOTHER), token), 200);
  assert.equal(await ask(await open(ONE), token), 200, 'others behind that address get in as well');
  assert.match(await lone.metrics(), /^curfew_gateway_connections_cut_total [1-9]/m);
  assert.match(lone.log(), /there were too many/);
});

test('G20 one address that proved each of its connections holds three quarters, and another gets in, also while each is busy', async () => {
  await start();
  const token = lone.broker.token('sid');
  for (const busy of [false, true]) {
    if (busy) lone.upstream.answer = ({ stream }) => stream.respond({ ':status': 200 });
    let served = 0;
    for (let i = 0; i < LIMITS.all + 10; i++) {
      if ((await ask(await open(ONE), token, busy ? `${PODS}?watch=1` : PODS)) === 200) served += 1;
    }
    await until(() => stay().length <= LIMITS.of_address, `${stay().length} stay, busy: ${busy}`);
    // What is under way is cut for nobody: the newest goes. What is not makes room.
    assert.ok(busy ? served <= LIMITS.of_address + 1 : served === LIMITS.all + 10, `${served}, busy: ${busy}`);
    assert.ok(stay().length >= LIMITS.of_address - 1, `${stay().length}`);
    assert.equal(await ask(await open(ANOTHER), token), 200);
    for (const session of sessions.splice(0)) session.destroy();
    await until(async () => /^curfew_gateway_connections 0$/m.test(await lone.metrics()), 'they are still counted');
  }
});

test('G20 what has proven nothing within 30 s ends, whatever pings it sends and however often it is refused; what has stays', async () => {
  await start({ other_credentials: 'pass' });
  const token = lone.broker.token('sid');
  lone.upstream.answer = ({ stream, headers }) => {
    // As an API server does: 403 for nobody in particular, 401 for what it does not know.
    const credential = headers.find(([name]) => name === 'authorization')?.[1];
    const status = credential === undefined ? 403 : credential.endsWith('garbage') ? 401 : 200;
    stream.respond({ ':status': status }, { endStream: true });
  };
  const nobody = await open(ONE);
  assert.equal(await ask(nobody, undefined), 403);
  const garbage = await open(ONE);
  assert.equal(await ask(garbage, 'garbage'), 401);
  const proven = await open(ONE);
  assert.equal(await ask(proven, token), 200);
  const raw = await openRaw({ url: lone.url, ca: lone.authority.caPem });
  raw.send(requestText(PODS));
  assert.equal(await raw.status(), 403);
  lone.ahead.elapsed = 31_000;
  const pinging = setInterval(() => {
    for (const session of stay()) session.ping(() => undefined);
  }, 100);
  await until(() => nobody.destroyed && garbage.destroyed && raw.ended, 'they stay');
  clearInterval(pinging);
  raw.destroy();
  lone.ahead.elapsed = 0;
  await until(() => lone.gateway.status() === 'ok', 'not ready again');
  assert.equal(await ask(proven, token), 200);
});

test('G20 connections without a handshake are bounded by the same, and another gets in beside them', async () => {
  await start();
  const { port } = new URL(lone.url);
  const silent = Array.from({ length: 2 * LIMITS.all }, () =>
    connect({ port: Number(port), host: ONE, localAddress: ONE, ca: lone.authority.caPem } as never)
      .on('error', () => undefined)
      .resume(),
  );
  try {
    const token = lone.broker.token('sid');
    for (let i = 0; i < 5; i++) assert.equal(await ask(await open(ANOTHER), token), 200);
    await until(() => silent.filter(({ closed }) => !closed).length <= LIMITS.unproven_of_address, 'too many stay');
  } finally {
    for (const socket of silent) socket.destroy();
  }
});
