// The store's files as they were opened and last written: whether they are still those. SQLite itself goes on with a file that was
// deleted or exchanged, and what is committed there is lost.

import { type Stats, statfsSync, statSync } from 'node:fs';
import path from 'node:path';

type Part = '' | '-wal' | '-shm';
const PARTS: readonly Part[] = ['', '-wal', '-shm'];
/** Bytes that a commit needs at least. */
const LEAST_SPACE_BYTES = 64 * 1024;

export class StoreFiles {
  readonly #file: string;
  #seen = new Map<Part, Stats>();

  /** @param file of a store that is open, and that nothing but us writes to from here on */
  constructor(file: string) {
    this.#file = file;
    this.note();
  }

  /** After each commit of ours, and only then: what it wrote. */
  note(): void {
    for (const part of PARTS) {
      const found = this.#stat(part);
      if (found) this.#seen.set(part, found);
    }
  }

  /** @returns what happened to them, in words */
  fault(): string | undefined {
    for (const part of PARTS) {
      const fault = this.#faultOf(part, this.#seen.get(part), this.#stat(part));
      if (fault !== undefined) return `the store ${this.#file}${part} ${fault}`;
    }
    return undefined;
  }

  /** Right after a commit of ours, which may have written to any of them. @returns likewise */
  exchanged(): string | undefined {
    for (const part of PARTS) {
      const fault = faultOfPlace(this.#seen.get(part), this.#stat(part));
      if (fault !== undefined) return `the store ${this.#file}${part} ${fault}`;
    }
    return undefined;
  }

  /** @returns a fault in words where the next commit has no room */
  full(): string | undefined {
    try {
      const { bavail, bfree, bsize } = statfsSync(path.dirname(this.#file));
      const free = (process.getuid?.() === 0 ? bfree : bavail) * bsize;
      return free < LEAST_SPACE_BYTES ? "no space is left on the store's disk" : undefined;
    } catch {
      return undefined;
    }
  }

  #stat(part: Part): Stats | undefined {
    return statSync(this.#file + part, { throwIfNoEntry: false });
  }

  #faultOf(part: Part, seen: Stats | undefined, found: Stats | undefined): string | undefined {
    const fault = faultOfPlace(seen, found);
    if (fault !== undefined || !seen || !found) return fault;
    if (part === '-shm') return undefined;
    if (found.size < seen.size) return 'was cut off';
    // Others write to the log beside it, and nothing but a checkpoint of ours to the file itself.
    if (part === '' && (found.size !== seen.size || found.mtimeMs !== seen.mtimeMs))
      return 'was written by another program';
    return undefined;
  }
}

function faultOfPlace(seen: Stats | undefined, found: Stats | undefined): string | undefined {
  if (!seen) return undefined;
  if (!found) return 'is gone';
  return found.ino === seen.ino && found.dev === seen.dev ? undefined : 'was exchanged for another file';
}
