// A refusal that one caller gets several times in a row: kubectl without a discovery cache calls up to five times in one go,
// and a person should read why once. Whatever is not plainly the same is said. Part of the warm path: loads nothing.

import type { Caller, Reader } from './machine.ts';
import { faultOfDirectory, readOurs } from './read_cache.ts';

/** How long the same is not said again. */
const WHILE_MS = 2_000;

const FORM = /^([0-9]{1,15}) ([0-9a-f]{16})\n$/;

/** What whoever prints a refusal leaves behind, once it is on stderr. */
export interface Note {
  readonly file: string;
  readonly content: string;
}

/**
 * @param directory the cache's
 * @param args those of the call: a broker, a cluster
 * @param said the whole of the refusal
 * @returns `again` when this caller has just been told that; `undefined` when it is said, and there is nowhere to note it
 */
export function repeated(
  reader: Reader,
  directory: string | undefined,
  caller: Caller | undefined,
  args: readonly string[],
  said: string,
): 'again' | Note | undefined {
  // Where there are no user ids, a file does not show whose it is.
  if (directory === undefined || caller === undefined || reader.uid === undefined) return undefined;
  if (faultOfDirectory(reader, directory) !== undefined) return undefined;
  const file = `${directory}/refused`;
  const sum = reader.files.checksum(JSON.stringify([caller.process, args, said]));
  const [, at, before] = FORM.exec(readOurs(reader, file)?.content ?? '') ?? [];
  const age = caller.at - Number(at);
  if (before === sum && age >= 0 && age < WHILE_MS) return 'again';
  return { file, content: `${caller.at} ${sum}\n` };
}
