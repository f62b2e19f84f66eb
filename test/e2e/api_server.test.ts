// What kube-apiserver refuses by itself, with the configuration that `print authn-config` prints, though well signed.

import assert from 'node:assert/strict';
import { createSecretKey } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createSealer } from '../../broker/audit_log/chain.ts';
import { openSqlite } from '../../broker/store/sqlite.ts';
import { SqliteStore } from '../../broker/store/sqlite_store.ts';
import { type Keys, loadKeys } from '../../broker/tokens/keys.ts';
import { signToken, type TokenClaims } from '../../broker/tokens/mint.ts';
import { run } from '../../scripts/run.ts';
import { fromMilliseconds, type Seconds, seconds } from '../../shared/time.ts';
import { GATEWAY_TOKEN_TYP, gatewayAudience } from '../../shared/token_typ.ts';
import { startControlPlane } from '../cluster/control_plane.ts';
import { assertKept, until } from '../support/patience.ts';
import { startWorld, type World } from '../support/world.ts';

const CEILING = { max_age: '15m', token_ttl: '2m' };

let world: World;
let keys: Keys;

/** The broker's own key, as if the broker had been made to sign what it should not. */
async function signingKeys(): Promise<Keys> {
  const secret = await readFile(path.join(world.dir, 'encryption-key'), 'utf8');
  const key = createSecretKey(Buffer.from(secret.trim(), 'base64'));
  const options = { onAudit: () => undefined, onBroken: () => undefined, sealer: createSealer(key) };
  const store = await SqliteStore.open(openSqlite(path.join(world.dir, 'curfew.db')), options);
  try {
    return await loadKeys(store, { encryption: key, longest_token: seconds(0) }, () => seconds(0));
  } finally {
    await store.close();
  }
}

const now = () => fromMilliseconds(Date.now());
const later = (instant: Seconds, length: number) => (instant + length) as Seconds;

function claims(changes: Partial<TokenClaims> = {}): TokenClaims {
  const iat = now();
  const names = { sub: 'sub-alice', username: 'curfew:alice@example.com', groups: ['curfew:dev'] };
  const times = { iat, nbf: iat, exp: later(iat, 120), auth_time: iat };
  return {
    iss: world.brokerUrl,
    aud: 'dev',
    ...names,
    sid: 'a-session',
    jti: crypto.randomUUID(),
    ...times,
    ...changes,
  };
}

async function use(
  token: string,
  plane = world.plane,
): Promise<{ code: number | null; stderr: string; stdout: string }> {
  const server = ['--server', plane.server, '--certificate-authority', plane.caFile, '--kubeconfig', '/dev/null'];
  return run(plane.kubectlPath, [...server, '--token', token, 'auth', 'whoami', '-o', 'json']);
}

async function refused(token: string): Promise<void> {
  const { code, stderr } = await use(token);
  assert.equal(code, 1);
  assert.match(stderr, /Unauthorized|logged in|provide credentials/);
}

before(async () => {
  world = await startWorld({ cluster: { ceiling: CEILING } });
  keys = await signingKeys();
});
after(() => world?.stop());

describe('kube-apiserver with the printed configuration', () => {
  test('takes a token of the broker, also exactly at both caps', async () => {
    const { code, stdout, stderr } = await use(signToken(keys, claims()));
    assert.equal(code, 0, stderr);
    assert.ok(stdout.includes('curfew:alice@example.com'));
    const iat = now();
    const atCaps = { iat, exp: later(iat, 120), auth_time: later(iat, 120 - 900) };
    assert.equal((await use(signToken(keys, claims(atCaps)))).code, 0);
  });

  test('refuses a token one second over the cap of token_ttl, and one over the cap of max_age', async () => {
    const iat = now();
    await refused(signToken(keys, claims({ iat, exp: later(iat, 121) })));
    await refused(signToken(keys, claims({ iat, exp: later(iat, 60), auth_time: later(iat, 60 - 901) })));
  });

  test('T3 refuses a token for another audience or from another issuer', async () => {
    await refused(signToken(keys, claims({ aud: 'prod' })));
    await refused(signToken(keys, claims({ iss: `${world.brokerUrl}/` })));
  });

  test('G4 refuses a token that is for a gateway alone', async () => {
    await refused(signToken(keys, claims({ aud: gatewayAudience('dev') }), GATEWAY_TOKEN_TYP));
  });

  test('T10 refuses system: in any spelling, empty names and what is not seen, as username and as group', async () => {
    const unseen = ['a\nb', 'a\u0007', 'a\u202eb', 'a\u200bb', '\u200bsystem:admin', 'a\u2028b', ' system:admin'];
    for (const username of ['system:admin', 'System:admin', 'SYSTEM:kube-scheduler', '', ...unseen]) {
      await refused(signToken(keys, claims({ username })));
    }
    for (const group of ['system:masters', 'SYSTEM:MASTERS', 'System:nodes', '', ...unseen]) {
      await refused(signToken(keys, claims({ groups: ['curfew:dev', group] })));
    }
  });

  test('refuses a token without a session, or without auth_time', async () => {
    for (const name of ['sid', 'auth_time'] as const) {
      const { [name]: _, ...rest } = claims();
      await refused(signToken(keys, rest as TokenClaims));
    }
    await refused(signToken(keys, claims({ sid: '' })));
  });

  test('S7 refuses a token after its exp', async () => {
    const iat = later(now(), -200);
    await refused(signToken(keys, claims({ iat, nbf: iat, exp: later(iat, 100), auth_time: iat })));
  });

  test('T1 refuses a token signed by a key that the broker does not publish, under the same kid', async () => {
    const [head = '', body = ''] = signToken(keys, claims()).split('.');
    await refused(`${head}.${body}.${Buffer.alloc(64, 7).toString('base64url')}`);
    const none = Buffer.from(JSON.stringify({ alg: 'none', typ: 'curfew+jwt' })).toString('base64url');
    await refused(`${none}.${body}.`);
  });

  test('F11 started while the broker is down, it takes tokens within 10 s of the broker being back', async () => {
    const authenticationConfig = await world.site.authenticationConfig('dev');
    await world.broker.kill();
    const plane = await startControlPlane({ authenticationConfig });
    try {
      const taken = async () => (await use(signToken(keys, claims()), plane)).code === 0;
      assert.equal(await taken(), false);
      await world.restartBroker();
      const begin = performance.now();
      await until(taken, 'it takes no token');
      assertKept(performance.now() - begin, 10_000);
    } finally {
      await plane.stop();
    }
  });
});
