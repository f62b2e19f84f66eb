// `curfew-gateway check` before targets: whether the broker knows the gateway, and sends people to it.

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { check } from '../../gateway/check.ts';
import type { TargetSettings } from '../../gateway/config/settings.ts';
import { EXIT } from '../../shared/errors.ts';
import { seconds } from '../../shared/time.ts';
import { createCertificateAuthority } from '../support/certificates.ts';
import { STAND_IN_LIMITS, type StandInBroker, startStandInBroker } from '../support/stand_in_broker.ts';

let broker: StandInBroker;
let settings: TargetSettings;
let dir: string;
before(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'curfew-target-check-'));
  const { certFile: cert_file, keyFile: key_file } = await (await createCertificateAuthority(dir)).issue({
    name: 'gateway',
    hosts: ['127.0.0.1'],
  });
  broker = await startStandInBroker();
  settings = {
    ...{ broker: broker.place, targets: true, public_url: 'https://gw.example.com' },
    listen: { address: '127.0.0.1', port: 0, tls: { cert_file, key_file } },
    ...{ on_lost_broker: { cut_after: seconds(10) }, warn: 'off', drain: seconds(30) },
  };
});
after(async () => {
  await broker.stop();
  await rm(dir, { recursive: true, force: true });
});

const targetAt = (name: string, gateway: string) => ({
  ...{ name, kind: 'tcp', audience: name, url: `${gateway}/v1/connect/${name}`, strictest: STAND_IN_LIMITS },
  limits: { session: STAND_IN_LIMITS, target: STAND_IN_LIMITS },
});

test('names the targets of a broker that sends people here', async () => {
  broker.targets = [targetAt('cache', 'wss://gw.example.com'), targetAt('db', 'wss://gw.example.com')];
  const { lines, exit } = await check(settings, () => performance.now());
  assert.deepEqual([lines, exit], [['ok     the broker answers: targets cache, db'], EXIT.done]);
});

test('says when people are sent elsewhere, or nowhere', async () => {
  broker.targets = [targetAt('cache', 'wss://gw.example.com:8443')];
  const elsewhere = await check(settings, () => performance.now());
  assert.equal(elsewhere.exit, EXIT.configuration);
  assert.match(
    elsewhere.lines.join(),
    /^error {2}public_url: the broker sends people to wss:\/\/gw\.example\.com:8443/,
  );
  broker.targets = [];
  const none = await check(settings, () => performance.now());
  assert.deepEqual([none.lines, none.exit], [['error  targets: the broker has none'], EXIT.configuration]);
});

test('says when the broker does not know its token, or does not answer', async () => {
  broker.onAsk = () => 401;
  const unknown = await check(settings, () => performance.now());
  assert.equal(unknown.exit, EXIT.configuration);
  assert.match(unknown.lines.join(), /^error {2}broker\.token_file: .* the gateway of targets$/);
  const away = await check({ ...settings, broker: { ...settings.broker, url: 'http://127.0.0.1:1' } }, () =>
    performance.now(),
  );
  assert.equal(away.exit, EXIT.unavailable);
});
