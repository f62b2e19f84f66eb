// The digest of a file as it is now.

import { createHash } from 'node:crypto';
import { readRegularFile } from './regular_file.ts';

/** Of a file that may be replaced this very moment: `undefined` then, it is looked at again. */
export async function digestOf(file: string): Promise<string | undefined> {
  const read = await readRegularFile(file).catch(() => undefined);
  return read && createHash('sha256').update(read.text).digest('hex');
}
