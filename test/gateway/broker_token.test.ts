// The gateway's token for the broker, replaced while it runs: as a kubelet does it, and with what is no token.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { type LoneGateway, startLoneGateway } from '../support/lone_gateway.ts';
import { until } from '../support/patience.ts';

let folder: string;
let gateway: LoneGateway;
before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'curfew-broker-token-'));
  await show('..1', randomBytes(32));
  await symlink('..data/token', path.join(folder, 'token'));
  gateway = await startLoneGateway({}, 0, path.join(folder, 'token'));
});
after(async () => {
  await gateway?.stop();
  await rm(folder, { recursive: true, force: true });
});

/** Another version of the volume. */
async function show(version: string, token: Buffer | string, mode = 0o600): Promise<void> {
  await mkdir(path.join(folder, version));
  const text = typeof token === 'string' ? token : token.toString('base64');
  await writeFile(path.join(folder, version, 'token'), text, { mode });
  await symlink(version, path.join(folder, '..data_tmp'));
  await rename(path.join(folder, '..data_tmp'), path.join(folder, '..data'));
}

const shownLast = () => gateway.broker.shown.at(-1);
const asShown = (token: Buffer) => `Bearer ${token.toString('base64url')}`;

test('a gateway asks by the token that is in its volume now, without a restart', async () => {
  const next = randomBytes(32);
  await show('..2', next);
  await until(() => shownLast() === asShown(next), 'the new token is not shown');
  assert.equal(gateway.status(), 'ok');
});

test('what is no token, or can be read by all, is said once without it, and the old one stays', async () => {
  const before = shownLast();
  const said = () => gateway.log.filter((line) => line.includes('not reloaded'));
  await show('..3', 'no token');
  await until(() => said().length === 1, 'nothing is said');
  const open = randomBytes(32);
  await show('..4', open, 0o644);
  await until(() => said().length === 2, 'nothing is said of the mode');
  assert.match(said().at(-1) ?? '', /can be read by others \(mode 0644\)/);
  assert.ok(!said().join().includes(open.toString('base64')));
  const count = gateway.broker.shown.length;
  await until(() => gateway.broker.shown.length > count, 'it asks no more');
  assert.equal(shownLast(), before);
  const good = randomBytes(32);
  await show('..5', good);
  await until(() => shownLast() === asShown(good), 'a good one is not taken after that');
});
