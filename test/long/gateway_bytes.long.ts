// 1 GiB each way through the gateway, by `cp`, exec and port-forward, over WebSocket and SPDY; the short form has 64 MiB.

import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { makeParcel, type Parcel, WAYS } from '../support/gateway_bytes.ts';
import { type GatewayWorld, startGatewayWorld } from '../support/gateway_world.ts';
import { applyContainers } from '../support/open_terminals.ts';
import type { Person } from '../support/person.ts';

const GIB = 2 ** 30;

let [world, alice, parcel]: [GatewayWorld, Person, Parcel] = [] as never;

before(async () => {
  world = await startGatewayWorld({ kubelet: true });
  await applyContainers(world);
  alice = await world.person('alice');
  assert.equal((await alice.setup()).code, 0);
  assert.equal((await alice.curfew(['login'])).code, 0);
  parcel = await makeParcel(world.dir, GIB);
});
after(async () => {
  if (parcel) await rm(parcel.file, { force: true });
  await world?.stop();
});

describe('1 GiB arrives as it was sent, both ways', () => {
  for (const [name, way] of Object.entries(WAYS)) {
    test(`by ${name}`, async (t) => {
      const started = performance.now();
      await way(world, alice, parcel);
      t.diagnostic(`${name}: 2 GiB in ${((performance.now() - started) / 1000).toFixed(1)} s`);
    });
  }
});
