// A file that a setting names: read, and what is wrong with it said under the setting's name, never with what is in it.

import { createSecretKey, type KeyObject, X509Certificate } from 'node:crypto';
import path from 'node:path';
import type { FileReader, FileText } from '../files/regular_file.ts';
import { whyOpen } from '../files/secret_access.ts';
import { isBearer } from '../net/bearer.ts';

export interface Surroundings {
  /** Relative paths start here. */
  readonly folder: string;
  /** Of the environment. */
  readonly variable: (name: string) => string | undefined;
  readonly readFile: FileReader;
}

/** The file of somebody else's token, which they may replace at any time: read at each use. @returns its absolute path */
export async function readBearer(setting: string, file: string | undefined, around: Surroundings, faults: string[]) {
  if (file === undefined) return undefined;
  const found = await readSecretText(setting, file, around, faults);
  if (found && !isBearer(found.text)) faults.push(`${setting}: ${file}: expected one token, as it follows "Bearer"`);
  return path.resolve(around.folder, file);
}

export async function readCa(setting: string, file: string | undefined, around: Surroundings, faults: string[]) {
  if (file === undefined) return undefined;
  const found = await readText(setting, file, around, faults);
  const fault = found && faultOfCertificates(found.text);
  if (fault) faults.push(`${setting}: ${file}: ${fault}`);
  return found?.text;
}

/** Each by itself. */
export function certificatesIn(pem: string): readonly string[] {
  return pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
}

/** These texts are handed out (authn-config, metadata), so a key beside the certificate must not slip through. */
export function faultOfCertificates(pem: string): string | undefined {
  if (pem.includes('PRIVATE KEY')) return 'holds a private key, where only certificates may stand';
  const blocks = certificatesIn(pem);
  if (blocks.length === 0) return 'holds no certificate in PEM';
  try {
    for (const block of blocks) new X509Certificate(block);
    return undefined;
  } catch {
    return 'holds a certificate that cannot be parsed';
  }
}

/** A file of 32 random bytes that nobody else can read. */
export async function readSecret(
  setting: string,
  file: string,
  around: Surroundings,
  faults: string[],
): Promise<KeyObject | undefined> {
  const found = await readSecretText(setting, file, around, faults);
  if (found) sayOpen(setting, file, found, faults);
  return found && parseKey(setting, found.text, faults);
}

export function sayOpen(
  setting: string,
  file: string,
  { mode, access }: Omit<FileText, 'text'>,
  faults: string[],
): void {
  const why = whyOpen(mode, access);
  if (why) faults.push(`${setting}: ${file} ${why}`);
}

export function parseKey(setting: string, text: string, faults: string[]): KeyObject | undefined {
  const key = decodeKey(text.trim());
  if (key) return key;
  faults.push(`${setting}: expected 32 random bytes in base64 or hex, as "openssl rand -base64 32" prints them`);
  return undefined;
}

function decodeKey(text: string): KeyObject | undefined {
  if (/^[0-9a-fA-F]{64}$/.test(text)) return createSecretKey(text, 'hex');
  if (/^[A-Za-z0-9+/]{43}=$/.test(text)) return createSecretKey(text, 'base64');
  return undefined;
}

const LONGEST_PLAIN_NAME = 24;

/**
 * The text of a file that holds a secret. Somebody may have written the secret itself where its file belongs: it must not come back in
 * the error, and whatever is long and no path by its look may be one.
 */
export async function readSecretText(setting: string, file: string, around: Surroundings, faults: string[]) {
  if (decodeKey(file) !== undefined) {
    faults.push(`${setting}: expected the path of a file, not the key itself`);
    return undefined;
  }
  const unread: string[] = [];
  const found = await readText(setting, file, around, unread);
  const isPlain = file.length < LONGEST_PLAIN_NAME || /^\.{0,2}\//.test(file);
  if (isPlain) faults.push(...unread);
  else if (!found)
    faults.push(
      `${setting}: expected the path of a file; what is there is not repeated, as it may be the secret itself`,
    );
  return found;
}

export async function readText(setting: string, file: string, around: Surroundings, faults: string[]) {
  try {
    return await around.readFile(path.resolve(around.folder, file));
  } catch (error) {
    faults.push(`${setting}: ${file}: ${error instanceof Error ? error.message : 'cannot be read'}`);
    return undefined;
  }
}
