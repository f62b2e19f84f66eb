// `curfew-broker print sshd-config`: what a target's host is to have. What is printed counts as being on its way there, so it is noted.

import { CurfewError } from '../../shared/errors.ts';
import type { Config } from '../config/settings.ts';
import { strictestAccess, targetNamed } from '../config/targets.ts';
import { CA_FILE, type PrintedFile, sshdFiles } from '../layers/sshd_config.ts';
import { CA_KEYS, requireCaKeys } from '../ssh/ca_keys.ts';
import { caOf, keysInPrint, notePrinted } from '../ssh/ca_rotation.ts';
import { placesOf } from '../ssh/places.ts';
import { administer, requireTime } from './administration.ts';
import type { Around } from './keys.ts';

/**
 * @param file one of them alone, by its path on the host
 * @returns the files, each below its path; or the text of one
 * @throws CurfewError `usage` where there is no such target or file, `configuration` where it is not an SSH server
 */
export async function printSshdConfig(
  config: Config,
  { target: name, file }: { readonly target: string; readonly file?: string | undefined },
  { now, by }: Pick<Around, 'now' | 'by'>,
): Promise<string> {
  const target = targetNamed(config, name);
  const { target_gateway: gateway } = config;
  if (target.kind !== 'ssh' || !gateway)
    throw new CurfewError('configuration', `the target ${name} is of kind ${target.kind} in ${config.file}`, {
      hint: 'sshd-config is for targets of kind ssh',
    });
  const { encryption } = caOf(config);
  const filesBy = (ca_keys: readonly string[]) =>
    sshdFiles({
      target: name,
      accounts: [...new Set(target.accounts.map(({ account }) => account))],
      permit: target.permit,
      source_addresses: placesOf(gateway.source_addresses),
      ca_keys,
      inactivity_timeout: strictestAccess(config, target).target.inactivity_timeout,
    });
  requireFile(filesBy([]), file);
  const keys = await administer(config, async (store) => {
    await requireTime(store, now());
    return store.transaction(async (transaction) => {
      await transaction.hold([CA_KEYS]);
      const at = now();
      const all = await requireCaKeys(transaction, encryption, at);
      const wanted = keysInPrint(all, name, at);
      if (file === undefined || file === CA_FILE) await notePrinted(transaction, wanted, name, at, { by });
      return wanted.map(({ public_key }) => public_key);
    });
  });
  const files = filesBy(keys);
  if (file !== undefined) return files.find(({ path }) => path === file)?.text ?? '';
  return files.map(({ path, text }) => `## ${path}\n${text}`).join('\n');
}

function requireFile(files: readonly PrintedFile[], wanted: string | undefined): void {
  if (wanted === undefined || files.some(({ path }) => path === wanted)) return;
  throw new CurfewError('usage', `there is no file ${JSON.stringify(wanted)} among what is printed`, {
    hint: `one of ${files.map(({ path }) => path).join(', ')}`,
  });
}
