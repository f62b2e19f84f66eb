// The wire between gateway and broker: the guards of both sides, and the lines of the feed.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isConnectionReply, isConnectionRequest } from '../../shared/connection_wire.ts';
import { isEventsReply, isEventsReport, isStreamKind, MOST_EVENTS, STREAM_KINDS } from '../../shared/gateway_events.ts';
import {
  type FeedLine,
  feedLine,
  isLeaseReply,
  isLeaseRequest,
  isSessionFacts,
  isSwapReply,
  MOST_ASKS,
  MOST_TARGETS,
  MOST_TARGETS_IN_ALL,
  MOST_USES,
  parseFeedLine,
} from '../../shared/gateway_wire.ts';
import { seconds } from '../../shared/time.ts';
import { type GuardCase, json, testGuard } from './guards.ts';

const limits = { max_age: 900, inactivity_timeout: 600, token_ttl: 120 };
const facts = {
  auth_time: 1_000_000,
  last_used: 1_000_100,
  end_at_most: 1_043_200,
  longest_idle: 40,
  idle_before: [{ start: 990_000, length: 700 }],
  idle_end: 1_000_700,
  revalidated_at: 1_000_050,
  acr: 'mfa',
  ended: { at: 1_000_200, reason: 'logout' },
};
const lease = {
  sid: 's-1',
  judged_sid: 's-2',
  username: 'curfew:alice@example.com',
  groups: ['curfew:sre'],
  acts_as: 'system:serviceaccount:people:sre',
  facts,
  limits: [{ session: limits, target: limits, segment: 'prod', output_counts: ['log'] }],
};
const stream = {
  age_ms: 20,
  stream: 'c-17',
  sid: 's-1',
  kind: 'exec',
  namespace: 'prod',
  resource: 'pods/exec',
  name: 'web-0',
};
const connection = {
  age_ms: 20,
  stream: 'c-18',
  sid: 's-1',
  kind: 'ssh',
  target: 'bastion',
  account: 'deploy',
};
const sum = { seconds: 60, bytes_sent: 12, bytes_received: 3_000_000_000 };

