// A broker that is killed while people connect to targets: what it had allowed is written down, and has its end once.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { verifyAuditLog } from '../../broker/commands/audit_verify.ts';
import { loadConfig } from '../../broker/config/load.ts';
import { chanceOf } from '../support/chance.ts';
import { tellEvents } from '../support/gateway.ts';
import { type LoggedIn, type LoneBroker, makeLoneBroker } from '../support/lone_broker.ts';
import { until } from '../support/patience.ts';
import { openStoreDatabase } from '../support/store_database.ts';
import { askConnection, proofOf, TARGETS, targetToken } from '../support/targets.ts';

const KILLS = 2;
const { below } = chanceOf('target_kills');

let broker: LoneBroker;
const token = randomBytes(32);
const bearer = token.toString('base64url');
before(async () => {
  broker = await makeLoneBroker({ name: 'target-kills', sections: TARGETS });
  await writeFile(path.join(broker.folder, 'targets-gateway'), token.toString('base64'), { mode: 0o600 });
  await broker.start();
});
after(() => broker?.remove());

function rows(event: string): readonly string[] {
  using database = openStoreDatabase(path.join(broker.folder, 'curfew.db'));
  const found = database.prepare('select data from audit where event = ? order by seq').all(event);
  return found.map(({ data }) => String((JSON.parse(String(data)) as { connection: string }).connection));
}

test('C5 I2 what was allowed before a kill -9 has its row, and one of its end once that is told', async () => {
  const alice: LoggedIn = await broker.login('alice');
  const allowed: string[] = [];
  for (let kills = 0; kills < KILLS; kills++) {
    const before = allowed.length;
    const wanted = 3 + below(20);
    let stop = false;
    const connecting = Array.from({ length: 3 }, async () => {
      while (!stop) {
        const { holder, handle } = alice;
        await targetToken(holder, handle, 'cache')
          .then(({ access_token }) =>
            askConnection(broker.url, bearer, { token: access_token, target: 'cache', proof: proofOf(holder) }),
          )
          .then(({ reply }) => allowed.push(reply.connection))
          // It is killed in between.
          .catch(() => undefined);
      }
    });
    await until(() => allowed.length >= before + wanted, 'nobody connects');
    await broker.process.kill();
    stop = true;
    await Promise.all(connecting);
    await broker.start();
  }
  const connected = rows('connect');
  assert.deepEqual(
    allowed.filter((id) => !connected.includes(id)),
    [],
    'allowed, and not written down',
  );
  assert.equal(new Set(connected).size, connected.length);
  const events = allowed.map((stream) => ({
    ...{ type: 'closed', age_ms: 0, stream, sid: alice.sid, kind: 'tcp', target: 'cache' },
    ...{ seconds: 1, bytes_sent: 2, bytes_received: 3 },
  }));
  // The answer is lost, and it is told again.
  await tellEvents(broker.url, bearer, { instance: 'one', first: 1, events: events.slice(0, 10) });
  await broker.process.kill();
  await broker.start();
  for (let first = 0; first < events.length; first += 400)
    await tellEvents(broker.url, bearer, {
      instance: 'one',
      first: first + 1,
      events: events.slice(first, first + 400),
    });
  assert.deepEqual([...rows('disconnect')].sort(), [...allowed].sort());
  await broker.process.kill();
  const verified = await verifyAuditLog(await loadConfig(broker.configFile, { env: process.env }));
  assert.equal(verified.exit, 0);
});
