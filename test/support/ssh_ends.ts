// Every way in which a session ends, with ssh of it open in two ways: what is done, and what is left then: nothing, on neither side.

import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from './patience.ts';
import type { Person } from './person.ts';
import { BASTION, type SshWorld } from './ssh_world.ts';
import { POLICY } from './world.ts';

export interface SshCause {
  /** What happens, as a test says it. */
  readonly when: string;
  /** What the person reads of it. */
  readonly words: RegExp;
  /** The `end_reason` of the session; none where it continues. */
  readonly reason: string | undefined;
  /** Seconds since the login, by the identity provider's word. */
  readonly age?: number;
  readonly end: (world: SshWorld, person: Person, sid: string) => Promise<unknown>;
}

/** Seconds, for whoever is called `idle`. */
export const IDLE = 15;
export const ENDS_POLICY = {
  ...POLICY,
  rules: [
    {
      name: 'short-idle',
      when: 'user.name == "idle@example.com"',
      limits: { inactivity_timeout: `${IDLE}s`, token_ttl: '5s' },
    },
  ],
};

async function curfew(person: Person, ...words: readonly string[]): Promise<void> {
  const { code, stderr } = await person.curfew(words);
  assert.equal(code, 0, stderr);
}

/** By whom it is: a user of that name. */
export const SSH_CAUSES: Readonly<Record<string, SshCause>> = {
  logout: {
    ...{ when: 'the person logs out', words: /logged out/, reason: 'logout' },
    end: (_, person) => curfew(person, 'logout'),
  },
  ended: {
    ...{ when: 'an administrator ends it', words: /ended by an administrator/, reason: 'administrator' },
    end: async (world, _, sid) => curfew(await world.loggedIn('carol'), 'sessions', 'end', sid),
  },
  gone: {
    when: 'the identity provider logs the person out',
    ...{ words: /logged out at the identity provider/, reason: 'idp_logout' },
    end: ({ idp }) => idp.logOut('gone'),
  },
  idle: {
    ...{
      when: 'nobody presses a key for too long',
      words: /not used for|nothing was sent/,
      reason: 'inactivity_timeout',
    },
    end: () => sleep(IDLE * 1_000),
  },
  old: {
    ...{ when: 'the login is too old', words: /login is too old|longest age/, reason: 'max_age', age: 3_555 },
    end: async () => undefined,
  },
  // The last: they change the configuration.
  other: {
    when: 'their account there is no longer theirs, by a reload',
    ...{ words: /not admitted|no access/, reason: undefined },
    end: (world) =>
      world.rewriteConfig({ targets: [{ ...world.target, accounts: [{ account: 'deploy', groups: ['nobody'] }] }] }),
  },
};

/** The users that these are. */
export const ENDS_USERS = Object.fromEntries(
  Object.keys(SSH_CAUSES).map((name) => [
    name,
    { password: `${name}-pw`, email: `${name}@example.com`, email_verified: true, groups: ['dev', 'sre'] },
  ]),
);

/** Runs until it is hung up; its name is what is looked for on the host. */
const command = (mark: string) => `echo ready; exec sh -c 'while :; do sleep 1; done' ${mark}`;

export async function assertEnds(world: SshWorld, name: string): Promise<void> {
  const cause = SSH_CAUSES[name];
  assert.ok(cause);
  const person = await world.loggedIn(name, cause.age);
  const username = `curfew:${name}@example.com`;
  const rows = (event: string) =>
    world.broker.audit().filter((row) => row.event === event && row.username === username);
  const [plain, ours] = [`plain-${name}`, `ours-${name}`];
  const onHost = (mark: string) => world.server.processes().some((line) => line.endsWith(mark));
  const running = world.begin(person, '-tt', BASTION, command(plain));
  const through = person.curfew(['ssh', BASTION, '-tt', command(ours)], { timeout: 120_000 });
  await until(() => onHost(plain) && onHost(ours), `${name}: not both of them run: ${running.stderr()}`);
  const sid = String(rows('login').at(-1)?.sid);
  await cause.end(world, person, sid);
  await until(() => running.ended, `${name}: ssh does not end`);
  assert.equal(await running.exit, 255, running.stdout());
  const { code, stderr } = await through;
  assert.equal(code, 77, stderr);
  assert.match(stderr, cause.words);
  await until(
    () => !onHost(plain) && !onHost(ours),
    `${name}: is left on the host: ${world.server.processes().join(' | ')}`,
  );
  await until(() => rows('disconnect').length === 2, `${name}: not both ends are in the audit log`);
  for (const row of rows('disconnect')) {
    assert.deepEqual([row.sid, row.target, row.kind, row.account], [sid, BASTION, 'ssh', 'deploy']);
    assert.ok(typeof row.reason === 'string' && row.reason !== '', JSON.stringify(row));
  }
  if (cause.reason === undefined) return;
  await until(() => rows('end').length === 1, `${name}: its end is not in the audit log`);
  assert.equal(rows('end')[0]?.reason, cause.reason);
  // Not with the certificate that they had, nor with another.
  const { code: again } = await world.ssh(person, BASTION, 'true');
  assert.notEqual(again, 0, `${name}: is let in again`);
}
