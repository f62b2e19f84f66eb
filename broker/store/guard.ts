// Whether the store is the one that it was: its files while it is open, and its witness at a start and with each commit. What is
// not sure is not acknowledged.

import { existsSync } from 'node:fs';
import { CurfewError } from '../../shared/errors.ts';
import type { Link, Sealer } from '../audit_log/chain.ts';
import type { StorePlaces } from '../config/settings.ts';
import { notTheOneOpened } from './failure.ts';
import { StoreFiles } from './files.ts';
import type { Guard } from './options.ts';
import type { Store } from './store.ts';
import { type Known, Witness } from './witness.ts';
import { sayStoreFault } from './words.ts';

const ACCEPT = 'put the right store back, or say that this one may be used: curfew-broker store accept';

/** Before a store is made: where a witness knows one, it is not to be begun again. @throws CurfewError `store` */
export function refuseLostStore({ sqlite: { file }, witness_file }: StorePlaces): void {
  if (witness_file === undefined || existsSync(file) || !existsSync(witness_file)) return;
  throw new CurfewError('store', `the store ${file} is gone: ${witness_file} knows of it`, { hint: ACCEPT });
}

export class StoreGuard implements Guard {
  readonly #files: StoreFiles;
  readonly #witness: Witness | undefined;
  readonly #database_id: string;
  #fault: string | undefined;
  #written = -1;

  private constructor(files: StoreFiles, witness: Witness | undefined, database_id: string) {
    this.#files = files;
    this.#witness = witness;
    this.#database_id = database_id;
  }

  /**
   * Compares the store with its witness, and begins one where there never was any.
   *
   * @throws CurfewError `store` where it is another store, or an earlier state of it; `configuration` where the witness cannot be written
   */
  static async open(store: Store, places: StorePlaces, sealer: Sealer): Promise<StoreGuard> {
    const witness = places.witness_file === undefined ? undefined : new Witness(places.witness_file, sealer);
    if (witness) {
      const fault = await compare(store, witness);
      if (fault !== undefined) {
        throw new CurfewError('store', `the store ${places.sqlite.file} ${fault} (${places.witness_file})`, {
          hint: ACCEPT,
        });
      }
      await bearWitness(store, places, witness);
    }
    const { database_id } = await store.standing();
    return new StoreGuard(new StoreFiles(places.sqlite.file), witness, database_id);
  }

  /** As of the last look. */
  get fault(): string | undefined {
    return this.#fault;
  }

  /** @throws CurfewError `store` where the files are not those that were opened */
  check(): void {
    this.#say(this.#files.fault());
  }

  /**
   * After a commit, before anything of it is acknowledged.
   *
   * @param link the newest row of the audit log
   * @throws CurfewError `store` likewise, or where the witness cannot be written
   */
  committed(link: Link): void {
    this.#say(this.#files.exchanged());
    this.#files.note();
    if (link.seq === this.#written) return;
    try {
      this.#witness?.write({ database_id: this.#database_id, link });
      this.#written = link.seq;
    } catch (error) {
      this.#say(`the witness of the store cannot be written (${sayStoreFault(error) ?? 'unknown'})`);
    }
  }

  /** After a group that failed: what it wrote all the same was ours. */
  undone(): void {
    if (this.#files.exchanged() === undefined) this.#files.note();
  }

  /** Now and then. @returns what keeps the store from being used */
  look(): string | undefined {
    try {
      this.check();
      this.#witness?.keep();
    } catch (error) {
      return this.#fault ?? sayStoreFault(error) ?? 'the witness of the store cannot be kept';
    }
    return this.#files.full();
  }

  close(): void {
    this.#witness?.close();
  }

  #say(fault: string | undefined): void {
    this.#fault = fault;
    if (fault !== undefined) throw notTheOneOpened();
  }
}

/** From here on the witness knows the store as it is. @throws CurfewError `configuration` */
export async function bearWitness(store: Store, places: StorePlaces, witness: Witness): Promise<void> {
  try {
    witness.begin(await knownOf(store));
  } catch (cause) {
    if (cause instanceof CurfewError) throw cause;
    const why = sayStoreFault(cause) ?? 'unknown';
    throw new CurfewError('configuration', `store.witness_file: ${places.witness_file} cannot be written (${why})`, {
      cause,
    });
  }
  const { witnessed } = await store.standing();
  // Only once it is there: a start that is killed in between makes it again.
  if (witnessed === 0)
    await store.transaction(({ db }) => db.updateTable('store_state').set({ witnessed: 1 }).execute());
}

async function knownOf(store: Store): Promise<Known> {
  const { database_id } = await store.standing();
  const head = await store.read((db) => db.selectFrom('audit_head').select(['seq', 'hash']).executeTakeFirst());
  return { database_id, link: head ?? { seq: 0, hash: '' } };
}

/** @returns what speaks against this store, in words */
async function compare(store: Store, witness: Witness): Promise<string | undefined> {
  const { database_id, witnessed } = await store.standing();
  if (!witness.there) return witnessed === 0 ? undefined : 'had a witness, which is not there';
  const known = witness.read();
  if (!known) return 'has a witness that cannot be read, or that was written with another encryption key';
  if (known.database_id !== database_id) return 'is another one than its witness knows';
  const { seq, hash } = known.link;
  if (seq === 0) return undefined;
  const row = await store.read((db) => db.selectFrom('audit').select('hash').where('seq', '=', seq).executeTakeFirst());
  return row?.hash === hash ? undefined : `was put back to an earlier state: row ${seq} of its audit log is not there`;
}
