// The bill of materials of a program, CycloneDX 1.6: what its bundles hold, each with digest, licence and what loads it. The same
// contents give the same bytes: no random serial number, no clock.

import { Enums, Models, Serialize, Spec } from '@cyclonedx/cyclonedx-library';
import { isSupportedSpdxId } from '@cyclonedx/cyclonedx-library/SPDX';
import { type LockedPackage, resolve } from './lock_file.ts';

/** What is not of npm: parts of the native program. */
export interface OtherPart {
  readonly name: string;
  readonly version?: string;
  readonly licence: string;
}

export interface Program {
  readonly name: string;
  readonly version: string;
  readonly licence: string;
  /** The folder of its workspace. */
  readonly workspace: string;
  /** The names of packages that it loads itself. */
  readonly dependencies: readonly string[];
}

/**
 * @param held the packages that its bundles hold
 * @param lock all packages, to find what loads what
 * @param epochSeconds SOURCE_DATE_EPOCH; without it the document names no time
 * @returns JSON
 */
export function sbom(
  program: Program,
  held: readonly LockedPackage[],
  lock: ReadonlyMap<string, LockedPackage>,
  { epochSeconds, others = [] }: { readonly epochSeconds?: number; readonly others?: readonly OtherPart[] } = {},
): string {
  const components = new Map(held.map((one) => [one.place, componentOf(one)]));
  const link = (from: Models.Component, place: string, names: readonly string[]) => {
    for (const name of names) {
      const to = components.get(resolve(lock, place, name)?.place ?? '');
      if (to) from.dependencies.add(to.bomRef);
    }
  };
  for (const one of held) {
    const component = components.get(one.place);
    if (component) link(component, one.place, [...one.dependencies, ...one.optionalPeers]);
  }
  const itself = component(Enums.ComponentType.Application, program);
  link(itself, program.workspace, program.dependencies);
  const bom = new Models.Bom();
  bom.metadata.component = itself;
  bom.metadata.lifecycles.add(Enums.LifecyclePhase.Build);
  if (epochSeconds !== undefined) bom.metadata.timestamp = new Date(epochSeconds * 1000);
  for (const one of components.values()) bom.components.add(one);
  for (const one of others) {
    const part = otherComponent(one);
    bom.components.add(part);
    itself.dependencies.add(part.bomRef);
  }
  const factory = new Serialize.JSON.Normalize.Factory(Spec.Spec1dot6);
  return `${new Serialize.JsonSerializer(factory).serialize(bom, { sortLists: true, space: 2 })}\n`;
}

function componentOf(one: LockedPackage): Models.Component {
  const made = component(Enums.ComponentType.Library, { ...one, licence: one.licence ?? 'NOASSERTION' });
  // The same package at two places is two components.
  made.bomRef.value = one.place;
  for (const [algorithm, digest] of digestsOf(one)) made.hashes.set(algorithm, digest);
  return made;
}

function component(type: Enums.ComponentType, part: Omit<OtherPart, 'version'> & { readonly version: string }) {
  const [group, name] = part.name.startsWith('@') ? part.name.split('/') : [undefined, part.name];
  const made = new Models.Component(type, name ?? part.name, {
    ...(group === undefined ? {} : { group }),
    version: part.version,
    purl: `pkg:npm/${part.name.replace('@', '%40')}@${encodeURIComponent(part.version)}`,
  });
  made.bomRef.value = part.name;
  made.licenses.add(licenseOf(part.licence));
  return made;
}

function otherComponent({ name, version, licence }: OtherPart): Models.Component {
  const made = new Models.Component(Enums.ComponentType.Library, name, version === undefined ? {} : { version });
  made.bomRef.value = `native/${name}`;
  made.licenses.add(licenseOf(licence));
  return made;
}

function licenseOf(expression: string): Models.License {
  return isSupportedSpdxId(expression) ? new Models.SpdxLicense(expression) : new Models.LicenseExpression(expression);
}

/** Of the archive that npm checks it by. @throws Error for one that cannot be named */
function digestsOf({ name, integrity = '' }: LockedPackage): [Enums.HashAlgorithm, string][] {
  const [, digest] = /^sha512-([A-Za-z0-9+/]+=*)$/.exec(integrity) ?? [];
  if (digest === undefined) throw new Error(`${name}: its digest is not a single SHA-512`);
  return [[Enums.HashAlgorithm['SHA-512'], Buffer.from(digest, 'base64').toString('hex')]];
}
