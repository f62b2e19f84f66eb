// What must be so before something is released: it is what was committed and tagged, and says everywhere which version it is.

import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { run } from '../run.ts';

export interface Checkout {
  readonly root: string;
  readonly key: string | undefined;
}

const MANIFESTS = ['package.json', 'cli/package.json', 'broker/package.json', 'gateway/package.json'] as const;

/** @returns what is in the way, in words; empty if nothing is */
export async function faultsOf({ root, key }: Checkout): Promise<string[]> {
  const read = (file: string) => readFileSync(path.join(root, file), 'utf8');
  const versionIn = (file: string) => (JSON.parse(read(file)) as { version: string }).version;
  const version = versionIn('package.json');
  const said = new Map<string, string | undefined>(MANIFESTS.map((file) => [file, versionIn(file)]));
  said.set('cli/warm/version.ts', /VERSION = '([^']+)'/.exec(read('cli/warm/version.ts'))?.[1]);
  said.set('CHANGELOG.md', /^## (\S+)/m.exec(read('CHANGELOG.md'))?.[1]);
  const faults = [...said].flatMap(([file, one]) =>
    one === version ? [] : [`${file} is of version ${one}, not ${version}`],
  );
  const changes = await git(root, 'status', '--porcelain');
  if (changes !== '') faults.push(`the checkout has changes that are not committed: ${changes.split('\n').length}`);
  const tags = (await git(root, 'tag', '--points-at', 'HEAD')).split('\n');
  if (!tags.includes(`v${version}`)) faults.push(`the commit does not have the tag v${version}`);
  if (key === undefined) faults.push('no key is named that signs it (--key)');
  else if (!existsSync(key)) faults.push(`there is no key ${key}`);
  return faults;
}

async function git(root: string, ...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await run('git', args, { cwd: root });
  if (code !== 0) throw new Error(`git ${args[0]}: ${stderr.trim()}`);
  return stdout.trim();
}
