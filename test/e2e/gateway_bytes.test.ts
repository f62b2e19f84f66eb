// Large copies through the gateway each way, by what kubectl has for them: what arrives is what was sent.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { makeParcel, type Parcel, WAYS } from '../support/gateway_bytes.ts';
import { type GatewayWorld, startGatewayWorld } from '../support/gateway_world.ts';
import { applyContainers } from '../support/open_terminals.ts';
import type { Person } from '../support/person.ts';

const MIB = 2 ** 20;

let [world, alice, parcel]: [GatewayWorld, Person, Parcel] = [] as never;

before(async () => {
  world = await startGatewayWorld({ kubelet: true });
  await applyContainers(world);
  alice = await world.person('alice');
  assert.equal((await alice.setup()).code, 0);
  assert.equal((await alice.curfew(['login'])).code, 0);
  parcel = await makeParcel(world.dir, 64 * MIB);
});
after(() => world?.stop());

describe('64 MiB arrive as they were sent, both ways', () => {
  for (const [name, way] of Object.entries(WAYS)) test(`by ${name}`, () => way(world, alice, parcel));
});
