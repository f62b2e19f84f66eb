// The lock file as a value: each package that can be installed, with its place, digest and licence. Reads nothing but the text.

import path from 'node:path';

export interface LockedPackage {
  /** Where it is installed, from the root: `node_modules/ajv/node_modules/fast-uri`. */
  readonly place: string;
  readonly name: string;
  readonly version: string;
  /** Digest of its archive, as subresource integrity says it. */
  readonly integrity: string | undefined;
  /** The licence that its manifest names. */
  readonly licence: string | undefined;
  /** Not installed on machines that it is not for. */
  readonly optional: boolean;
  readonly hasInstallScript: boolean;
  /** Names that it loads itself; where they are is a matter of `resolve`. */
  readonly dependencies: readonly string[];
  /** Names that it loads only where somebody else has brought them. */
  readonly optionalPeers: readonly string[];
}

interface Entry {
  readonly name?: string;
  readonly version?: string;
  readonly integrity?: string;
  readonly license?: string;
  readonly link?: boolean;
  readonly optional?: boolean;
  readonly hasInstallScript?: boolean;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
  readonly peerDependenciesMeta?: Readonly<Record<string, { readonly optional?: boolean }>>;
}

/** The packages of others, by place; our own workspaces are not among them. */
export function readLock(text: string): ReadonlyMap<string, LockedPackage> {
  const { packages } = JSON.parse(text) as { readonly packages: Readonly<Record<string, Entry>> };
  const foreign = Object.entries(packages).filter(
    ([place, entry]) => /(^|\/)node_modules\//.test(place) && !entry.link,
  );
  return new Map(foreign.map(([place, entry]) => [place, lockedPackage(place, entry)]));
}

function lockedPackage(place: string, entry: Entry): LockedPackage {
  if (entry.version === undefined) throw new Error(`package-lock.json: ${place} has no version`);
  const { dependencies, optionalDependencies, peerDependencies, peerDependenciesMeta = {} } = entry;
  const isOptionalPeer = (peer: string) => peerDependenciesMeta[peer]?.optional === true;
  const peers = Object.keys(peerDependencies ?? {});
  return {
    place,
    // Its own name, where it is installed under another.
    name: entry.name ?? place.slice(place.lastIndexOf('node_modules/') + 'node_modules/'.length),
    version: entry.version,
    integrity: entry.integrity,
    licence: entry.license,
    optional: entry.optional === true,
    hasInstallScript: entry.hasInstallScript === true,
    dependencies: [
      ...Object.keys({ ...dependencies, ...optionalDependencies }),
      ...peers.filter((peer) => !isOptionalPeer(peer)),
    ],
    optionalPeers: peers.filter(isOptionalPeer),
  };
}

/** What Node.js would load as `name` for what is at `place`; undefined where nothing is installed. */
export function resolve(
  packages: ReadonlyMap<string, LockedPackage>,
  place: string,
  name: string,
): LockedPackage | undefined {
  for (let folder = place; ; folder = path.posix.dirname(folder)) {
    const found = packages.get(path.posix.join(folder, 'node_modules', name));
    if (found || folder === '.') return found;
  }
}
