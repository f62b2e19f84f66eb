// What a program's bundles really hold of the packages of others, as the bundler says it.

import type { Metafile } from 'esbuild';
import type { LockedPackage } from './lock_file.ts';

const PLACE = /^(.*\bnode_modules\/(?:@[^/]+\/)?[^/]+)\//;

/** What is shipped beside the bundles of a program, and is in no metafile: keytar's binaries hold the code of node-addon-api. */
export const BESIDE: Readonly<Record<string, readonly string[]>> = {
  cli: ['node_modules/keytar', 'node_modules/node-addon-api'],
};

/** The places of packages of which at least one byte is in what was written. */
export function placesIn({ outputs }: Metafile): string[] {
  const inputs = Object.values(outputs).flatMap((output) => Object.entries(output.inputs));
  const held = inputs.flatMap(([file, { bytesInOutput }]) => (bytesInOutput > 0 ? (PLACE.exec(file)?.[1] ?? []) : []));
  return [...new Set(held)].sort();
}

/** @throws Error for a place that the lock file does not know: nobody could say what is shipped */
export function packagesAt(packages: ReadonlyMap<string, LockedPackage>, places: Iterable<string>): LockedPackage[] {
  return [...new Set(places)].sort().map((place) => {
    const found = packages.get(place);
    if (!found) throw new Error(`${place} is in a bundle, and not in package-lock.json`);
    return found;
  });
}
