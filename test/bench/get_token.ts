// A cache hit of the plugin, as kubectl runs it on every call, against the least that Node can do.

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdtemp, readFile } from 'node:fs/promises';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { signToken } from '../../broker/tokens/mint.ts';
import { nodeFiles } from '../../cli/host/node_files.ts';
import { openCache } from '../../cli/session/cache.ts';
import type { Key } from '../../cli/warm/entry.ts';
import { brokerKey } from '../../cli/warm/paths.ts';
import { buildBundles } from '../../scripts/bundle.ts';
import { run } from '../../scripts/run.ts';
import { fromMilliseconds, plus, seconds } from '../../shared/time.ts';
import { NO_TERMINAL } from '../cli/host.ts';
import type { Bench } from './figure.ts';
import { type Command, compare } from './pairs.ts';

const PAIRS = 100;
/** Nobody listens there: what is no cache hit fails. */
export const BROKER = 'https://127.0.0.1:1';
export const EXEC_INFO = JSON.stringify({
  apiVersion: 'client.authentication.k8s.io/v1',
  kind: 'ExecCredential',
  spec: { interactive: false },
});

export const getTokenWarm: Bench = {
  figures: [
    {
      name: 'get_token.warm_vs_node',
      unit: 'ratio',
      aim: { at_most: 1.15 },
      says: 'get-token with a cached token, whole process, against `node -e 0`',
    },
    {
      name: 'get_token.warm_modules',
      unit: 'modules',
      aim: { at_most: 1 },
      says: 'modules that it asks for (node:fs)',
    },
  ],
  async run({ folder: parent, quick, log }) {
    const folder = await mkdtemp(path.join(parent, 'get-token-'));
    const { cli } = await buildBundles();
    const env = { PATH: process.env.PATH ?? '', HOME: folder, CURFEW_CACHE_DIR: path.join(folder, 'cache') };
    writeCacheEntry({ broker: brokerKey(BROKER), cluster: 'dev' }, env);
    const args = [cli, 'get-token', '--broker', BROKER, '--cluster', 'dev'];
    const warm: Command = { command: process.execPath, args, env: { ...env, KUBERNETES_EXEC_INFO: EXEC_INFO } };
    const bare: Command = { command: process.execPath, args: ['-e', '0'], env: warm.env };
    const modules = await modulesOf(warm, path.join(folder, 'modules.json'));
    log(`get-token loads ${modules.join(' ')}`);
    const name = ['warm get-token', 'node -e 0'] as const;
    return {
      'get_token.warm_vs_node': await compare(warm, bare, { pairs: quick ? 3 : PAIRS, name, log }),
      'get_token.warm_modules': modules.length,
    };
  },
};

/**
 * As the plugin writes it after a renewal.
 *
 * @param age seconds ago
 */
export function writeCacheEntry(key: Key, env: Readonly<Record<string, string>>, age = 0): void {
  const now = seconds(fromMilliseconds(Date.now()) - age);
  const host = {
    env,
    now: () => now,
    random: randomBytes,
    uid: process.geteuid?.(),
    administrators: { folder: '/nowhere', uid: 0 },
    files: nodeFiles,
    parent: process.ppid,
    interactive: false,
    terminal: () => 'none' as const,
    abandoned: () => false,
    platform: process.platform,
    arch: process.arch,
  };
  const outputs = { ...NO_TERMINAL, node: process.execPath, bundles: '', print: () => undefined, say: failOn };
  const limits = { max_age: seconds(43_200), inactivity_timeout: seconds(1800), token_ttl: seconds(300) };
  const [sid, username] = [randomBytes(16).toString('base64url'), 'curfew:alice@example.com'];
  const groups = ['dev', 'sre', 'on-call', 'payments-readers', 'vpn-users'].map((group) => `curfew:${group}`);
  const session = {
    ...{
      sid,
      username,
      groups,
      auth_time: now,
      session_end: plus(now, 1800 as never),
      end_at_most: plus(now, limits.max_age),
    },
    ...{ limits: { session: limits, target: limits }, broker_time: now },
  };
  const signing = {
    kid: randomBytes(32).toString('base64url'),
    key: generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey,
  };
  const times = { iat: now, nbf: now, exp: plus(now, limits.token_ttl), auth_time: now };
  const facts = { iss: BROKER, aud: 'dev', sub: 'alice', username, groups, sid, jti: sid };
  const token = signToken({ signing }, { ...facts, ...times });
  openCache({ ...host, ...outputs }).write({ ...key, minted_local: now, session, token, expires_in: limits.token_ttl });
}

function failOn(line: string): never {
  throw new Error(line);
}

/** What the program asks for, apart from itself. */
async function modulesOf({ command, args, env }: Command, file: string): Promise<string[]> {
  const hook = pathToFileURL(path.join(import.meta.dirname, 'record_modules.ts')).href;
  const recording = { ...env, RECORD_MODULES: file };
  const { code, stderr } = await run(command, ['--import', hook, ...args], { env: recording });
  if (code !== 0) throw new Error(`get-token ended with ${code}: ${stderr}`);
  const asked = JSON.parse(await readFile(file, 'utf8')) as string[];
  return [...new Set(asked)].filter((name) => !name.endsWith(path.basename(args[0] ?? '')));
}
