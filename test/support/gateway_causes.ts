// Every way in which a session ends, or what is open in it must: what is done, and the words that people read. docs/gateway.md lists them.

import assert from 'node:assert/strict';
import { IDLE, OUTCAST, POLICY, type Scene } from './gateway_scene.ts';
import { getToken } from './log_in.ts';
import { nextSecond, until } from './patience.ts';
import type { Person } from './person.ts';

export interface Cause {
  /** What happens, as a test says it. */
  readonly when: string;
  /** What people read of it, whatever else they do. */
  readonly words: string;
  /** Where the broker has ended the session before the gateway saw that it is over. */
  readonly also?: string | undefined;
  /** Seconds since the login, by the identity provider's word. */
  readonly age?: number;
  readonly end: (scene: Scene, person: Person) => Promise<unknown>;
}

const AGAIN = 'run: kubectl curfew login';
const over = (how: string) => `session is over: ${how}; ${AGAIN}`;
const nothing = async () => undefined;

async function curfew(person: Person, ...args: readonly string[]): Promise<void> {
  const { code, stderr } = await person.curfew(args);
  assert.equal(code, 0, stderr);
}

const OLD = over('the login reached its longest age');

/** By whom it is: a user of that name. */
export const CAUSES: Readonly<Record<string, Cause>> = {
  logout: {
    ...{ when: 'the person logs out', words: over('logged out') },
    end: (_, person) => curfew(person, 'logout'),
  },
  owner: {
    ...{ when: 'its owner ends it', words: over('ended by its owner') },
    end: ({ sidOf }, person) => curfew(person, 'sessions', 'end', sidOf('owner')),
  },
  traveller: {
    ...{ when: 'its owner ends it from another machine', words: over('ended by its owner') },
    async end({ loggedIn, sidOf }) {
      const sid = sidOf('traveller');
      await curfew(await loggedIn('traveller'), 'sessions', 'end', sid);
    },
  },
  ended: {
    ...{ when: 'an administrator ends it', words: over('ended by an administrator') },
    end: async ({ loggedIn, sidOf }) => curfew(await loggedIn('carol'), 'sessions', 'end', sidOf('ended')),
  },
  suspect: {
    ...{ when: 'an administrator ends all that a person has', words: over('ended by an administrator') },
    end: async ({ loggedIn }) => curfew(await loggedIn('carol'), 'sessions', 'end', '--user', 'suspect@example.com'),
  },
  idle: {
    when: 'it was not used for too long, whatever is pinged',
    words: `session is idle for too long: not used for ${IDLE}s, limit ${IDLE}s; ${AGAIN}`,
    also: over('it was not used for too long'),
    end: nothing,
  },
  old: {
    ...{ when: 'the login is too old', age: 3_570 },
    words: `login is too old: last login 1h ago, limit 1h; ${AGAIN}`,
    also: OLD,
    end: nothing,
  },
  gone: {
    ...{ when: 'the identity provider logs the person out', words: over('logged out at the identity provider') },
    end: ({ world }) => world.idp.logOut('gone'),
  },
  revoked: {
    ...{ when: 'a security event is pushed', words: over('revoked by the identity provider') },
    end: async ({ push }) => assert.equal(await push('session-revoked', 'revoked'), 202),
  },
  disabled: {
    ...{ when: 'a security event is polled', words: over('the account was disabled') },
    async end({ polled, subject }) {
      const event = polled.set('account-disabled', subject('disabled'));
      polled.queue(event);
      await until(() => polled.acknowledged.includes(event.jti), 'the event is not acknowledged');
    },
  },
  changed: {
    when: 'a security event asks for a login, and the session is to be renewed',
    words: over('the credentials at the identity provider were changed'),
    async end({ push, world, sidOf }, person) {
      assert.equal(await push('credential-change', 'changed'), 202);
      assert.ok(!world.broker.audit().some(({ event, sid }) => event === 'end' && sid === sidOf('changed')));
      // A token that is there would do otherwise.
      const { code, stderr } = await getToken(world, person, { args: ['--max-age', '59m'] });
      assert.equal(code, 77, stderr);
    },
  },
  hugo: {
    ...{ when: 'another person logs in with the same key', words: over('replaced by a newer login') },
    async end({ world }, person) {
      const { command } = (await world.person('kate')).browser;
      const { code, stderr } = await person.curfew(['login'], { env: { BROWSER: command } });
      assert.equal(code, 0, stderr);
    },
  },
  many: {
    ...{ when: 'the person has too many sessions', words: over('too many sessions of this person') },
    async end({ loggedIn }) {
      await nextSecond();
      for (let i = 0; i < 2; i++) await loggedIn('many');
    },
  },
  // The last: they change the configuration.
  tightened: {
    ...{ when: 'the policy is tightened for all', age: 1_800 },
    words: `, limit 20m; ${AGAIN}`,
    also: OLD,
    end: ({ world }) => world.rewriteConfig({ policy: { ...POLICY, limits: { ...POLICY.limits, max_age: '20m' } } }),
  },
  [OUTCAST]: {
    ...{ when: 'the cluster admits the person no longer', words: 'you are not admitted to this cluster any more' },
    end: ({ world, clusters }) =>
      world.rewriteConfig({ clusters: clusters().map((one) => ({ ...one, allowed_groups: ['dev'] })) }),
  },
};
