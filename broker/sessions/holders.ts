// Who was seen to hold which session.

import { hashOfHandle } from './find.ts';

const MOST_HOLDERS = 10000;
/**
 * Who was seen to hold a session: they are not looked for again before each transaction, which sees for itself. In memory alone, and
 * of a handle nothing but its hash.
 */
export class Holders {
  /** Thumbprints of keys, by the hash of the handle. */
  readonly #jkts = new Map<string, string>();

  isHolder(handle: string, jkt: string): boolean {
    return this.#jkts.get(keyOf(handle)) === jkt;
  }

  note(handle: string, jkt: string): void {
    if (this.#jkts.size >= MOST_HOLDERS) this.#jkts.clear();
    this.#jkts.set(keyOf(handle), jkt);
  }

  forget(handle: string): void {
    this.#jkts.delete(keyOf(handle));
  }
}

function keyOf(handle: string): string {
  return Buffer.from(hashOfHandle(handle)).toString('base64url');
}
