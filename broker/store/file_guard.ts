// Whether the store in a file is the one that it was: its files while it is open, and its witness at a start and with each commit. What is
// not sure is not acknowledged.

import { existsSync } from 'node:fs';
import { Kysely, type Selectable } from 'kysely';
import { CurfewError } from '../../shared/errors.ts';
import type { Link, Sealer } from '../audit_log/chain.ts';
import type { SqlitePlace, StorePlaces } from '../config/settings.ts';
import {
  ACCEPT,
  ANOTHER_STORE,
  BEFORE_WITNESSES,
  bearWitness,
  NO_STORE,
  NO_WITNESS,
  putBack,
  UNREADABLE_WITNESS,
} from './bear_witness.ts';
import { notTheOneOpened } from './failure.ts';
import { StoreFiles } from './files.ts';
import { requireInUse } from './moved.ts';
import type { StoreGuard } from './options.ts';
import { openSqliteToRead } from './sqlite.ts';
import type { Store } from './store.ts';
import type { Schema, StoreStateTable } from './tables.ts';
import { judgeVersion, migrationsDone } from './version.ts';
import { Witness } from './witness.ts';
import { sayStoreFault } from './words.ts';

type Place = Extract<StorePlaces, SqlitePlace>;
type Compared = Pick<Store, 'read'> & {
  standing(): Promise<Pick<Selectable<StoreStateTable>, 'database_id' | 'witnessed'>>;
};

/** Before a store is made: where a witness knows one, it is not to be begun again. @throws CurfewError `store` */
export function refuseLostStore({ sqlite: { file }, witness_file }: Place): void {
  if (witness_file === undefined || existsSync(file) || !existsSync(witness_file)) return;
  throw new CurfewError('store', `the store ${file} is gone: ${witness_file} knows of it`, { hint: ACCEPT });
}

/** Before a store that is there is brought to this version, which nothing brings back. @throws CurfewError `store` likewise */
export async function refuseWrongStore(places: Place, sealer: Sealer): Promise<void> {
  const { file } = places.sqlite;
  if (places.witness_file === undefined || !existsSync(file)) return;
  const db = new Kysely<Schema>({ dialect: openSqliteToRead(file) });
  try {
    const fault = await faultOfFile(db, new Witness(places.witness_file, sealer));
    if (fault !== undefined) throw refusal(places, fault);
  } finally {
    await db.destroy();
  }
}

export class FileGuard implements StoreGuard {
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
  static async open(store: Store, places: Place, sealer: Sealer): Promise<FileGuard> {
    const witness = places.witness_file === undefined ? undefined : new Witness(places.witness_file, sealer);
    if (witness) {
      const fault = await faultOfStore(store, witness);
      if (fault !== undefined) throw refusal(places, fault);
      await bearWitness(store, witness);
    }
    const { database_id } = await store.standing();
    return new FileGuard(new StoreFiles(places.sqlite.file), witness, database_id);
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

function refusal({ sqlite: { file }, witness_file }: Place, fault: string): CurfewError {
  return new CurfewError('store', `the store ${file} ${fault} (${witness_file})`, { hint: ACCEPT });
}

/** Whatever version it is of. @throws CurfewError where it is not in use, or is of a version that this one cannot read */
async function faultOfFile(db: Kysely<Schema>, witness: Witness): Promise<string | undefined> {
  const done = await migrationsDone(db);
  await requireInUse(db, done);
  await judgeVersion(db, done);
  if (!done.includes('0004_sound')) {
    if (!witness.there) return undefined;
    return done.length === 0 ? NO_STORE : BEFORE_WITNESSES;
  }
  const standing = () =>
    db.selectFrom('store_state').select(['database_id', 'witnessed']).where('id', '=', 1).executeTakeFirstOrThrow();
  return faultOfStore({ standing, read: (work) => work(db) }, witness);
}

/** @returns what speaks against this store, in words */
export async function faultOfStore(store: Compared, witness: Witness): Promise<string | undefined> {
  const { database_id, witnessed } = await store.standing();
  if (!witness.there) return witnessed === 0 ? undefined : NO_WITNESS;
  const [known] = witness.read();
  if (!known) return UNREADABLE_WITNESS;
  if (known.database_id !== database_id) return ANOTHER_STORE;
  const { seq, hash } = known.link;
  if (seq === 0) return undefined;
  const row = await store.read((db) => db.selectFrom('audit').select('hash').where('seq', '=', seq).executeTakeFirst());
  return row?.hash === hash ? undefined : putBack(known.link);
}
