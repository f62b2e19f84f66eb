// A person who is logged in, in a world of real parts, for figures of the plugin against a living broker.

import { mkdtemp } from 'node:fs/promises';
import path from 'node:path';
import { type Person, startWorld, type World } from '../support/world.ts';
import type { Settings } from './figure.ts';
import { EXEC_INFO } from './get_token.ts';
import type { Command } from './pairs.ts';

export interface PluginWorld {
  readonly world: World;
  readonly person: Person;
  /** The plugin as kubectl runs it. */
  readonly getToken: Command;
  /** The token that stands in the cache now. */
  token(): Promise<string>;
}

/** Long enough that no token is over while commands are timed. */
const POLICY = { limits: { max_age: '12h', inactivity_timeout: '2h', token_ttl: '1h' }, segments: [] };

export async function inPluginWorld<T>(settings: Settings, work: (plugin: PluginWorld) => Promise<T>): Promise<T> {
  const dir = await mkdtemp(path.join(settings.folder, 'world-'));
  const world = await startWorld({ dir, policy: POLICY, log: settings.log });
  try {
    const person = await world.person('alice');
    await must('setup', person.setup());
    await must('login', person.curfew(['login']));
    const words = ['get-token', '--broker', world.brokerUrl, '--cluster', 'dev', '--ca-file', world.authority.caFile];
    const env = { ...person.env, KUBERNETES_EXEC_INFO: EXEC_INFO };
    const ask = () => must('get-token', person.curfew(words, { env }));
    const token = async () => (JSON.parse(await ask()) as { status: { token: string } }).status.token;
    // From here on the cache is warm.
    await token();
    const command = path.join(person.env.CURFEW_CONFIG_DIR ?? '', 'bin/kubectl-curfew');
    return await work({ world, person, token, getToken: { command, args: words, env } });
  } finally {
    await world.stop();
  }
}

async function must(what: string, result: ReturnType<Person['curfew']>): Promise<string> {
  const { code, stdout, stderr } = await result;
  if (code !== 0) throw new Error(`${what} ended with ${code}: ${stderr.slice(-500)}`);
  return stdout;
}
