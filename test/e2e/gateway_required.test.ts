// Nobody walks around a gateway that is required: real kubectl and a kube-apiserver that asks the broker about tokens (TokenReview), the
// gateway, broker and plugin as shipped. It is switched on while tokens are out.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { Agent, fetch as undiciFetch } from 'undici';
import { parse } from 'yaml';
import { type GatewayWorld, startGatewayWorld } from '../support/gateway_world.ts';
import { claimsOf } from '../support/holder.ts';
import { tokenOf as heldToken, logIn } from '../support/log_in.ts';
import { openStreams } from '../support/open_streams.ts';
import { until } from '../support/patience.ts';
import type { Person } from '../support/person.ts';

const KINDS = ['exec over WebSocket', 'port-forward over SPDY', 'get -w'];
const WORDS = 'curfew: session is over: logged out; run: kubectl curfew login';

let world: GatewayWorld;
/** Who logged in before it was required, and the token of then. */
let alice: Person;
let plain: string;

before(async () => {
  world = await startGatewayWorld({ plane: { webhook: { on_failure: 'deny', authentication: true } } });
  alice = await loggedIn('alice');
});
after(() => world?.stop());

const loggedIn = (name: string) => logIn(world, name);

/** The token that kubectl would hold in memory. @param minutes the tightest one is never in the cache */
const tokenOf = (person: Person, minutes = 60) => heldToken(world, person, { args: ['--max-age', `${minutes}m`] });

/** HTTP status of a request with a token, and no plugin that could get another. */
async function statusAt(url: string, ca: string, token: string): Promise<number> {
  const dispatcher = new Agent({ connect: { ca } });
  try {
    const headers = { authorization: `Bearer ${token}` };
    const response = await undiciFetch(`${url}/api/v1/namespaces/dev/pods`, { headers, dispatcher });
    await response.arrayBuffer();
    return response.status;
  } finally {
    await dispatcher.destroy();
  }
}
const directly = (token: string) => statusAt(world.plane.server, world.plane.caPem, token);
const through = (token: string) => statusAt(world.gateway.url, world.authority.caPem, token);

describe('a gateway that is not required', () => {
  test('passes tokens on as they are, which the API server takes from anybody', async () => {
    plain = await tokenOf(alice);
    assert.equal(claimsOf(plain).aud, 'dev');
    assert.deepEqual([await directly(plain), await through(plain)], [200, 200]);
  });
});

describe('G4 a gateway that is required', () => {
  let hers: string;

  before(async () => {
    const { clusters } = parse(readFileSync(world.site.configFile, 'utf8')) as {
      clusters: readonly { readonly gateway: object }[];
    };
    const required = clusters.map((one) => ({ ...one, gateway: { ...one.gateway, required: true } }));
    await world.rewriteConfig({ clusters: required });
    let minutes = 60;
    await until(async () => {
      minutes -= 1;
      hers = await tokenOf(alice, minutes);
      return claimsOf(hers).aud === 'dev/gateway';
    }, 'it is not required');
  });

  test('is walked around with no token that a person has: neither by the new ones nor by one that was out', async () => {
    assert.equal(await directly(hers), 401);
    assert.equal(await through(hers), 200);
    // The API server remembers for a second what it was told.
    await until(async () => (await directly(plain)) === 401, 'the token of before goes on');
    assert.equal(await through(plain), 401, 'nor is it swapped');
  });

  test('swaps each token once, however many ask with it at once, for one that ends no later', async () => {
    const bob = await loggedIn('bob');
    const his = await tokenOf(bob);
    const answers = await Promise.all(Array.from({ length: 20 }, () => through(his)));
    assert.deepEqual(new Set(answers), new Set([200]));
    const { jti, exp } = claimsOf(his);
    const swaps = world.broker.audit().filter((row) => row.event === 'mint' && row.swapped_from === jti);
    assert.equal(swaps.length, 1);
    assert.ok(Number(swaps[0]?.exp) <= Number(exp), JSON.stringify(swaps[0]));
  });

  test('G1 cuts what was opened by a swapped token', async () => {
    assert.equal((await alice.curfew(['login'])).code, 0);
    const streams = await openStreams(world, alice, 'dev', { kinds: KINDS });
    try {
      assert.equal((await alice.curfew(['logout'])).code, 0);
      await streams.assertCut(WORDS);
    } finally {
      await streams.kill();
    }
  });
});
