// What tests do with a person first: a kubeconfig, a login, and the token that kubectl is given.

import assert from 'node:assert/strict';
import type { RunResult } from '../../scripts/run.ts';
import type { BrowserSettings } from './browser.ts';
import type { Person } from './person.ts';
import type { World } from './world.ts';

export interface LoginOptions {
  /** How many seconds ago that was, by the identity provider's word. */
  readonly age?: number;
  readonly browser?: Partial<BrowserSettings>;
  /** Further arguments of `login`. */
  readonly args?: readonly string[];
}

/** Somebody with a kubeconfig, who has logged in. */
export async function logIn(
  world: Pick<World, 'person' | 'idp'>,
  name: string,
  { age, browser, args = [] }: LoginOptions = {},
): Promise<Person> {
  const person = await world.person(name, browser);
  const { code: was_set_up, stderr: said } = await person.setup();
  assert.equal(was_set_up, 0, said);
  if (age !== undefined) world.idp.setAuthTimeOffset(name, age);
  const { code, stderr } = await person.curfew(['login', ...args]);
  if (age !== undefined) world.idp.setAuthTimeOffset(name, 0);
  assert.equal(code, 0, stderr);
  return person;
}

type Place = Pick<World, 'brokerUrl' | 'authority'>;

export interface TokenOptions {
  readonly cluster?: string;
  readonly interactive?: boolean;
  /** Further arguments of `get-token`. */
  readonly args?: readonly string[];
}

/** The plugin, as kubectl calls it. */
export function getToken(
  { brokerUrl, authority }: Place,
  person: Person,
  { cluster = 'dev', interactive = false, args = [] }: TokenOptions = {},
): Promise<RunResult> {
  const where = ['--broker', brokerUrl, '--cluster', cluster, '--ca-file', authority.caFile];
  const info = { apiVersion: 'client.authentication.k8s.io/v1', kind: 'ExecCredential', spec: { interactive } };
  return person.curfew(['get-token', ...where, ...args], { env: { KUBERNETES_EXEC_INFO: JSON.stringify(info) } });
}

/** The token that kubectl would hold in memory. */
export async function tokenOf(world: Place, person: Person, options?: TokenOptions): Promise<string> {
  const { code, stdout, stderr } = await getToken(world, person, options);
  assert.equal(code, 0, stderr);
  return (JSON.parse(stdout) as { readonly status: { readonly token: string } }).status.token;
}
