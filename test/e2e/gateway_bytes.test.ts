// Large copies through the gateway each way, by `cp`, exec and port-forward, over WebSocket and SPDY: what arrives is what was sent.

import { after, before, describe, test } from 'node:test';
import { countOf } from '../counts.ts';
import { makeParcel, type Parcel, WAYS } from '../support/gateway_bytes.ts';
import { type GatewayWorld, startGatewayWorld } from '../support/gateway_world.ts';
import { logIn } from '../support/log_in.ts';
import { applyContainers } from '../support/open_terminals.ts';
import type { Person } from '../support/person.ts';

const MIB = countOf('gateway_mib');

let [world, alice, parcel]: [GatewayWorld, Person, Parcel] = [] as never;

before(async () => {
  world = await startGatewayWorld({ kubelet: true });
  await applyContainers(world);
  alice = await logIn(world, 'alice');
  parcel = await makeParcel(world.dir, MIB * 2 ** 20);
});
after(() => world?.stop());

describe(`${MIB} MiB arrive as they were sent, both ways`, () => {
  for (const [name, way] of Object.entries(WAYS)) {
    test(`by ${name}`, async (t) => {
      const began = performance.now();
      await way(world, alice, parcel);
      t.diagnostic(`${2 * MIB} MiB in ${((performance.now() - began) / 1000).toFixed(1)} s`);
    });
  }
});
