// The three programs that are shipped, by their workspaces: what each holds of others, and its bill of materials. Their bundles must
// have been built. Run directly, it writes the bills into a folder: npm run sbom -- FOLDER

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { buildBundles } from '../bundle.ts';
import { packagesAt } from './contents.ts';
import { type LockedPackage, readLock } from './lock_file.ts';
import { nativeParts } from './native_parts.ts';
import { sbom } from './sbom.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');

export const WORKSPACES = ['cli', 'broker', 'gateway'] as const;
export type Workspace = (typeof WORKSPACES)[number];

export function lockOf(root: string = ROOT): ReadonlyMap<string, LockedPackage> {
  return readLock(readFileSync(path.join(root, 'package-lock.json'), 'utf8'));
}

/** The packages that the program's bundles hold, as the build wrote them down. */
export function heldBy(workspace: Workspace): LockedPackage[] {
  const places = JSON.parse(readFileSync(path.join(ROOT, workspace, 'dist/.contents.json'), 'utf8')) as string[];
  return packagesAt(lockOf(), places);
}

/** @param epochSeconds SOURCE_DATE_EPOCH; without it the document names no time */
export function sbomOf(workspace: Workspace, epochSeconds?: number): string {
  const manifest = manifestOf(workspace);
  // What is in `serving` and `shared` is in the programs: their packages are loaded by the program itself.
  const names = [workspace, 'serving', 'shared'].flatMap((folder) => Object.keys(manifestOf(folder).devDependencies));
  const { name, version, license } = manifest;
  return sbom(
    { name, version, licence: license, workspace, dependencies: [...new Set(names)] },
    heldBy(workspace),
    lockOf(),
    {
      ...(epochSeconds === undefined ? {} : { epochSeconds }),
      others: workspace === 'cli' ? nativeParts() : [],
    },
  );
}

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly license: string;
  readonly description: string;
  readonly devDependencies: Readonly<Record<string, string>>;
}

export function manifestOf(workspace: string): Manifest {
  const manifest = JSON.parse(readFileSync(path.join(ROOT, workspace, 'package.json'), 'utf8')) as Manifest;
  return { ...manifest, devDependencies: manifest.devDependencies ?? {} };
}

/** @throws Error for an epoch that is not a number of seconds */
export function epochOf(text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined;
  if (!/^\d{1,12}$/.test(text)) throw new Error(`SOURCE_DATE_EPOCH: expected seconds since 1970, got "${text}"`);
  return Number(text);
}

if (import.meta.main) {
  const [folder] = process.argv.slice(2);
  if (folder === undefined) throw new Error('usage: npm run sbom -- FOLDER');
  await buildBundles();
  mkdirSync(folder, { recursive: true });
  for (const workspace of WORKSPACES) {
    const file = path.join(folder, `${manifestOf(workspace).name}.cdx.json`);
    writeFileSync(file, sbomOf(workspace, epochOf(process.env.SOURCE_DATE_EPOCH)));
    console.log(file);
  }
}