const FACTS = ['end_at_most', 'longest_idle', 'idle_before', 'idle_end', 'revalidated_at', 'acr', 'ended'];
const GUARDS: readonly GuardCase[] = [
  {
    guard: isLeaseRequest,
    example: {
      asks: [{ sid: 's-1', targets: [{ namespace: 'prod', resource: 'pods/exec' }] }],
      uses: [{ sid: 's-1', age_ms: 1_500 }],
    },
    optional: ['asks.0.targets.0.namespace', 'asks.0.targets.0.resource'],
    loose: ['asks.0.targets.0'],
  },
  {
    guard: isLeaseRequest,
    example: { asks: [{ sid: 's-1', targets: [{ target: 'orders-db', account: 'orders_ro' }] }], uses: [] },
    optional: ['asks.0.targets.0.account'],
    loose: ['asks.0.targets.0'],
  },
  { guard: isSessionFacts, example: facts, optional: FACTS },
  {
    guard: isLeaseReply,
    example: { broker_time: 1_000_300, sessions: [lease], record: ['exec'] },
    optional: [
      'sessions.0.acts_as',
      'sessions.0.limits.0.segment',
      'sessions.0.limits.0.output_counts',
      ...FACTS.map((name) => `sessions.0.facts.${name}`),
    ],
  },
  {
    guard: isLeaseReply,
    example: {
      broker_time: 1_000_300,
      sessions: [{ secret_uid: '0b6f3', denied: 'unknown_session', message: 'there is no such session' }],
      record: ['watch'],
    },
    optional: [],
  },
  {
    guard: isLeaseReply,
    example: {
      broker_time: 1_000_300,
      sessions: [{ ...lease, limits: [{ denied: 'not_admitted', message: 'you are not admitted any more' }] }],
      record: ['ssh', 'postgres', 'tcp'],
    },
    optional: ['sessions.0.acts_as', ...FACTS.map((name) => `sessions.0.facts.${name}`)],
  },
  {
    guard: isConnectionRequest,
    example: {
      token: 'a.b.c',
      target: 'orders-db',
      address: '203.0.113.9',
      proof: { jti: 'p-1', jkt: 'thumbprint', iat: 1_000_300 },
    },
    optional: [],
  },
  {
    guard: isConnectionReply,
    example: {
      connection: 'c-18',
      ...{ sid: 's-1', judged_sid: 's-2', username: 'curfew:alice@example.com', groups: ['curfew:sre'] },
      facts,
      limits: { session: limits, target: limits, segment: 'data', output_counts: ['postgres'] },
      ...{ target: 'orders-db', kind: 'postgres', account: 'orders_ro' },
      address: { host: '10.0.0.9', port: 5432 },
      broker_time: 1_000_300,
    },
    optional: ['limits.segment', 'limits.output_counts', 'account', ...FACTS.map((name) => `facts.${name}`)],
  },
  {
    guard: isEventsReport,
    example: {
      instance: 'i-1',
      first: 1,
      events: [
        { type: 'closed', ...connection, ...sum },
        { type: 'cut', ...connection, ...sum, reason: 'inactivity_timeout' },
      ],
    },
    optional: ['events.0.account', 'events.1.account'],
  },
  {
    guard: isEventsReport,
    example: {
      instance: 'i-1',
      first: 7,
      events: [
        { type: 'opened', ...stream },
        { type: 'closed', ...stream, ...sum },
        { type: 'cut', ...stream, ...sum, reason: 'logout' },
        { type: 'lost', age_ms: 0, count: 3 },
      ],
    },
    optional: [0, 1, 2].flatMap((i) => [`events.${i}.namespace`, `events.${i}.name`]),
  },
  {
    guard: isSwapReply,
    example: { access_token: 'a.b.c', issued_token_type: 'jwt', token_type: 'N_A', expires_in: 120 },
    optional: [],
  },
  { guard: isEventsReply, example: { acknowledged: 10 }, optional: [] },
];

for (const one of GUARDS) testGuard(one);

test('a session is asked for by its id or by the uid of its Secret, not by both', () => {
  const asking = (asked: object) => isLeaseRequest({ asks: [{ ...asked, targets: [] }], uses: [] });
  assert.ok(asking({ sid: 's-1' }));
  assert.ok(asking({ secret_uid: 'u-1' }));
  assert.ok(!asking({ sid: 's-1', secret_uid: 'u-1' }));
  assert.ok(!asking({}));
});

test('a target is asked for by its name, and its account never alone', () => {
  const asking = (target: object) => isLeaseRequest({ asks: [{ sid: 's-1', targets: [target] }], uses: [] });
  assert.ok(asking({}));
  assert.ok(asking({ target: 'cache' }));
  assert.ok(!asking({ account: 'orders_ro' }));
  assert.ok(!asking({ target: '', account: 'orders_ro' }));
});

test('a token of a request for a connection is no longer than any that is read', () => {
  const proof = { jti: 'p-1', jkt: 'thumbprint', iat: 1_000_300 };
  const asking = (length: number) =>
    isConnectionRequest({ token: 't'.repeat(length), target: 'cache', address: '::1', proof });
  assert.ok(asking(16_384));
  assert.ok(!asking(16_385));
});

