// The guards of the wire: they take what they should, ignore what they do not know, and never throw.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decide } from '../../shared/decide.ts';
import { isMetadata } from '../../shared/metadata.ts';
import { resolveLimits } from '../../shared/policy.ts';
import { END_REASONS } from '../../shared/session.ts';
import { seconds } from '../../shared/time.ts';
import {
  factsOf,
  isEndReason,
  isObject,
  isRefusal,
  isResolvedLimits,
  isSessionInfo,
  isSessionList,
  isSessionsEnded,
  isTokenReply,
  isWholeLimits,
  isWireSession,
} from '../../shared/wire.ts';
import { type GuardCase, json, testGuard } from './guards.ts';

const limits = { max_age: 43_200, inactivity_timeout: 1800, token_ttl: 300 };
const prod = { max_age: 900, inactivity_timeout: 600, token_ttl: 120, revalidate: 3600, acr: ['mfa'] };
const resolved = { session: limits, target: prod, segment: 'prod' };
const session = {
  sid: 's-1',
  username: 'curfew:alice@example.com',
  groups: ['curfew:sre'],
  auth_time: 1_000_000,
  acr: 'mfa',
  revalidated_at: 1_000_050,
  session_end: 1_000_900,
  end_at_most: 1_043_200,
  limits: resolved,
  broker_time: 1_000_100,
};
const reply = {
  access_token: 'token',
  issued_token_type: 'urn:ietf:params:oauth:token-type:jwt',
  token_type: 'N_A',
  expires_in: 120,
  refresh_token: 'handle',
  session,
  not_admitted: ['lab'],
};
const refusal = {
  error: 'insufficient_user_authentication',
  error_description: 'login is too weak',
  reason: 'acr_too_low',
  acr_values: 'mfa hwk',
  max_age: 900,
  end_reason: 'logout',
  session,
};
const cluster = {
  name: 'prod-eu',
  audience: 'prod-eu',
  server: 'https://10.0.0.1:6443',
  certificate_authority_data: 'LS0t',
  credential: 'service-account',
  end_within: 11,
  limits: resolved,
  strictest: prod,
};
const metadata = {
  issuer: 'https://curfew.example.com',
  token_endpoint: 'https://curfew.example.com/token',
  revocation_endpoint: 'https://curfew.example.com/revoke',
  sessions_endpoint: 'https://curfew.example.com/v1/sessions',
  identity_provider: {
    issuer: 'https://idp.example.com',
    client_id: 'curfew',
    client_secret: 'not secret',
    scopes: ['openid', 'email'],
    redirect_host: '127.0.0.1',
    redirect_ports: [8000, 18_000],
  },
  limits,
  clusters: [cluster],
};

const info = {
  sid: 's-1',
  username: 'curfew:alice@example.com',
  groups: ['curfew:sre'],
  opened_at: 1_000_010,
  auth_time: 1_000_000,
  acr: 'mfa',
  last_used: 1_000_100,
  session_end: 1_000_900,
  address: '127.0.0.1',
  user_agent: 'kubectl-curfew',
  end_reason: 'logout',
  current: false,
};

/** Each guard with a whole example, and the paths of it that may be absent; all others are required. */
const GUARDS = [
  { guard: isWholeLimits, example: prod, optional: ['acr', 'revalidate'] },
  {
    guard: isResolvedLimits,
    example: resolved,
    optional: ['segment', 'target.acr', 'target.revalidate'],
  },
  {
    guard: isWireSession,
    example: session,
    optional: ['acr', 'revalidated_at', 'limits.segment', 'limits.target.acr', 'limits.target.revalidate'],
  },
  {
    guard: isTokenReply,
    example: reply,
    optional: [
      'refresh_token',
      'not_admitted',
      'session.acr',
      'session.limits.segment',
      'session.limits.target.acr',
      'session.limits.target.revalidate',
      'session.revalidated_at',
    ],
  },
  {
    guard: isRefusal,
    example: refusal,
    optional: [
      'acr_values',
      'max_age',
      'end_reason',
      'session',
      'session.acr',
      'session.limits.segment',
      'session.limits.target.acr',
      'session.limits.target.revalidate',
      'session.revalidated_at',
    ],
  },
  { guard: isSessionInfo, example: info, optional: ['acr', 'user_agent', 'end_reason'], flags: ['current'] },
  {
    guard: isSessionList,
    example: { sessions: [info], broker_time: 1_000_200, next: 's-1' },
    optional: ['next', 'sessions.0.acr', 'sessions.0.user_agent', 'sessions.0.end_reason'],
    flags: ['current'],
  },
  { guard: isSessionsEnded, example: { ended: [{ sid: 's-1', username: 'curfew:alice@example.com' }] }, optional: [] },
  {
    guard: isMetadata,
    example: metadata,
    optional: [
      'identity_provider.client_secret',
      'clusters.0.certificate_authority_data',
      'clusters.0.limits.segment',
      'clusters.0.limits.target.acr',
      'clusters.0.limits.target.revalidate',
      'clusters.0.strictest.revalidate',
      'clusters.0.strictest.acr',
    ],
  },
] as const satisfies readonly GuardCase[];

