// Who comes to a gateway of targets, and is not let in: nothing reaches a target, and the broker is not asked about what is plainly false.

import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { Pending } from '../../gateway/clients.ts';
import { CONNECT_PROTOCOL } from '../../shared/targets.ts';
import { GATEWAY_TOKEN_TYP, TOKEN_TYP } from '../../shared/token_typ.ts';
import { Holder } from '../support/holder.ts';
import {
  type LoneTargetGateway,
  type Presents,
  PUBLIC,
  startLoneTargetGateway,
} from '../support/lone_target_gateway.ts';
import { until } from '../support/patience.ts';
import { openRaw, type RawClient, requestText } from '../support/raw_client.ts';
import { Refused } from '../support/target_client.ts';

let gateway: LoneTargetGateway;
/** How often the target was reached. */
let reached = 0;
before(async () => {
  gateway = await startLoneTargetGateway();
  const port = await gateway.listen((socket) => {
    reached += 1;
    socket.write('.');
  });
  gateway.targets.set('db', { kind: 'postgres', port });
  gateway.targets.set('other', { kind: 'tcp', port });
});
after(() => gateway?.stop());

let asked = 0;
beforeEach(() => {
  asked = gateway.asked.length;
  reached = 0;
});

async function refused(presents: Presents, target = 'db'): Promise<Refused> {
  const error = await gateway.connect('s1', target, presents).then(
    () => undefined,
    (why: unknown) => why,
  );
  assert.ok(error instanceof Refused, `it is let in, or fails: ${String(error)}`);
  return error;
}

async function assertRefused(presents: Presents, status: number, code: string): Promise<void> {
  const error = await refused(presents);
  assert.deepEqual([error.status, error.code], [status, code]);
  assert.equal(gateway.asked.length, asked, 'the broker was asked');
  assert.equal(reached, 0);
}

const now = () => gateway.broker.now();

describe('G24 a token for a target is refused', () => {
  const CLAIMS: Readonly<Record<string, () => object>> = {
    'of another target': () => ({ target: 'other' }),
    'of no target': () => ({ target: undefined }),
    'of another issuer': () => ({ iss: 'https://elsewhere.example.com' }),
    // The gateway's clock may be behind the broker's by what an answer took.
    'that has expired': () => ({ exp: now() - 30 }),
    'that is not of now yet': () => ({ nbf: now() + 100 }),
    'without an end': () => ({ exp: undefined }),
    'bound to no key': () => ({ cnf: undefined }),
    'without a session': () => ({ sid: undefined }),
    'whose session would hide a line': () => ({ sid: 's1\n{"sid":"s2"}' }),
  };
  for (const [what, claims] of Object.entries(CLAIMS))
    test(what, () => assertRefused({ claims: claims() }, 401, 'token_invalid'));

  for (const typ of [TOKEN_TYP, GATEWAY_TOKEN_TYP, 'JWT', 'dpop+jwt'])
    test(`of the kind ${typ}`, () => assertRefused({ header: { typ } }, 401, 'token_invalid'));

  for (const header of [{ alg: 'none' }, { alg: 'HS256' }, { crit: ['x'] }, { alg: 'RS256' }])
    test(`with the header ${JSON.stringify(header)}`, () => assertRefused({ header }, 401, 'token_invalid'));

  test('by a key of somebody else under the name of one of ours', async () => {
    const { broker } = gateway;
    const ours = broker.sign;
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    broker.sign = (header, claims) => {
      const signed = ours(header, claims).split('.').slice(0, 2).join('.');
      const made = sign('sha256', Buffer.from(signed), { key: privateKey, dsaEncoding: 'ieee-p1363' });
      return `${signed}.${made.toString('base64url')}`;
    };
    try {
      await assertRefused({}, 401, 'token_invalid');
    } finally {
      broker.sign = ours;
    }
  });
});