test('what a request may hold is bounded', () => {
  const target = { namespace: 'a' };
  const ask = (count: number) => ({ sid: 's-1', targets: Array(count).fill(target) });
  const use = { sid: 's-1', age_ms: 0 };
  const asks = (list: readonly object[], uses: readonly object[] = []) => isLeaseRequest({ asks: list, uses });
  assert.ok(asks(Array(MOST_ASKS).fill(ask(0)), Array(MOST_USES).fill(use)));
  assert.ok(!asks(Array(MOST_ASKS + 1).fill(ask(0))));
  assert.ok(!asks([], Array(MOST_USES + 1).fill(use)));
  assert.ok(asks([ask(MOST_TARGETS)]));
  assert.ok(!asks([ask(MOST_TARGETS + 1)]));
  const full = MOST_TARGETS_IN_ALL / MOST_TARGETS;
  assert.ok(asks(Array(full).fill(ask(MOST_TARGETS))));
  assert.ok(!asks([...Array(full).fill(ask(MOST_TARGETS)), ask(1)]));
  const event = { type: 'opened', ...stream };
  const report = (count: number) => isEventsReport({ instance: 'i', first: 1, events: Array(count).fill(event) });
  assert.ok(report(MOST_EVENTS));
  assert.ok(!report(MOST_EVENTS + 1));
  assert.ok(!isLeaseRequest({ asks: [{ sid: 's'.repeat(257), targets: [] }], uses: [] }));
});

test('T14 names and ids in reports hide nothing: no control, format or separator characters', () => {
  for (const odd of ['a\0', 'a\nb', 'a\u202eb', 'a\u2028b', 'a\ud800']) {
    assert.ok(!isEventsReport({ instance: 'i', first: 1, events: [{ type: 'opened', ...stream, name: odd }] }), odd);
    assert.ok(!isLeaseRequest({ asks: [{ sid: odd, targets: [] }], uses: [] }), odd);
  }
});

test('isStreamKind takes the kinds and nothing else', () => {
  for (const kind of STREAM_KINDS) assert.ok(isStreamKind(kind));
  for (const other of ['', 'EXEC', 'toString', 0, null, undefined]) assert.ok(!isStreamKind(other));
});

const LINES: readonly FeedLine[] = [
  { type: 'end', place: '12', sid: 's-1', reason: 'logout', since: seconds(1_000_000) },
  { type: 'end', sid: 's-1', reason: 'replaced', since: seconds(1_000_000), replaced_by: 's-2' },
  { type: 'lowered', place: '12', sid: 's-1' },
  { type: 'key_revoked', kid: 'k-1' },
  { type: 'reload', place: '13' },
  { type: 'reset', place: '14' },
  { type: 'heartbeat' },
  { type: 'heartbeat', place: '15' },
];

test('each line of the feed is parsed as it was written, on one line', () => {
  for (const line of LINES) {
    const text = feedLine(line);
    assert.equal(text.indexOf('\n'), text.length - 1);
    assert.deepEqual(parseFeedLine(text.slice(0, -1)), line);
  }
  assert.equal(feedLine({ type: 'heartbeat' }), '\n');
});

test('a line of a later version is unknown, with its place; what is no line is not taken', () => {
  assert.deepEqual(parseFeedLine('{"type":"other","place":"9"}'), { type: 'unknown', place: '9' });
  assert.deepEqual(parseFeedLine('{"type":"end","sid":"s","reason":"of_later","since":1,"more":[]}'), {
    ...{ type: 'end', sid: 's', reason: 'of_later', since: 1 },
  });
  for (const bad of [
    ...[
      'x',
      '[]',
      '{}',
      'null',
      '"end"',
      '{"type":1}',
      '{"type":"end"}',
      '{"type":"lowered"}',
      '{"type":"key_revoked"}',
    ],
    ...['{"type":"reset"}', '{"type":"reload","place":1}', '{"type":"heartbeat","place":""}'],
    '{"type":"end","sid":"s","reason":"logout","since":-1}',
    '{"type":"end","sid":"s","reason":"logout","since":1,"replaced_by":""}',
  ])
    assert.equal(parseFeedLine(bad), undefined, bad);
});

test('the parser of lines never throws', () => {
  fc.assert(fc.property(fc.string(), (text) => void parseFeedLine(text)));
  fc.assert(
    fc.property(fc.constantFrom(...LINES), fc.string(), fc.jsonValue(), (line, name, value) => {
      void parseFeedLine(JSON.stringify({ ...(json(line) as object), [name]: value }));
    }),
  );
});
