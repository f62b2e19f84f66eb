// THIRD_PARTY_LICENSES: what a program holds of others, with the texts of their licences, as these licences ask.

import { licenceFaults, licenceTexts, SHIPPED } from './licences.ts';
import type { LockedPackage } from './lock_file.ts';

export interface Part {
  readonly name: string;
  readonly version: string;
  readonly licence: string;
  readonly texts: readonly string[];
}

/** @throws Error that names each package that must not be shipped, or whose text is missing */
export function thirdPartyLicenses(root: string, program: string, packages: readonly LockedPackage[]): string {
  const faults = licenceFaults(packages, SHIPPED);
  if (faults.length > 0) throw new Error(`${program} cannot be shipped:\n${faults.join('\n')}`);
  const parts = packages.map((one) => ({ ...one, licence: one.licence ?? '', texts: licenceTexts(root, one) }));
  return printParts(program, parts);
}

export function printParts(program: string, parts: readonly Part[]): string {
  const rule = '-'.repeat(80);
  const sections = parts.map(
    ({ name, version, licence, texts }) =>
      `${rule}\n${version === '' ? name : `${name} ${version}`} (${licence})\n${rule}\n\n${texts.join('\n\n')}\n`,
  );
  return `${program} holds code of the following projects, under the licences below.\n\n${sections.join('\n')}`;
}
