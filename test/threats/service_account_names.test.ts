// The threat model: never two people under one name (S19), where people act as a cluster's own ServiceAccounts: a name is nobody's
// until the last token that was given to it is over by itself, whatever became of its Secret.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { freeNames } from '../../broker/commands/name_commands.ts';
import { loadConfig } from '../../broker/config/load.ts';
import { type FakeApiServer, startFakeApiServer } from '../support/fake_api_server.ts';
import type { Holder } from '../support/holder.ts';
import { until } from '../support/patience.ts';
import { startTestService, type TestService } from '../support/service.ts';

/** Seconds: kube-apiserver gives no token that lives shorter. */
const LIFE = 600;
/** Seconds for which it goes on taking one after its `exp`. */
const LINGERS = 10;
/** Seconds: what `token_ttl` says is not what the cluster's tokens live. */
const TOKEN_TTL = 300;

let dir: string;
let api: FakeApiServer;
let service: TestService;

before(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'curfew-names-'));
  api = await startFakeApiServer(dir);
  const broker_token_file = path.join(dir, 'broker-token');
  await writeFile(broker_token_file, 'the-brokers-own-token-at-the-cluster', { mode: 0o600 });
  const service_accounts = [{ group: '*', namespace: 'people', name: 'readers' }];
  const own = { credential: 'service-account', service_accounts, broker_token_file };
  const managed = { name: 'managed', server: api.url, ca_file: api.caFile, audience: 'managed', allowed_groups: ['*'] };
  const dev = { name: 'dev', server: 'https://127.0.0.1:1', audience: 'dev', allowed_groups: ['*'] };
  service = await startTestService({ clusters: [{ ...managed, ...own }, dev] });
});
after(async () => {
  await service?.stop();
  await api?.stop();
  await rm(dir, { recursive: true, force: true });
});
beforeEach(() => {
  api.before = () => undefined;
  api.after = () => undefined;
});

const person = () => {
  const id = randomUUID();
  return { sub: id, email: `${id}@example.com` };
};

type Person = ReturnType<typeof person>;

const login = (claims: object, audience: string, holder = service.holder()) =>
  service.login(holder, { jti: randomUUID(), ...claims }, { audience });

interface Open {
  readonly holder: Holder;
  readonly handle: string;
  readonly sid: string;
}

async function open(who: Person, audience = 'managed'): Promise<Open> {
  const holder = service.holder();
  const { refresh_token: handle = '', access_token, session } = (await login(who, audience, holder)).granted;
  assert.notEqual(access_token, handle, 'the cluster gave no token');
  return { holder, handle, sid: session.sid };
}

/** How the person loses the name. */
const WAYS: Readonly<Record<string, (who: Person) => Promise<unknown>>> = {
  'the person goes by another name': async (who) =>
    assert.equal((await login({ ...who, email: `new-${who.email}` }, 'managed')).status, 200),
  'an administrator frees it': async ({ email: name }) => {
    const config = await loadConfig(service.configFile, { env: process.env });
    await freeNames(config, { names: [name], note: 'hired again' }, { now: () => service.now, by: 'root' });
  },
};

/** Nobody else is called so until then, and somebody is from then on. */
async function assertFreeAt({ email }: Person, at: number): Promise<void> {
  const newcomer = { ...person(), email };
  const { reason, retry_after } = (await login(newcomer, 'managed')).refused;
  assert.deepEqual([reason, retry_after], ['username_taken', at - service.now]);
  service.advance(at - 1 - service.now);
  await service.sweep();
  assert.equal((await login(newcomer, 'managed')).refused.reason, 'username_taken');
  service.advance(1);
  assert.equal((await login(newcomer, 'managed')).status, 200);
}

describe('S19 a name at a cluster with its own tokens', () => {
  for (const [what, happens] of Object.entries(WAYS)) {
    test(`S19 ${what}: it is nobody's until 610 s after the last token, though its Secret is long gone`, async () => {
      const who = person();
      const { holder, handle, sid } = await open(who);
      service.advance(100);
      assert.equal((await holder.renew(handle, 'managed')).status, 200);
      const given = service.now;
      service.advance(20);
      await happens(who);
      const held = () => [...api.secrets.values()].map(({ annotations }) => annotations['curfew.internal/session-id']);
      await until(() => !held().includes(sid), 'the Secret is left');
      await assertFreeAt(who, given + LIFE + LINGERS);
    });
  }

  test('S19 counted from when the API server answers, not from when it is asked', async () => {
    const who = person();
    const { holder, handle } = await open(who);
    api.before = (asked) => void (asked === 'token' && service.advance(3));
    assert.equal((await holder.renew(handle, 'managed')).status, 200);
    const given = service.now;
    api.before = () => undefined;
    await WAYS['the person goes by another name']?.(who);
    await assertFreeAt(who, given + LIFE + LINGERS);
  });

  test('S19 with tokens of ours beside them: whichever is over last', async () => {
    const who = person();
    const { holder, handle } = await open(who);
    const given = service.now;
    service.advance(TOKEN_TTL - 10);
    assert.equal((await holder.renew(handle, 'dev')).status, 200);
    service.advance(5);
    await WAYS['the person goes by another name']?.(who);
    await assertFreeAt(who, given + LIFE + LINGERS);

    const other = person();
    const late = await open(other);
    service.advance(LIFE - 10);
    assert.equal((await late.holder.renew(late.handle, 'dev')).status, 200);
    const ours = service.now + TOKEN_TTL;
    await WAYS['the person goes by another name']?.(other);
    await assertFreeAt(other, ours + LINGERS);
  });

  test('S19 a token that was asked for and not handed out does not count', async () => {
    const who = person();
    const { holder, handle } = await open(who);
    const given = service.now;
    service.advance(200);
    let happened = false;
    api.after = async (asked) => {
      if (asked !== 'token' || happened) return;
      happened = true;
      await WAYS['an administrator frees it']?.(who);
    };
    assert.equal((await holder.renew(handle, 'managed')).refused.reason, 'session_ended');
    assert.ok(happened);
    api.after = () => undefined;
    await assertFreeAt(who, given + LIFE + LINGERS);
  });
});
