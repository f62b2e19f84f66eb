// Names that a transaction holds: advisory locks, taken before any row and in one order, so that none waits for one that waits for it.

import { createHash } from 'node:crypto';
import { CurfewError } from '../../shared/errors.ts';
import type { Lane } from './lane.ts';

const HOLD = `select pg_advisory_xact_lock(key) from unnest($1::bigint[]) as key`;

/** A name that is to be held turned up after rows were: the transaction is to begin again with it. */
export class HoldFirst extends CurfewError {
  readonly names: readonly string[];
  constructor(names: readonly string[]) {
    super('busy', 'others work on the same at this moment', { retry_after: 1 });
    this.names = names;
  }
}

export class Holds {
  readonly #lane: Lane;
  readonly #held = new Set<string>();
  #all = false;

  constructor(lane: Lane) {
    this.#lane = lane;
  }

  /** @throws HoldFirst where rows, or other names, are held already */
  async take(names: readonly string[]): Promise<void> {
    const missing = names.filter((name) => !this.#held.has(name));
    if (missing.length === 0 || this.#all) return;
    if (this.#lane.used || this.#held.size > 0) throw new HoldFirst([...this.#held, ...missing]);
    const keys = new Set(missing.map(keyOf));
    await this.#lane.client.query(HOLD, [[...keys].sort((a, b) => (a < b ? -1 : 1)).map(String)]);
    for (const name of missing) this.#held.add(name);
  }

  /** Nobody else runs any more. */
  all(): void {
    this.#all = true;
  }
}

/** 64 bits of a name. */
function keyOf(name: string): bigint {
  return BigInt.asIntN(64, createHash('sha256').update(name).digest().readBigInt64BE(0));
}
