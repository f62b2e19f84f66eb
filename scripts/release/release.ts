// What a release is, from the bundles to the checksums. Everything goes into one folder, and nothing leaves this machine.

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { buildBundles } from '../bundle.ts';
import { buildNative } from '../native/build.ts';
import { TARGETS } from '../native/targets.ts';
import { manifestOf, sbomOf } from '../supply/programs.ts';
import { writeArchive } from './archive.ts';
import { writeDebianPackage } from './debian.ts';
import { helpOf } from './help.ts';
import { archiveLayout, writeImage } from './image.ts';
import { writeKrewManifest } from './krew.ts';
import { manualPage } from './man.ts';
import { type NodeRuntime, nodeRuntime } from './node_runtime.ts';
import { nativePackages, pack, programPackage, runtimePackage } from './npm.ts';
import { sign, writeSums } from './sums.ts';
import { OURS, SYSTEMS, type System } from './systems.ts';
import { PROGRAM_NAMES, PROGRAMS, type ProgramName, writeTree } from './tree.ts';

/** What can be made without the rest. Checksums are always of all that was made. */
export const PARTS = ['npm', 'archive', 'debian', 'image', 'krew', 'sbom'] as const;
export type Part = (typeof PARTS)[number];

export interface ReleaseOptions {
  /** Is made, and must not be there. */
  readonly out: string;
  readonly version: string;
  /** The time of everything that is released: of its commit. */
  readonly epochSeconds: number;
  /** The folder that the files will be fetched from, as the krew manifest names it. */
  readonly from: string;
  /** What SHA256SUMS is signed with; without it, nothing is signed. */
  readonly key?: string | undefined;
  readonly parts?: readonly Part[] | undefined;
  readonly systems?: readonly System[] | undefined;
  readonly log: (line: string) => void;
}

/** For all parts at once. */
interface Made extends ReleaseOptions {
  readonly bundles: Awaited<ReturnType<typeof buildBundles>>;
  readonly systems: readonly System[];
  readonly runtimes: ReadonlyMap<System, NodeRuntime>;
  readonly work: string;
}

export async function release(options: ReleaseOptions): Promise<void> {
  const { out, log, key, parts = PARTS, systems = SYSTEMS } = options;
  await mkdir(path.dirname(out), { recursive: true });
  await mkdir(out);
  const bundles = await buildBundles();
  await buildNative(TARGETS, log);
  const runtimes = new Map<System, NodeRuntime>();
  for (const system of systems) runtimes.set(system, await nodeRuntime(system, log));
  const work = await mkdtemp(path.join(tmpdir(), 'curfew-release-'));
  try {
    for (const part of PARTS.filter((one) => parts.includes(one)))
      await MAKERS[part]({ ...options, bundles, systems, runtimes, work });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  await writeSums(out);
  if (key === undefined) log('SHA256SUMS is unsigned: no key was named (--key)');
  else await sign(out, key);
}

const MAKERS: Readonly<Record<Part, (made: Made) => Promise<void>>> = {
  npm: packages,
  archive: archives,
  debian: debianPackages,
  image,
  krew: ({ out, version, from }) => writeKrewManifest(out, version, from),
  sbom: billsOfMaterials,
};

async function packages({ version, out, work, systems, runtimes, log }: Made): Promise<void> {
  const programs = await Promise.all(PROGRAM_NAMES.map((name) => programPackage(name, version, systems)));
  const own = [...runtimes].map(([system, node]) => runtimePackage(system, node));
  for (const one of [...programs, ...nativePackages(), ...own]) log(`made ${await pack(one, version, work, out)}`);
}

async function archives({ version, out, work, runtimes, epochSeconds, log }: Made): Promise<void> {
  for (const [system, node] of runtimes) {
    const name = `curfew-${version}-${system.name}`;
    const folder = path.join(work, 'archive');
    await writeTree(path.join(folder, name), system, node);
    await writeArchive(folder, path.join(out, `${name}.tar.gz`), epochSeconds);
    await rm(folder, { recursive: true });
    log(`made ${name}.tar.gz`);
  }
}

/** By section of the manual: what people run, and services. */
const SECTIONS = { 'kubectl-curfew': 1, 'curfew-broker': 8, 'curfew-gateway': 8 } as const satisfies Record<
  ProgramName,
  1 | 8
>;

async function debianPackages({ bundles, version, out, work, runtimes, epochSeconds, log }: Made): Promise<void> {
  for (const name of PROGRAM_NAMES) {
    const section = SECTIONS[name];
    const manual = await manualPage(await helpOf(bundles[PROGRAMS[name].workspace], [name]), section, epochSeconds);
    for (const [system, node] of runtimes) {
      const one = { name, system, version, epochSeconds, manual, section, node };
      log(`made ${await writeDebianPackage(one, work, out)}`);
    }
  }
}

async function image({ out, version, work, runtimes, epochSeconds, log }: Made): Promise<void> {
  const node = OURS && runtimes.get(OURS);
  if (!OURS || !node) {
    log('no image: it is made on Debian, of its own architecture');
    return;
  }
  const layout = path.join(work, 'layout');
  const digest = await writeImage(layout, OURS, node, { version, epochSeconds, log });
  await archiveLayout(layout, path.join(out, `curfew-${version}-image-${OURS.debian}.tar`), epochSeconds);
  log(`made the image ${digest}`);
}

async function billsOfMaterials({ out, version, epochSeconds }: Made): Promise<void> {
  for (const name of PROGRAM_NAMES) {
    const { workspace } = PROGRAMS[name];
    if (manifestOf(workspace).version !== version) throw new Error(`${workspace}/package.json is of another version`);
    await writeFile(path.join(out, `${name}-${version}.cdx.json`), sbomOf(workspace, epochSeconds));
  }
}
