// A digest over rows in their order, the same whichever database they are read from.

import { createHash } from 'node:crypto';

/** A value of a column: bytes for bytes, and text as text. */
export type Value = string | number | Uint8Array | null;

export class RowDigest {
  readonly #hash = createHash('sha256');
  #rows = 0;

  get rows(): number {
    return this.#rows;
  }

  add(row: readonly Value[]): void {
    this.#rows += 1;
    for (const value of row) this.#hash.update(headOf(value)).update(bodyOf(value));
  }

  /** Of all rows until now; nothing can be added after that. @returns hex */
  finish(): string {
    return this.#hash.digest('hex');
  }
}

/** Kind and length, so that no two rows are written alike. */
function headOf(value: Value): string {
  if (value === null) return 'null;';
  if (typeof value === 'number') return `${value};`;
  return typeof value === 'string' ? `text ${Buffer.byteLength(value)};` : `bytes ${value.length};`;
}

function bodyOf(value: Value): string | Uint8Array {
  return value === null || typeof value === 'number' ? '' : value;
}
