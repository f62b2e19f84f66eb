// The tree that archive, Debian packages and images hold: launchers in bin/, one Node.js and the bundles in lib/curfew, texts of licences.
// It can be anywhere: nothing in it names an absolute path.

import { chmod, copyFile, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { nativeProgram } from '../native/build.ts';
import type { NodeRuntime } from './node_runtime.ts';
import { nativeTargetOf, type System } from './systems.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');

interface Program {
  readonly workspace: string;
  /** Beside the launcher's own bundle. */
  readonly more: readonly string[];
}

export const PROGRAMS = {
  'kubectl-curfew': { workspace: 'cli', more: ['full.cjs', 'keychain.cjs', 'websocket.cjs'] },
  'curfew-broker': { workspace: 'broker', more: [] },
  'curfew-gateway': { workspace: 'gateway', more: [] },
} as const satisfies Readonly<Record<string, Program>>;

export type ProgramName = keyof typeof PROGRAMS;
export const PROGRAM_NAMES = Object.keys(PROGRAMS) as readonly ProgramName[];

/** Of programs and folders, and of what is read only. Nothing depends on the umask of whoever builds. */
const [RUNS, READ] = [0o755, 0o644];

/**
 * Writes the tree. Bundles and native programs have been built.
 *
 * @param folder is made
 */
export async function writeTree(
  folder: string,
  system: System,
  node: NodeRuntime,
  programs: readonly ProgramName[] = PROGRAM_NAMES,
): Promise<void> {
  const [bin, lib] = [path.join(folder, 'bin'), path.join(folder, 'lib/curfew')];
  for (const made of [bin, lib]) await mkdir(made, { recursive: true });
  await put(node.program, path.join(lib, 'node'), RUNS);
  await put(node.licence, path.join(folder, 'NODE-LICENSE'), READ);
  await put(path.join(ROOT, 'LICENSE'), path.join(folder, 'LICENSE'), READ);
  for (const name of programs) {
    const { workspace, more } = PROGRAMS[name];
    for (const file of [`${name}.cjs`, ...more])
      await put(path.join(ROOT, workspace, 'dist', file), path.join(lib, file), READ);
    await put(path.join(ROOT, workspace, 'dist/THIRD_PARTY_LICENSES'), path.join(folder, `THIRD-PARTY-${name}`), READ);
    if (name === 'kubectl-curfew') {
      await putPlugin(bin, lib, system);
      await put(NATIVE_LICENCES, path.join(folder, 'THIRD-PARTY-native'), READ);
    } else await put(launcherOf(name), path.join(bin, name), RUNS);
  }
}

const NATIVE_LICENCES = path.join(ROOT, 'cli/dist/native/THIRD_PARTY_LICENSES');

/** The native program in front, and once more where `setup` takes it from; the keychain library of this system. */
async function putPlugin(bin: string, lib: string, system: System): Promise<void> {
  const native = nativeProgram(nativeTargetOf(system));
  await put(native, path.join(bin, 'kubectl-curfew'), RUNS);
  // Relative to the native program's own folder (cli/native/shell.c).
  const beside = './../lib/curfew/node\n./../lib/curfew/kubectl-curfew.cjs\n';
  await put({ text: beside }, path.join(bin, 'kubectl-curfew.full'), READ);
  await put(native, path.join(lib, 'native', system.name, 'kubectl-curfew'), RUNS);
  const library = path.join('prebuilds', system.name, 'keytar.node');
  await put(path.join(ROOT, 'cli/dist', library), path.join(lib, library), READ);
}

/** Whoever starts a service chose its environment: with NODE_OPTIONS more would be run than this. */
function launcherOf(name: ProgramName): { readonly text: string } {
  return {
    text: `#!/bin/sh
unset NODE_OPTIONS NODE_PATH
lib=$(dirname -- "$(readlink -f -- "$0")")/../lib/curfew
exec "$lib/node" "$lib/${name}.cjs" "$@"
`,
  };
}

async function put(from: string | { readonly text: string }, to: string, mode: number): Promise<void> {
  await mkdir(path.dirname(to), { recursive: true });
  if (typeof from === 'string') await copyFile(from, to);
  else await writeFile(to, from.text);
  await chmod(to, mode);
}
