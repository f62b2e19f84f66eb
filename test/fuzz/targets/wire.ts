// What is on the wire between our programs: lines of the feed of ends, and every message that is read.

import assert from 'node:assert/strict';
import * as connections from '../../../shared/connection_wire.ts';
import { decide } from '../../../shared/decide.ts';
import * as events from '../../../shared/gateway_events.ts';
import * as gateway from '../../../shared/gateway_wire.ts';
import { parseJson } from '../../../shared/json.ts';
import { sayDenial } from '../../../shared/messages.ts';
import { isMetadata } from '../../../shared/metadata.ts';
import * as targets from '../../../shared/targets.ts';
import { seconds } from '../../../shared/time.ts';
import * as wire from '../../../shared/wire.ts';
import { NOW, readAgain, type Targets, textOf } from '../target.ts';

const limits = { max_age: 43_200, inactivity_timeout: 1800, token_ttl: 300 };
const resolved = { session: limits, target: { ...limits, acr: ['mfa'] }, segment: 'prod' };
export const SESSION = {
  ...{ sid: 's-1', username: 'curfew:alice', groups: ['curfew:sre'], auth_time: NOW - 100, acr: 'mfa' },
  ...{ revalidated_at: NOW - 50, session_end: NOW + 900, end_at_most: NOW + 43_100, limits: resolved },
  broker_time: NOW - 20,
};
const facts = {
  auth_time: NOW - 100,
  last_used: NOW - 5,
  end_at_most: NOW + 100,
  idle_before: [{ start: 1, length: 2 }],
};
const leases = {
  broker_time: NOW,
  sessions: [
    {
      ...{ sid: 's-1', judged_sid: 's-2', username: 'alice', groups: ['sre'], facts },
      limits: [{ ...resolved, output_counts: ['exec'] }],
    },
    { secret_uid: 'u', denied: 'unknown_session', message: 'it is over' },
  ],
  record: ['exec', 'watch'],
};
const stream = { stream: 'x', sid: 's', kind: 'exec', namespace: 'dev', resource: 'pods/exec', name: 'shell' };
const metadata = {
  ...{ issuer: 'https://c', token_endpoint: 'https://c/token', revocation_endpoint: 'https://c/revoke', limits },
  sessions_endpoint: 'https://c/v1/sessions',
  identity_provider: {
    ...{ issuer: 'https://i', client_id: 'curfew', scopes: ['openid'], redirect_host: '127.0.0.1' },
    redirect_ports: [8000],
  },
  clusters: [
    {
      ...{ name: 'dev', audience: 'dev', server: 'https://x', credential: 'token', end_within: 0 },
      ...{ limits: resolved, strictest: limits },
    },
  ],
};
const MESSAGES: readonly object[] = [
  leases,
  {
    asks: [{ sid: 's', targets: [{ namespace: 'dev', resource: 'pods' }] }],
    uses: [{ sid: 's', age_ms: 10 }],
  },
  {
    ...{ instance: 'i', first: 1 },
    events: [
      { type: 'opened', age_ms: 1, ...stream },
      { type: 'cut', age_ms: 1, ...stream, seconds: 2, bytes_sent: 1, bytes_received: 3, reason: 'idle' },
      { type: 'lost', age_ms: 1, count: 2 },
    ],
  },
  { acknowledged: 3 },
  { access_token: 't', issued_token_type: wire.TOKEN_TYPE.jwt, token_type: 'N_A', expires_in: 120, session: SESSION },
  {
    ...{
      access_token: 't',
      issued_token_type: wire.TOKEN_TYPE.jwt,
      token_type: 'DPoP',
      expires_in: 60,
      session: SESSION,
    },
    account: 'deploy',
    credential: { kind: 'ssh', certificate: 'c', login: 'deploy', valid_until: NOW + 60 },
  },
  { token: 'a.b.c', target: 'cache', address: '::1', proof: { jti: 'p', jkt: 'k', iat: NOW } },
  {
    ...{ connection: 'c-1', sid: 's-1', judged_sid: 's-2', username: 'alice', groups: [], facts, limits: resolved },
    ...{ target: 'cache', kind: 'tcp', address: { host: '10.0.0.1', port: 22 }, broker_time: NOW },
  },
  { error: 'e', error_description: 'd', reason: 'r', session: SESSION, end_reason: 'idle', retry_after: 3 },
  { sessions: [], broker_time: 1, next: 'x' },
  { ended: [{ sid: 'a', username: 'b' }] },
  metadata,
];
const GUARDS = [
  ...[gateway.isLeaseRequest, gateway.isLeaseReply, gateway.isSwapReply, events.isEventsReport, events.isEventsReply],
  ...[wire.isTokenReply, wire.isRefusal, wire.isSessionList, wire.isSessionsEnded, isMetadata],
  ...[connections.isConnectionRequest, connections.isConnectionReply, targets.isTargetTokenReply],
];

/** What is taken is judged without an error, whatever numbers it has. */
function judgeAll(value: unknown): void {
  if (gateway.isLeaseReply(value)) {
    for (const lease of value.sessions) {
      if (lease.denied !== undefined) continue;
      for (const each of lease.limits) if (each.denied === undefined) decide(each, lease.facts, value.broker_time);
    }
  }
  const session = wire.isTokenReply(value) || wire.isRefusal(value) ? value.session : undefined;
  const verdict = session && decide(session.limits, wire.factsOf(session), seconds(NOW));
  if (verdict && !verdict.allow) sayDenial(verdict);
}

export const wireMessages: Targets = {
  feed_line: {
    seeds: [
      { type: 'end', place: 'p', sid: 's', reason: 'idle', since: NOW, replaced_by: 't' },
      ...[
        { type: 'lowered', sid: 's' },
        { type: 'key_revoked', kid: 'k' },
        { type: 'reset', place: 'p' },
      ],
      ...[{ type: 'reload' }, { type: 'heartbeat', place: 'p' }, { type: 'later' }],
    ].map((line) => JSON.stringify(line)),
    run(input) {
      const text = textOf(input);
      const line = gateway.parseFeedLine(text);
      if (!line) return;
      const value = parseJson(text);
      if (wire.isObject(value)) {
        const known = ['end', 'lowered', 'key_revoked', 'reset', 'reload', 'heartbeat'].includes(String(value.type));
        assert.equal(line.type, known ? value.type : 'unknown', 'taken for another kind of line');
        assert.equal(line.place, value.place, 'another place');
      }
      const sent = gateway.feedLine(line);
      assert.match(sent, /^[^\n]*\n$/, 'not one line');
      const again = gateway.parseFeedLine(sent.slice(0, -1));
      assert.deepEqual(readAgain(again), readAgain(line), 'not the same when it is read again');
    },
  },
  wire: {
    seeds: MESSAGES.map((message) => JSON.stringify(message)),
    run(input) {
      const value = parseJson(textOf(input));
      const taken = GUARDS.map((guard) => guard(value));
      const again = value === undefined ? undefined : readAgain(value);
      assert.deepEqual(
        GUARDS.map((guard) => guard(again)),
        taken,
        'another verdict when it is read again',
      );
      judgeAll(value);
    },
  },
};
