// Keys that are revoked, and the gateway of targets: whoever revokes them is told whether it has heard, and waits for it.

import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { takesTargetToken } from '../../broker/commands/gateway_probe.ts';
import { type RevokeParts, revokeKeys } from '../../broker/commands/revoke_keys.ts';
import { loadConfig } from '../../broker/config/load.ts';
import { EXIT } from '../../shared/errors.ts';
import { TARGET_TOKEN_TYP } from '../../shared/token_typ.ts';
import { type LoneTargetGateway, startLoneTargetGateway } from '../support/lone_target_gateway.ts';
import { until } from '../support/patience.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { TARGETS } from '../support/targets.ts';

describe('T11 a revoked key, asked about at a gateway of targets', () => {
  let gateway: LoneTargetGateway;
  beforeEach(async () => {
    gateway = await startLoneTargetGateway();
  });
  afterEach(() => gateway.stop());

  const DB = { kind: 'tcp', name: 'db', audience: 'db', address: { host: 'h', port: 1 }, allowed_groups: [] } as const;
  const tokenOf = () => {
    const now = gateway.broker.now();
    const claims = {
      iss: gateway.broker.place.url,
      aud: 'db',
      sub: 's',
      sid: 's',
      username: 'u',
      jti: 'j',
      target: 'db',
    };
    const times = { iat: now, nbf: now, exp: now + 60 };
    return gateway.broker.sign({ alg: 'ES256', typ: TARGET_TOKEN_TYP }, { ...claims, ...times, cnf: { jkt: 'none' } });
  };
  const place = () => ({ url: gateway.url.replace(/^https:/, 'wss:'), ca: gateway.ca });
  const asked = (token: string) => takesTargetToken(place(), DB, token);

  test('it is said to be taken until the gateway has heard, and nothing is opened by the question', async () => {
    const old = tokenOf();
    assert.deepEqual(await asked(old), { taken: true });
    const kid = gateway.broker.rotateKey();
    // It looks for a key that it does not know every two seconds at most.
    await until(async () => 'taken' in (await asked(tokenOf())) && (await takenNow()), 'the new key is not taken');
    assert.deepEqual(await asked(old), { taken: true }, 'it has not heard');
    gateway.broker.tell({ type: 'key_revoked', kid });
    await until(async () => !(await takenNow(old)), 'it does not hear');
    assert.equal(await takenNow(), true);
    assert.deepEqual(gateway.asked, [], 'the broker was asked for a connection');
  });

  async function takenNow(token = tokenOf()): Promise<boolean> {
    const answer = await asked(token);
    return 'taken' in answer && answer.taken;
  }

  test('a gateway that knows nothing now, or is not who it should be, or is away, says nothing', async () => {
    const elsewhere = await takesTargetToken({ ...place(), ca: undefined }, DB, tokenOf());
    assert.match('away' in elsewhere ? elsewhere.away : '', /certificate/);
    gateway.broker.beat_ms = 0;
    gateway.broker.onAsk = () => 503;
    await until(async () => 'away' in (await asked(tokenOf())), 'it is not lost');
    const url = place();
    await gateway.stopItself();
    const gone = await takesTargetToken(url, DB, 'x');
    assert.match('away' in gone ? gone.away : '', /cannot be reached/);
  });
});

describe('T11 keys revoke, where there are targets', () => {
  let service: TestService;
  before(async () => {
    service = await startTestService({ ...TARGETS, clusters: [DEV] });
  });
  after(() => service?.stop());

  const DEV = { name: 'dev', server: 'https://127.0.0.1:1', audience: 'dev', allowed_groups: ['*'] };
  const revoke = async (takes_at_gateway: NonNullable<RevokeParts['takes_at_gateway']>) => {
    let ms = 0;
    const parts = {
      now: () => service.now,
      by: 'root',
      say: () => undefined,
      elapsed: () => (ms += 100_000),
      kept_ms: 0,
    };
    // API servers take each new key at once, and what it replaces no more.
    let taken = true;
    const takes = async () => {
      const first = taken;
      taken = false;
      return { taken: first };
    };
    const config = await loadConfig(service.configFile, { env: process.env });
    return revokeKeys(config, { all: true }, { ...parts, takes, takes_at_gateway });
  };

  test('it is over once the gateway takes the new key alone', async () => {
    const shown: string[] = [];
    const { lines, exit } = await revoke(async (_gateway, _target, token) => {
      shown.push(token);
      return { taken: shown.length === 1 };
    });
    assert.equal(exit, EXIT.done, lines.join('\n'));
    assert.match(
      lines.join('\n'),
      /^ok: gateway of targets: wss:\/\/targets\.example\.com takes no token of the revoked keys/m,
    );
    assert.equal(shown.length, 2);
  });

  test('one that has not heard, or is away, is named, and the exit is 75', async () => {
    for (const [answer, words] of [
      [{ taken: true }, 'still takes tokens of the revoked keys'],
      [{ away: 'did not answer in time' }, 'did not answer in time'],
    ] as const) {
      const { lines, exit } = await revoke(async () => answer);
      assert.equal(exit, EXIT.try_again);
      assert.match(lines.join('\n'), new RegExp(`^warning: gateway of targets: \\S+ ${words}: what tokens`, 'm'));
    }
  });
});