describe('G24 a proof is refused', () => {
  const PROOFS: Readonly<Record<string, () => Presents>> = {
    'for another URL': () => ({ proof: { url: `${PUBLIC}/v1/connect/other` } }),
    'for another host': () => ({ proof: { url: 'https://elsewhere.example.com/v1/connect/db' } }),
    'for the wss form of the URL': () => ({ proof: { url: `${PUBLIC.replace('https', 'wss')}/v1/connect/db` } }),
    'for another method': () => ({ proof: { method: 'POST' } }),
    'of two minutes ago': () => ({ proof: { iat: now() - 120 } }),
    'of two minutes ahead': () => ({ proof: { iat: now() + 120 } }),
    'without a time': () => ({ proof: { claims: { iat: undefined } } }),
    'for no token': () => ({ proof: { claims: { ath: undefined } } }),
    'for another token': () => ({ proof: { claims: { ath: 'A'.repeat(43) } } }),
    'of another kind': () => ({ proof: { header: { typ: 'JWT' } } }),
    'by no algorithm': () => ({ proof: { header: { alg: 'none' } } }),
    'without an id': () => ({ proof: { claims: { jti: undefined } } }),
    'whose id would hide a line': () => ({ proof: { claims: { jti: 'abcdefgh\nijk' } } }),
    'by another key than the token is bound to': () => ({
      by: new Holder({ url: gateway.broker.place.url, issuer: gateway.broker.place.url }),
    }),
  };
  for (const [what, presents] of Object.entries(PROOFS))
    test(what, () => assertRefused(presents(), 401, 'proof_invalid'));

  test('that is not one, with the scheme and the algorithm that would be taken', async () => {
    const { headers } = await refused({ proof: { header: { jwk: undefined } } });
    assert.equal(headers['www-authenticate'], 'DPoP error="invalid_dpop_proof", algs="ES256"');
  });

  test('that was used, as the broker says: it is told which it was', async () => {
    const { broker } = gateway;
    const answer = broker.onConnection;
    broker.onConnection = (request) => {
      void answer(request);
      return { code: 'proof_replayed', message: 'the DPoP proof was used before' };
    };
    const error = await refused({ proof: { claims: { jti: 'one-of-a-kind' } } });
    broker.onConnection = answer;
    assert.deepEqual([error.status, error.code], [403, 'proof_replayed']);
    const { proof } = gateway.asked.at(-1) ?? {};
    assert.equal(proof?.jti, 'one-of-a-kind');
    assert.equal(reached, 0);
  });
});

describe('G25 a request is refused', () => {
  let client: RawClient;
  beforeEach(async () => {
    client = await openRaw({ url: gateway.url, ca: gateway.ca });
  });
  afterEach(() => client.destroy());

  const UPGRADE = [
    ...['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13'],
    ...['Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==', `Sec-WebSocket-Protocol: ${CONNECT_PROTOCOL}`],
  ];
  const credentials = (target = 'db') => {
    const { authorization, dpop } = gateway.headers('s1', target);
    return [`Authorization: ${authorization}`, `DPoP: ${dpop}`];
  };

  async function assertAnswered(status: number, path: string, headers: readonly string[], method = 'GET', body = '') {
    client.send(requestText(path, headers, method, body));
    assert.equal(await client.status(), status);
    await client.end();
    assert.match(client.text(), /strict-transport-security: /i);
    assert.equal(gateway.asked.length, asked, 'the broker was asked');
    assert.equal(reached, 0);
  }

  const PATHS = [
    ...[
      '/v1/connect/',
      '/v1/connect/../connect/db',
      '/v1/connect/./db',
      '/v1/connect/%64b',
      '/v1/connect/db/',
      '/v1/connect//db',
    ],
    ...[
      '/v1/connect/db?access_token=x',
      '/v1/connect/db%2f..%2fother',
      '/v1/connect/..',
      '/v1/connect/DB',
      '/v1/connect/db#x',
    ],
    ...[
      '/V1/connect/db',
      '//v1/connect/db',
      '/v1/connect/db;x',
      '/',
      '/metrics',
      'https://gw.example.com/v1/connect/db',
    ],
    `/v1/connect/${'a'.repeat(64)}`,
  ];
  for (const path of PATHS) test(`for ${path}`, () => assertAnswered(404, path, [...UPGRADE, ...credentials()]));

  test('that is no upgrade', () => assertAnswered(404, '/v1/connect/db', credentials()));

  const without = (name: string, ...more: readonly string[]) => [
    ...UPGRADE.filter((line) => !line.startsWith(`${name}:`)),
    ...more,
  ];
  const HEADS: Readonly<Record<string, readonly string[]>> = {
    'another upgrade': without('Upgrade', 'Upgrade: SPDY/3.1'),
    'two upgrades': [...UPGRADE, 'Upgrade: websocket'],
    'another version': without('Sec-WebSocket-Version', 'Sec-WebSocket-Version: 8'),
    'two versions': [...UPGRADE, 'Sec-WebSocket-Version: 13'],
    'no key': without('Sec-WebSocket-Key'),
    'another key': without('Sec-WebSocket-Key', 'Sec-WebSocket-Key: short'),
    'no protocol': without('Sec-WebSocket-Protocol'),
    'another protocol': without('Sec-WebSocket-Protocol', 'Sec-WebSocket-Protocol: v5.channel.k8s.io'),
    'a token beside the protocol': without(
      'Sec-WebSocket-Protocol',
      `Sec-WebSocket-Protocol: ${CONNECT_PROTOCOL}, base64url.bearer.authorization.k8s.io.eA`,
    ),
    'a body': [...UPGRADE, 'Content-Length: 3'],
    'a body of chunks': [...UPGRADE, 'Transfer-Encoding: chunked'],
    'a connection that names a header': without('Connection', 'Connection: Upgrade, DPoP'),
  };
  for (const [what, head] of Object.entries(HEADS))
    test(`with ${what}`, () => assertAnswered(400, '/v1/connect/db', [...head, ...credentials()]));

  test('by another method', () => assertAnswered(400, '/v1/connect/db', [...UPGRADE, ...credentials()], 'POST'));

  test('with two credentials, in whatever order', async () => {
    const [authorization = '', dpop = ''] = credentials();
    await assertAnswered(400, '/v1/connect/db', [...UPGRADE, authorization, authorization, dpop]);
    client = await openRaw({ url: gateway.url, ca: gateway.ca });
    await assertAnswered(400, '/v1/connect/db', [...UPGRADE, authorization, 'Authorization: Bearer x', dpop]);
    client = await openRaw({ url: gateway.url, ca: gateway.ca });
    await assertAnswered(400, '/v1/connect/db', [...UPGRADE, authorization, dpop, dpop]);
  });

  test('with a bearer token, without a proof, or with nothing', async () => {
    const [authorization = '', dpop = ''] = credentials();
    for (const headers of [[authorization.replace('DPoP', 'Bearer'), dpop], [authorization], [dpop], []]) {
      client = await openRaw({ url: gateway.url, ca: gateway.ca });
      await assertAnswered(401, '/v1/connect/db', [...UPGRADE, ...headers]);
      client.destroy();
    }
  });

  test('to go elsewhere', async () => {
    client.send(requestText('elsewhere.example.com:443', credentials(), 'CONNECT'));
    await client.end();
    assert.equal(client.text(), '');
  });
});

