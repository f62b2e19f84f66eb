// What a release is, from the bundles to the checksums. Everything goes into one folder, and nothing leaves this machine.

import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { buildBundles } from '../bundle.ts';
import { buildNative } from '../native/build.ts';
import { writeArchive } from './archive.ts';
import { archiveLayout, writeImage } from './image.ts';
import { nodeRuntime } from './node_runtime.ts';
import { nativeTargetOf, OURS, SYSTEMS, type System } from './systems.ts';
import { writeTree } from './tree.ts';

export interface ReleaseOptions {
  /** Is made, and must not be there. */
  readonly out: string;
  readonly version: string;
  /** The time of everything that is released: of its commit. */
  readonly epochSeconds: number;
  readonly log: (line: string) => void;
}

export async function release(options: ReleaseOptions): Promise<void> {
  const { out, log } = options;
  await mkdir(path.dirname(out), { recursive: true });
  await mkdir(out);
  await buildBundles();
  await buildNative(SYSTEMS.map(nativeTargetOf), log);
  for (const system of SYSTEMS) {
    log(`the archive for ${system.name}`);
    await archive(system, options);
  }
  if (OURS) await image(OURS, options);
  else log('no image: it is made on Debian, of its own architecture');
}

async function image(system: System, { out, version, epochSeconds, log }: ReleaseOptions): Promise<void> {
  log(`the image for ${system.debian}`);
  const folder = await mkdtemp(path.join(tmpdir(), 'curfew-release-'));
  try {
    const layout = path.join(folder, 'layout');
    const digest = await writeImage(layout, system, await nodeRuntime(system, log), { version, epochSeconds, log });
    await archiveLayout(layout, path.join(out, `curfew-${version}-image-${system.debian}.tar`), epochSeconds);
    log(`the image is ${digest}`);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function archive(system: System, { out, version, epochSeconds, log }: ReleaseOptions): Promise<void> {
  const folder = await mkdtemp(path.join(tmpdir(), 'curfew-release-'));
  try {
    const name = `curfew-${version}-${system.name}`;
    await writeTree(path.join(folder, name), system, await nodeRuntime(system, log));
    await writeArchive(folder, path.join(out, `${name}.tar.gz`), epochSeconds);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
