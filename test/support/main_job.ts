// What the plugin is for: set up, asked for a login by kubectl, refused once the session was ended, logged in again, logged out.

import assert from 'node:assert/strict';
import { until } from './patience.ts';
import type { Person } from './person.ts';

export const ALICE = 'curfew:alice@example.com';
const kubectl = (person: Person, ...args: readonly string[]) => person.kubectl(['--context', 'dev', ...args]);

async function who(person: Person): Promise<string> {
  const { code, stdout, stderr } = await kubectl(
    person,
    'auth',
    'whoami',
    '-o',
    'jsonpath={.status.userInfo.username}',
  );
  assert.equal(code, 0, stderr);
  return stdout;
}

/** What a person does on a first day, and after somebody ended the session. @param end somebody ends it */
export async function mainJob(person: Person, end: () => Promise<void>): Promise<void> {
  const setUp = await person.setup();
  assert.equal(setUp.code, 0, setUp.stderr);
  // Nobody can be asked: it refuses, and no browser opens.
  const refused = await kubectl(person, 'get', 'namespaces');
  assert.notEqual(refused.code, 0);
  assert.match(refused.stderr, /kubectl curfew login/);
  // At a terminal the call itself logs in.
  const pty = person.kubectlAtTerminal('--context', 'dev', 'get', 'namespaces');
  const { code } = await pty.exit;
  assert.equal(code, 0, pty.output());
  assert.match(pty.output(), /default +Active/);
  assert.equal(await who(person), ALICE);
  const status = await person.curfew(['status']);
  assert.equal(status.code, 0, status.stderr);
  assert.match(status.stdout, /curfew:alice@example\.com/);

  await end();
  await until(async () => (await kubectl(person, 'get', 'namespaces')).code !== 0, 'the session goes on');
  const over = await kubectl(person, 'get', 'namespaces');
  assert.match(over.stderr, /kubectl curfew login|session is over/);
  const again = await person.curfew(['login']);
  assert.equal(again.code, 0, again.stderr);
  assert.equal(await who(person), ALICE);
  const out = await person.curfew(['logout']);
  assert.equal(out.code, 0, out.stderr);
  assert.notEqual((await kubectl(person, 'get', 'namespaces')).code, 0);
}