describe('G24 what the broker answers is', () => {
  async function answeredWith(change: object): Promise<Refused> {
    const { broker } = gateway;
    const answer = broker.onConnection;
    broker.onConnection = (request) => ({ ...(answer(request) as object), ...change });
    try {
      return await refused({});
    } finally {
      broker.onConnection = answer;
    }
  }

  const ANSWERS: Readonly<Record<string, object>> = {
    'another target': { target: 'other' },
    'another session': { sid: 's2' },
    'another person': { username: 'eve@example.com' },
    'no address': { address: undefined },
    'a port that is none': { address: { host: '127.0.0.1', port: 70_000 } },
    'no limits': { limits: {} },
  };
  for (const [what, change] of Object.entries(ANSWERS)) {
    test(`not taken where it is of ${what}: no target is reached`, async () => {
      const error = await answeredWith(change);
      assert.deepEqual([error.status, error.code], [503, 'lost_broker']);
      assert.equal(reached, 0);
    });
  }

  test('told to the person where it is a refusal', async () => {
    const error = await refused({}, 'unknown');
    assert.deepEqual([error.status, error.code], [403, 'not_admitted']);
    assert.match(error.message, /no such target, or you have no access to it/);
  });

  test('all that says where a target is: its name is in no request', async () => {
    gateway.targets.set('other-db', { kind: 'postgres', port: (gateway.targets.get('db') as { port: number }).port });
    const client = await gateway.connect('s1', 'other-db');
    await client.untilText('.');
    assert.equal(reached, 1);
    client.socket.close(1000);
  });
});

test('G26 connections that are being made are bounded, of one address too: others are let in meanwhile', async () => {
  const pending_limits = { all: 1_024, of_address: 16 };
  const bounded = await startLoneTargetGateway({}, { pending_limits });
  try {
    const { broker } = bounded;
    bounded.targets.set('db', gateway.targets.get('db') ?? assert.fail('there is no such target'));
    const answer = broker.onConnection;
    const held = Promise.withResolvers<void>();
    broker.onConnection = async (request) => {
      if (request.target !== 'slow') return answer(request) as object;
      await held.promise;
      return { code: 'not_admitted', message: 'too late' };
    };
    let refused = 0;
    const tries = Array.from({ length: 20 }, () =>
      bounded.connect('s1', 'slow').catch((error: unknown) => {
        refused += 1;
        return error;
      }),
    );
    const statusOf = (error: unknown) => (error instanceof Refused ? error.status : 0);
    const first = await Promise.race(tries);
    assert.ok(first instanceof Refused);
    assert.deepEqual([first.status, first.code, first.headers['retry-after']], [429, 'too_many_connections', '1']);
    await until(() => refused === 4, 'not all are refused for whom there is no room');
    held.resolve();
    const answers = (await Promise.all(tries)).map(statusOf);
    assert.equal(answers.filter((status) => status === 429).length, 4);
    broker.onConnection = answer;
    await until(async () => /curfew_gateway_pending_connections 0/.test(await bounded.metrics()), 'some are kept');
    await (await bounded.connect('s1', 'db')).untilText('.');
  } finally {
    await bounded.stop();
  }
});

test('G26 in all, and of one address: whoever has gone leaves room', () => {
  const pending = new Pending({ all: 3, of_address: 2 });
  const leave = pending.enter('10.0.0.1');
  assert.ok(leave && pending.enter('10.0.0.1'));
  assert.equal(pending.enter('10.0.0.1'), undefined);
  assert.ok(pending.enter('10.0.0.2'));
  assert.equal(pending.enter('10.0.0.3'), undefined);
  leave();
  assert.equal(pending.size, 2);
  assert.ok(pending.enter('10.0.0.3'));
  assert.equal(pending.enter('10.0.0.1'), undefined);
});
