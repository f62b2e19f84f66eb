// The Node.js of the trees: from the package of its project's builds, by its digest, without the symbols that only a debugger reads.
// Fetched once into the cache outside the checkout.

import { createHash } from 'node:crypto';
import { readFile, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { fetchOnce } from '../fetch_once.ts';
import { must } from './must.ts';
import { NODE_VERSION, type System } from './systems.ts';

export interface NodeRuntime {
  readonly program: string;
  readonly licence: string;
  /** What took the symbols away, with its version: another one may leave other bytes. */
  readonly stripped_by: string;
}

type Log = (line: string) => void;

/** One version of it for one system. */
export interface NodeBuild {
  readonly version: string;
  readonly name: string;
  /** As subresource integrity. */
  readonly integrity: string;
}

/** That of the trees. @throws Error that says what is missing, or that what was fetched is not what is pinned */
export function nodeRuntime({ name, node_integrity: integrity }: System, log: Log): Promise<NodeRuntime> {
  return nodeBuild({ version: NODE_VERSION, name, integrity }, log);
}

export async function nodeBuild(build: NodeBuild, log: Log): Promise<NodeRuntime> {
  const { version, name, integrity } = build;
  const stripped_by = await stripVersion();
  const pins = createHash('sha256').update(`${integrity} ${stripped_by}`).digest('hex').slice(0, 12);
  const folder = await fetchOnce(
    {
      name: `node-${version}-${name}-${pins}`,
      what: `Node.js for ${name}`,
      says: `fetching Node.js ${version} for ${name}, once: 50 MB`,
      fill: (unfinished) => fetchInto(unfinished, build),
    },
    log,
  );
  return { program: path.join(folder, 'node'), licence: path.join(folder, 'LICENSE'), stripped_by };
}

async function fetchInto(folder: string, { version, name, integrity }: NodeBuild): Promise<void> {
  const wanted = `node-${name}@${version}`;
  // From an empty folder: the settings of a checkout around it are not asked.
  await must('npm', ['pack', wanted, '--pack-destination', folder, '--silent'], { cwd: folder, timeout: 900_000 });
  const archive = path.join(folder, `node-${name}-${version}.tgz`);
  const digest = createHash('sha512').update(await readFile(archive));
  if (`sha512-${digest.digest('base64')}` !== integrity) throw new Error(`${wanted} is not what is pinned`);
  const members = ['package/bin/node', 'package/LICENSE'];
  await must('tar', ['-xzf', archive, '-C', folder, '--no-same-owner', ...members]);
  await must('llvm-strip', ['-o', path.join(folder, 'node'), path.join(folder, 'package/bin/node')]);
  await rename(path.join(folder, 'package/LICENSE'), path.join(folder, 'LICENSE'));
  await rm(archive);
  await rm(path.join(folder, 'package'), { recursive: true });
}

/** One that knows every architecture, not this machine's alone. */
async function stripVersion(): Promise<string> {
  const said = await must('llvm-strip', ['--version']).catch(() => {
    throw new Error('llvm-strip is missing (Debian: llvm): it takes the symbols from Node.js');
  });
  return `llvm-strip ${/version (\S+)/.exec(said)?.[1] ?? 'of an unknown version'}`;
}
