// What targets and their gateway name on disk: read, and made to the settings that they are.

import { formatPath } from '../../serving/config/faults.ts';
import { readCa, readSecret, readSecretText, type Surroundings, sayOpen } from '../../serving/config/named_files.ts';
import { CurfewError } from '../../shared/errors.ts';
import { type DatabaseAddress, parseDatabaseAddress } from './database_address.ts';
import type { Sections } from './schema.ts';
import { audienceOf } from './target_consistency.ts';
import type { TargetGateway, TargetSettings } from './target_settings.ts';

type Section = NonNullable<Sections['targets']>[number];

export async function readTargetGateway(
  section: Sections['target_gateway'],
  around: Surroundings,
  faults: string[],
): Promise<TargetGateway | undefined> {
  if (!section) return undefined;
  const { public_url: url, ca_file, token_file, source_addresses } = section;
  const ca = await readCa('target_gateway.ca_file', ca_file, around, faults);
  const token = await readSecret('target_gateway.token_file', token_file, around, faults);
  return token && { url, ca, token, source_addresses };
}

/** @returns those that are whole: what is missing or wrong with others is said, here or by the rules between settings */
export async function readTargets(
  sections: readonly Section[],
  around: Surroundings,
  faults: string[],
): Promise<readonly TargetSettings[]> {
  const read = await Promise.all(sections.map((section, i) => readTarget(section, i, around, faults)));
  return read.filter((target) => target !== undefined);
}

async function readTarget(
  section: Section,
  i: number,
  around: Surroundings,
  faults: string[],
): Promise<TargetSettings | undefined> {
  const { name, address, allowed_groups, kind, host_key, accounts, permit, databases } = section;
  const common = { name, audience: audienceOf(section), address, allowed_groups };
  switch (kind) {
    case 'ssh':
      if (host_key === undefined || !accounts) return undefined;
      return { ...common, kind, host_key, accounts, permit: permit ?? ['pty'] };
    case 'postgres': {
      const ca = await readCa(formatPath(['targets', i, 'ca_file']), section.ca_file, around, faults);
      const admin = await readAdmin(formatPath(['targets', i, 'admin_url_file']), section, around, faults);
      return admin && accounts && databases && { ...common, kind, admin, ca, databases, accounts };
    }
    case 'tcp':
      return { ...common, kind };
  }
}

async function readAdmin(
  setting: string,
  { admin_url_file: file }: Section,
  around: Surroundings,
  faults: string[],
): Promise<DatabaseAddress | undefined> {
  if (file === undefined) return undefined;
  // The URL itself may have been written where its file belongs: it must not come back in the error.
  if (file.includes('://')) {
    faults.push(`${setting}: expected the path of a file, not the URL itself`);
    return undefined;
  }
  const found = await readSecretText(setting, file, around, faults);
  if (!found) return undefined;
  sayOpen(setting, file, found, faults);
  try {
    return parseDatabaseAddress(found.text, setting);
  } catch (error) {
    faults.push(error instanceof CurfewError ? error.message : `${setting}: cannot be used`);
    return undefined;
  }
}
