// What is open closes when its session is over: real kubectl, kube-apiserver and kwok, the gateway, broker and plugin as shipped. Nobody's
// clock is bent: logins are aged by the identity provider, limits are short.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type GatewayWorld, startGatewayWorld } from '../support/gateway_world.ts';
import { type OpenStreams, openStreams } from '../support/open_streams.ts';
import type { Person } from '../support/person.ts';
import { USERS } from '../support/world.ts';

const IDLE = 20;
const LIMITS = { max_age: '1h', inactivity_timeout: '30m', token_ttl: '5m' };
const SEGMENTS = [{ name: 'prod', match: { namespaces: ['prod'] }, limits: { max_age: '15m' } }];
const RULES = [
  { name: 'short-idle', when: 'user.name == "ivan@example.com"', limits: { inactivity_timeout: `${IDLE}s` } },
];
const POLICY = { limits: LIMITS, segments: SEGMENTS, rules: RULES };

const NAMES = ['dora', 'emil', 'fred', 'gina', 'hugo', 'ivan', 'jane', 'kate', 'lena', 'mona'];
const people = Object.fromEntries(
  NAMES.map((name) => [
    name,
    { password: `${name}-pw`, email: `${name}@example.com`, email_verified: true, groups: ['dev', 'sre'] },
  ]),
);

let world: GatewayWorld;
/** Somebody else, whose streams go on whatever happens. */
let theirs: OpenStreams;

before(async () => {
  world = await startGatewayWorld({
    policy: POLICY,
    users: { ...USERS, ...people },
    sections: { admins: { groups: ['security'], limits: { max_age: '1h' } } },
    backchannel: true,
    // So that nobody walks around it: what the API server gets is swapped for what kubectl has.
    gateway: { required: true },
  });
  theirs = await openStreams(world, await loggedIn('jane'), 'dev');
});
after(async () => {
  await theirs?.kill();
  await world?.stop();
});

/** Somebody with a kubeconfig, who logged in that many seconds ago by the identity provider's word. */
async function loggedIn(name: string, age = 0): Promise<Person> {
  const person = await world.person(name);
  assert.equal((await person.setup()).code, 0);
  world.idp.setAuthTimeOffset(name, age);
  const { code, stderr } = await person.curfew(['login']);
  world.idp.setAuthTimeOffset(name, 0);
  assert.equal(code, 0, stderr);
  return person;
}

function sidOf(name: string): string {
  const rows = world.broker.audit();
  return String(
    rows.findLast(({ event, username }) => event === 'login' && username === `curfew:${name}@example.com`)?.sid,
  );
}

/** Each cause: whose streams they are, what ends them, and with which words. */
const CAUSES: Readonly<
  Record<string, { name: string; age?: number; words: string; end: (person: Person) => Promise<unknown> }>
> = {
  'the person logs out': {
    ...{ name: 'dora', words: 'curfew: session is over: logged out; run: kubectl curfew login' },
    end: (person) => person.curfew(['logout']),
  },
  'an administrator ends the session': {
    ...{ name: 'emil', words: 'curfew: session is over: ended by an administrator; run: kubectl curfew login' },
    async end() {
      const carol = await loggedIn('carol');
      const { code, stderr } = await carol.curfew(['sessions', 'end', sidOf('emil')]);
      assert.equal(code, 0, stderr);
    },
  },
  'the login is too old': {
    ...{
      name: 'fred',
      age: 3_580,
      words: 'curfew: login is too old: last login 1h ago, limit 1h; run: kubectl curfew login',
    },
    end: async () => undefined,
  },
  'it was not used for too long, whatever it pings': {
    ...{
      name: 'ivan',
      words: `curfew: session is idle for too long: not used for ${IDLE}s, limit ${IDLE}s; run: kubectl curfew login`,
    },
    end: async () => undefined,
  },
  'the identity provider logs the person out': {
    ...{
      name: 'gina',
      words: 'curfew: session is over: logged out at the identity provider; run: kubectl curfew login',
    },
    end: () => world.idp.logOut('gina'),
  },
  'another person logs in with the same key': {
    ...{ name: 'hugo', words: 'curfew: session is over: replaced by a newer login; run: kubectl curfew login' },
    async end(person) {
      const kate = await world.person('kate');
      const { code, stderr } = await person.curfew(['login'], { env: { BROWSER: kate.browser.command } });
      assert.equal(code, 0, stderr);
    },
  },
};

describe('G1 where only a segment denies', () => {
  test('what is open there is cut, and what is open elsewhere in the same session goes on', async () => {
    const person = await loggedIn('lena', 870);
    const elsewhere = await openStreams(world, person, 'dev');
    const there = await openStreams(world, person, 'prod');
    try {
      await there.assertCut('limit 15m (segment prod); run: kubectl curfew login --cluster dev');
      await elsewhere.check();
    } finally {
      await there.kill();
      await elsewhere.kill();
    }
  });

  test('a policy that is tightened reaches what is open', async () => {
    const person = await loggedIn('mona', 600);
    const streams = await openStreams(world, person, 'dev');
    try {
      const tight = { name: 'tight', match: { namespaces: ['dev'] }, limits: { max_age: '9m' } };
      await world.rewriteConfig({ policy: { ...POLICY, segments: [...SEGMENTS, tight] } });
      await streams.assertCut('limit 9m (segment tight); run: kubectl curfew login --cluster dev');
      await theirs.check();
    } finally {
      await streams.kill();
      await world.rewriteConfig({ policy: POLICY });
    }
  });
});

describe('G1 all that is open is cut, with the reason, and what is open for others goes on', () => {
  for (const [cause, { name, age, words, end }] of Object.entries(CAUSES)) {
    test(`when ${cause}`, async (t) => {
      const person = await loggedIn(name, age);
      const streams = await openStreams(world, person, 'dev');
      try {
        await end(person);
        for (const row of await streams.assertCut(words)) t.diagnostic(row);
        await theirs.check();
      } finally {
        await streams.kill();
      }
    });
  }
});
