// What npm publishes: a package for each program, one with the native program for each system that has one, and a Node.js for those that have
// an older one. Nothing is run when one is installed, and each holds exactly what its manifest names.

import { chmod, copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { nativeProgram } from '../native/build.ts';
import { TARGETS } from '../native/targets.ts';
import { manifestOf } from '../supply/programs.ts';
import { must } from './must.ts';
import type { NodeRuntime } from './node_runtime.ts';
import { NODE_VERSION, type System } from './systems.ts';
import { PROGRAMS, type ProgramName } from './tree.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
const ENGINES = { node: '>=20.18' };

/** A package before it is packed: its manifest but for version, licence and list of files; and its files, by their places in it. */
export interface Package {
  readonly name: string;
  readonly manifest: Readonly<Record<string, unknown>>;
  readonly files: Readonly<Record<string, Source>>;
}

interface Source {
  /** An absolute path, or the text. */
  readonly from: string | { readonly text: string };
  readonly runs?: boolean;
}

export const nativePackage = (target: string) => `kubectl-curfew-${target}`;
export const nodePackage = (system: string) => `curfew-node-${system}`;

/** With the keychain library of every system that the native program is for. */
export async function programPackage(name: ProgramName, version: string, systems: readonly System[]): Promise<Package> {
  const { workspace, more } = PROGRAMS[name];
  const dist = path.join(ROOT, workspace, 'dist');
  const front = await readFile(path.join(import.meta.dirname, 'front.cjs'), 'utf8');
  const { description } = manifestOf(workspace);
  const plugin = name === 'kubectl-curfew';
  const libraries = plugin ? TARGETS.map((target) => `prebuilds/${target.name}/keytar.node`) : [];
  const optional = [
    ...(plugin ? TARGETS.map((target) => nativePackage(target.name)) : []),
    ...systems.map((system) => nodePackage(system.name)),
  ];
  return {
    name,
    manifest: {
      description,
      bin: { [name]: `bin/${name}.cjs` },
      engines: ENGINES,
      optionalDependencies: Object.fromEntries(optional.map((one) => [one, version])),
    },
    files: {
      [`bin/${name}.cjs`]: { from: { text: front.replace('PROGRAM', name) }, runs: true },
      ...Object.fromEntries(
        [`${name}.cjs`, ...more, ...libraries, 'THIRD_PARTY_LICENSES'].map((file) => [
          `dist/${file}`,
          { from: path.join(dist, file) },
        ]),
      ),
    },
  };
}

export function nativePackages(): Package[] {
  return TARGETS.map((target) => {
    const [os = '', cpu = ''] = target.name.split('-');
    const program = nativeProgram(target);
    return {
      name: nativePackage(target.name),
      // It needs no library, whichever the system has.
      manifest: { description: `kubectl-curfew's native program for ${target.name}`, os: [os], cpu: [cpu] },
      files: {
        [path.basename(program)]: { from: program, runs: true },
        THIRD_PARTY_LICENSES: { from: path.join(ROOT, 'cli/dist/native/THIRD_PARTY_LICENSES') },
      },
    };
  });
}

export function runtimePackage(system: System, node: NodeRuntime): Package {
  const [os = '', cpu = ''] = system.name.split('-');
  return {
    name: nodePackage(system.name),
    manifest: {
      description: `Node.js ${NODE_VERSION} without symbols, for curfew where an older one is installed`,
      ...{ os: [os], cpu: [cpu], libc: ['glibc'] },
    },
    files: { node: { from: node.program, runs: true }, 'NODE-LICENSE': { from: node.licence } },
  };
}

/** @param work a folder for what is packed @param out where the tarball goes @returns its name */
export async function pack(one: Package, version: string, work: string, out: string): Promise<string> {
  const folder = path.join(work, one.name);
  const files = { ...one.files, LICENSE: { from: path.join(ROOT, 'LICENSE') } };
  for (const [place, { from, runs }] of Object.entries<Source>(files)) {
    const to = path.join(folder, place);
    await mkdir(path.dirname(to), { recursive: true });
    if (typeof from === 'string') await copyFile(from, to);
    else await writeFile(to, from.text);
    await chmod(to, runs ? 0o755 : 0o644);
  }
  const { name, manifest } = one;
  const whole = { name, version, license: 'Apache-2.0', ...manifest, files: Object.keys(files).sort() };
  const file = path.join(folder, 'package.json');
  await writeFile(file, `${JSON.stringify(whole, undefined, 2)}\n`);
  await chmod(file, 0o644);
  // Its times are npm's own, the same for all packages.
  await must('npm', ['pack', '--ignore-scripts', '--silent', '--pack-destination', out], { cwd: folder });
  await rm(folder, { recursive: true });
  return `${name}-${version}.tgz`;
}
