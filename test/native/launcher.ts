// The two programs that kubectl may run, for tests that hold both to the same: Node.js with the bundle, and the native one.

import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { buildBundles } from '../../scripts/bundle.ts';
import { buildNative, nativeProgram, OURS } from '../../scripts/native/build.ts';
import type { Target } from '../../scripts/native/targets.ts';

/** The two programs that kubectl may run: the native one hands over to the other what it does not answer. */
export const PROGRAMS = ['native', 'Node.js'] as const;

export interface Program {
  /** `Node.js`, or `native` and what it is linked against. */
  readonly name: string;
  /** Its words before the arguments. */
  readonly command: readonly [string, ...string[]];
}

export async function nodeProgram(): Promise<Program> {
  const { cli } = await buildBundles();
  return { name: 'Node.js', command: [process.execPath, cli] };
}

/**
 * The native program for tests under a wrong clock: libfaketime is a library, and what is shipped for Linux loads none.
 * The same source, bytecode and engine against glibc; never shipped.
 */
export const BENDABLE: Target = {
  name: 'linux-x64-glibc',
  triple: 'x86_64-linux-gnu.2.17',
  tested: true,
  folder: 'test/native/dist',
};

/** Where the tests' own clock is bent, that of the programs which they start is to be as well. */
const DEFAULT = process.env.FAKETIME === undefined ? OURS[0] : BENDABLE;

/** The native program of this machine as `setup` installs it, in a folder. */
export async function installNative(folder: string, target: Target | undefined = DEFAULT): Promise<Program> {
  if (!target) throw new Error(`there is no native program for ${process.platform}-${process.arch}`);
  const { cli } = await buildBundles();
  await buildNative([target]);
  await mkdir(folder, { recursive: true });
  const file = path.join(folder, 'kubectl-curfew');
  await copyFile(nativeProgram(target), file);
  await writeFile(`${file}.full`, `${process.execPath}\n${cli}\n`);
  return { name: `native (${target.name})`, command: [file] };
}
