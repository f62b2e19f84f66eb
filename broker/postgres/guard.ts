// What a service asks of a store in a database around each commit: that its witness is written. Whether the database is the one that
// it was is looked at with each connection.

import { CurfewError } from '../../shared/errors.ts';
import type { Link } from '../audit_log/chain.ts';
import { bearWitness } from '../store/bear_witness.ts';
import { notTheOneOpened } from '../store/failure.ts';
import type { StoreGuard } from '../store/options.ts';
import type { Witness } from '../store/witness.ts';
import { sayStoreFault } from '../store/words.ts';
import type { PostgresStore } from './store.ts';

export class DatabaseGuard implements StoreGuard {
  readonly #store: PostgresStore;
  readonly #witness: Witness | undefined;
  #fault: string | undefined;

  private constructor(store: PostgresStore, witness: Witness | undefined) {
    this.#store = store;
    this.#witness = witness;
  }

  /** @throws CurfewError `configuration` where the witness cannot be written */
  static async open(store: PostgresStore, witness: Witness | undefined): Promise<DatabaseGuard> {
    if (witness) await bearWitness(store, witness);
    return new DatabaseGuard(store, witness);
  }

  get fault(): string | undefined {
    return this.#fault;
  }

  check(): void {
    if (this.#fault !== undefined) throw notTheOneOpened();
  }

  committed(link: Link): void {
    this.#keep(() => this.#witness?.write(this.#store.knownWith(link)));
    this.check();
  }

  undone(): void {}

  look(): string | undefined {
    this.#keep(() => this.#witness?.keep());
    return this.#fault;
  }

  close(): void {
    this.#witness?.close();
  }

  #keep(write: () => void): void {
    try {
      write();
      this.#fault = undefined;
    } catch (error) {
      if (error instanceof CurfewError) throw error;
      this.#fault = `the witness of the store cannot be written (${sayStoreFault(error) ?? 'unknown'})`;
    }
  }
}
