// Files of certificates that are trusted beside the system's, and what tells them from others.

import { createHash } from 'node:crypto';
import { CurfewError } from '../../shared/errors.ts';
import { nodeFiles } from '../host/node_files.ts';

/** Many times all roots of a system. */
const LARGEST_BYTES = 4 * 1024 * 1024;

/** @returns each as PEM. @throws CurfewError `configuration` that names the file */
export function readCertificates(file: string): string[] {
  const { content, fault } = nodeFiles.read(file, LARGEST_BYTES, true);
  if (fault !== undefined)
    throw new CurfewError('configuration', `--ca-file ${file} cannot be read (${fault})`, { hint: HINT });
  if (content === undefined)
    throw new CurfewError('configuration', `--ca-file ${file} is not a regular file of at most 4 MiB`, { hint: HINT });
  const found = content.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g);
  if (!found) throw new CurfewError('configuration', `--ca-file ${file} has no PEM certificate`, { hint: HINT });
  return found;
}

const HINT = 'give a file of PEM certificates';

/** SHA-256 of each, in hexadecimal, as `openssl x509 -fingerprint -sha256` tells it without its colons. */
export function fingerprintsOf(file: string): readonly string[] {
  const all = readCertificates(file).map((pem) => {
    const der = Buffer.from(pem.replace(/-----[A-Z ]+-----/g, ''), 'base64');
    return createHash('sha256').update(der).digest('hex');
  });
  return [...new Set(all)].sort();
}

/** Whether each of these was remembered: one that is left out takes nothing from the others. */
export function areAmong(found: readonly string[], remembered: readonly string[]): boolean {
  const plain = remembered.map((text) => text.replaceAll(':', '').toLowerCase());
  return found.every((fingerprint) => plain.includes(fingerprint));
}