for (const one of GUARDS) testGuard(one);

test('a session without groups and metadata without clusters or fixed ports are whole', () => {
  assert.ok(isWireSession({ ...session, groups: [] }));
  const identity_provider = { ...metadata.identity_provider, redirect_ports: [] };
  assert.ok(isMetadata({ ...metadata, identity_provider, clusters: [] }));
});

test('whether a session is the current one is true or false', () => {
  for (const current of [null, 0, '', 'true', undefined])
    assert.ok(!isSessionInfo({ ...info, current }), String(current));
  assert.ok(isSessionInfo({ ...info, current: true }));
});

test('a redirect port is a port', () => {
  for (const port of [0, 65_536, -1, 80.5, '8000', null]) {
    const identity_provider = { ...metadata.identity_provider, redirect_ports: [8000, port] };
    assert.ok(!isMetadata({ ...metadata, identity_provider }), String(port));
  }
});

// Of the broker's own word: what the IdP says may have a fraction (RFC 7519 2), and the broker rounds it down.
test('S4 in a reply of the broker an auth_time that is a string, fractional, negative or past the safe integers is refused', () => {
  for (const auth_time of ['1000000', 1000000.5, -1, Number.POSITIVE_INFINITY, 2 ** 53, null]) {
    assert.ok(!isWireSession({ ...session, auth_time }), String(auth_time));
  }
});

test('isEndReason takes the end reasons and nothing else', () => {
  for (const reason of END_REASONS) assert.ok(isEndReason(reason));
  const ours: readonly unknown[] = END_REASONS;
  fc.assert(fc.property(fc.anything(), (value) => assert.equal(isEndReason(value), ours.includes(value))));
  for (const text of ['', 'toString', '0', 'length', 'MAX_AGE']) assert.ok(!isEndReason(text));
});

test('isObject takes objects, not arrays and not null', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      assert.equal(isObject(value), value !== null && typeof value === 'object' && !Array.isArray(value));
    }),
  );
});

test('the facts that the holder judges by carry the broker_time as last_used and give the same session_end', () => {
  const parsed = json({ ...session, session_end: 1_000_700 });
  assert.ok(isWireSession(parsed));
  const facts = factsOf(parsed);
  const facts_of_it = { auth_time: 1_000_000, acr: 'mfa', end_at_most: 1_043_200, revalidated_at: 1_000_050 };
  assert.deepEqual(facts, { ...facts_of_it, last_used: 1_000_100 });
  const verdict = decide(parsed.limits, facts, parsed.broker_time);
  assert.ok(verdict.allow && verdict.session_end === parsed.session_end);
});

test('limits that were resolved survive the wire', () => {
  const whole = { max_age: seconds(9), inactivity_timeout: seconds(8), token_ttl: seconds(7), acr: ['a', 'b'] };
  const segments = [{ name: 'all', match: { clusters: ['*'] }, limits: { acr: ['b', 'c'] } }];
  for (const target of [{}, { cluster: 'any' }]) {
    const before = resolveLimits({ limits: whole, segments }, target);
    const after = json(before);
    assert.ok(isResolvedLimits(after));
    assert.deepEqual(after, before);
  }
});
