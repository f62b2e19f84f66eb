// Targets on the wire between plugin and broker: the guards, and that a broker or a plugin of another version is understood.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isMetadata } from '../../shared/metadata.ts';
import {
  connectUrl,
  isMetadataTarget,
  isSshPublicKey,
  isTargetCredential,
  isTargetKind,
  isTargetTokenReply,
  TARGET_KINDS,
} from '../../shared/targets.ts';
import { isTokenReply } from '../../shared/wire.ts';
import { json, testGuard } from './guards.ts';

const limits = { max_age: 43_200, inactivity_timeout: 1800, token_ttl: 300 };
const ssh = {
  kind: 'ssh',
  certificate: 'ssh-ed25519-cert-v01@openssh.com AAAA',
  login: 'deploy',
  valid_until: 1_000_060,
};
const postgres = {
  ...{ kind: 'postgres', role: 'alice-x', password: 'secret', databases: ['orders'], valid_until: 1_000_900 },
  certificate_authority_data: 'LS0t',
};
const reply = {
  ...{ access_token: 'token', issued_token_type: 'urn:ietf:params:oauth:token-type:jwt', token_type: 'DPoP' },
  ...{ expires_in: 60, refresh_token: 'handle', not_admitted: ['lab'], account: 'orders_ro', credential: postgres },
  session: {
    ...{ sid: 's-1', username: 'curfew:alice@example.com', groups: ['curfew:sre'], auth_time: 1_000_000 },
    ...{ session_end: 1_000_900, end_at_most: 1_043_200, broker_time: 1_000_100 },
    limits: { session: limits, target: limits },
  },
};
const orders = {
  ...{ name: 'orders-db', kind: 'postgres', audience: 'orders-db', databases: ['orders'] },
  url: 'wss://gw.example.com/v1/connect/orders-db',
  certificate_authority_data: 'LS0t',
  host_key: 'ssh-ed25519 AAAA',
  limits: { session: limits, target: limits },
  strictest: limits,
};
const metadata = {
  issuer: 'https://curfew.example.com',
  token_endpoint: 'https://curfew.example.com/token',
  revocation_endpoint: 'https://curfew.example.com/revoke',
  sessions_endpoint: 'https://curfew.example.com/v1/sessions',
  identity_provider: {
    ...{ issuer: 'https://idp.example.com', client_id: 'curfew', scopes: ['openid'] },
    ...{ redirect_host: '127.0.0.1', redirect_ports: [] },
  },
  limits,
  clusters: [],
};

testGuard({ guard: isTargetCredential, example: ssh, optional: [] });
testGuard({ guard: isTargetCredential, example: postgres, optional: ['certificate_authority_data', 'server_name'] });
testGuard({
  guard: isTargetTokenReply,
  example: reply,
  optional: [...['refresh_token', 'not_admitted', 'account', 'credential', 'credential.certificate_authority_data']],
});
testGuard({
  guard: isMetadataTarget,
  example: orders,
  optional: ['databases', 'certificate_authority_data', 'host_key'],
});

test('a token for a target never passes for one for a cluster, nor the other way round', () => {
  assert.ok(isTargetTokenReply(json(reply)));
  assert.ok(!isTokenReply(json(reply)));
  const cluster = { ...reply, token_type: 'N_A' };
  assert.ok(isTokenReply(json(cluster)));
  assert.ok(!isTargetTokenReply(json(cluster)));
});

test('metadata of a broker that knows no targets is whole, and so is one with targets of a later kind', () => {
  assert.ok(isMetadata(metadata));
  assert.ok(isMetadata({ ...metadata, targets: [] }));
  assert.ok(isMetadata({ ...metadata, targets: [orders, { ...orders, kind: 'mainframe' }] }));
  for (const wrong of [null, {}, [1], [{ ...orders, url: '' }], [{ ...orders, limits: undefined }]])
    assert.ok(!isMetadata({ ...metadata, targets: wrong }), JSON.stringify(wrong));
});

test('the kinds are the kinds, and nothing else', () => {
  for (const kind of TARGET_KINDS) assert.ok(isTargetKind(kind));
  for (const other of ['', 'SSH', 'cluster', 'toString', 0, null, undefined]) assert.ok(!isTargetKind(other));
});

test('a public key is one line of one algorithm: no option, no comment, no other type', () => {
  const key = `ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI${'b'.repeat(43)}`;
  assert.ok(isSshPublicKey(key));
  for (const wrong of [
    ...['', `${key}=`, `${key} me@laptop`, `${key}\n`, ` ${key}`, `no-pty ${key}`, key.replace('ed25519', 'rsa')],
    ...[key.slice(0, -1), `${key}b`, key.replace('AAAAC3', 'AAAAC4'), 1, null],
  ])
    assert.ok(!isSshPublicKey(wrong), String(wrong));
});

test('the address of a target is below its gateway, whatever it is called', () => {
  assert.equal(connectUrl('wss://gw.example.com:8443', 'orders-db'), 'wss://gw.example.com:8443/v1/connect/orders-db');
  assert.equal(connectUrl('wss://gw.example.com', 'a/../b'), 'wss://gw.example.com/v1/connect/a%2F..%2Fb');
});
