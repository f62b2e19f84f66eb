// `curfew-broker store copy`: moves a store from a file of SQLite to a database of PostgreSQL. At most one of the two is in use at any time:
// what was copied is not used until the file says that it is left, and that is said before the copy is taken into use. So whatever
// interrupts it, the same command resumes there.

import { randomBytes } from 'node:crypto';
import { CurfewError } from '../../shared/errors.ts';
import { type Clock, latest } from '../../shared/time.ts';
import { GENESIS, type Sealer, sealerOf } from '../audit_log/chain.ts';
import type { AuditReader } from '../audit_log/reader.ts';
import { verifyLanes } from '../audit_log/verify_lanes.ts';
import type { PostgresPlace, SqlitePlace, StorePlaces } from '../config/settings.ts';
import { type ConfiguredKeys, encryptionOf } from '../encryption.ts';
import { openCopied } from '../open_store.ts';
import { CopyTarget, inUse } from '../postgres/copy_target.ts';
import { ACCEPT, bearWitness } from '../store/bear_witness.ts';
import { CopySource } from '../store/copy_source.ts';
import { finishCopy, type Moved, movedAway } from '../store/moved.ts';
import type { StoreOptions } from '../store/options.ts';
import { Witness } from '../store/witness.ts';
import { requireReadableKeys } from '../tokens/keys.ts';
import { reading } from './audit_reader.ts';

type Places<P> = Extract<StorePlaces, P>;

export interface StoreCopy extends ConfiguredKeys {
  readonly from: Places<SqlitePlace>;
  readonly to: Places<PostgresPlace>;
}

/** How far it has come, each after what it names. */
export const STEPS = ['checked', 'begun', 'filled', 'verified', 'left', 'witnessed', 'taken'] as const;
export type Step = (typeof STEPS)[number];

export interface Around {
  readonly now: Clock;
  /** Who runs the command, for the audit log. */
  readonly by: string;
  readonly tell: {
    step(step: Step): void;
    /** As a table is filled. */
    rows(table: string, rows: number, count: number): void;
  };
}

/** What the steps share. */
interface Parts extends StoreCopy, Around {
  readonly source: CopySource;
  readonly target: CopyTarget;
  readonly sealer: Sealer;
}

/**
 * @returns lines that say what was moved
 * @throws CurfewError `store` where a process has the file open or a database fails; `configuration` where one of them cannot be used, or
 *   holds what cannot be moved
 */
export async function copyStore(copy: StoreCopy, around: Around): Promise<readonly string[]> {
  const sealer = sealerOf(copy);
  const source = await CopySource.open(copy.from.sqlite.file);
  try {
    if (!source.moved) await requireSound(source, copy, sealer);
    const target = await CopyTarget.open({ ...copy.to.postgres, application: 'curfew-broker store copy' });
    try {
      return await move({ ...copy, ...around, source, target, sealer });
    } finally {
      await target.close();
    }
  } finally {
    source.close();
  }
}

/** From wherever an earlier run was interrupted. */
async function move(parts: Parts): Promise<readonly string[]> {
  const { source, target } = parts;
  const filled = source.moved ? undefined : await fill(parts);
  const left = source.moved ?? (await leave(parts, filled?.copy_id ?? ''));
  const found = await target.found();
  if (found?.copy_id !== left.copy_id) throw movedAway(left.to ?? 'another database');
  if (found.unfinished) await takeIntoUse(parts, left, filled?.rows);
  return [
    ...(filled ? [`ok: ${filled.rows} rows in ${filled.tables} tables were copied and compared`] : []),
    `ok: the store is in ${target.name}`,
    `ok: ${source.file} is not used any more: take store.sqlite out of the configuration, then start the broker`,
  ];
}

/** Whether a broker could start on it, and every row of its audit log is as it was written. */
async function requireSound(source: CopySource, copy: StoreCopy, sealer: Sealer): Promise<void> {
  await source.read(async (db) => {
    await requireReadableKeys(db, encryptionOf(copy));
  });
  const fault = await source.faultBy(copy.from, { sealer });
  if (fault !== undefined) throw new CurfewError('store', `the store ${source.file} ${fault}`, { hint: ACCEPT });
  await requireWhole(source.auditLog(), `the audit log of ${source.file}`, sealer);
}

interface Filled {
  readonly copy_id: string;
  readonly rows: number;
  readonly tables: number;
}

/** The file is the one in use until it says that it is left: what fails before that has moved nothing. */
async function fill(parts: Parts): Promise<Filled> {
  const { source, target, tell, to, sealer } = parts;
  tell.step('checked');
  const found = await target.found();
  if (found && !found.unfinished) throw inUse('it holds a store that is in use');
  if (found && found.database_id !== source.database_id) throw inUse('it holds an unfinished copy of another store');
  await recordBegin(parts);
  tell.step('begun');
  const copy_id = randomBytes(16).toString('base64url');
  const { oldest_reader } = await source.standing();
  const tables = source.tables({ copy_id, from: source.file, oldest_reader, unfinished: true });
  const rows = await target.fill(
    tables.map((table) => ({ table, rows: () => source.rows(table) })),
    tell.rows,
  );
  tell.step('filled');
  await reading(to, (log) => requireWhole(log, 'the audit log of the copy', sealer));
  tell.step('verified');
  return { copy_id, rows, tables: tables.length };
}

/** In the file: so its witness knows a row that no earlier state of the file has, and that the copy has. */
async function recordBegin({ source, target, from, sealer, now, by }: Parts): Promise<void> {
  const store = await source.store(optionsWith(sealer));
  const { newest } = await store.standing();
  await store.transaction(({ audit }) =>
    audit({
      ...{ event: 'store_copy', at: latest(now(), newest), step: 'begun', by },
      ...{ from: source.file, to: target.name },
    }),
  );
  await witnessing(from, sealer, (witness) => bearWitness(store, witness));
}

async function leave({ source, target, tell }: Parts, copy_id: string): Promise<Moved> {
  const left: Moved = { copy_id, to: target.name };
  await source.leave(left);
  tell.step('left');
  return left;
}

/** @param rows how many were copied, where that was now */
async function takeIntoUse(parts: Parts, { copy_id }: Moved, rows: number | undefined): Promise<void> {
  const { source, target, from, to, sealer, now, by, tell } = parts;
  const store = await openCopied(to.postgres, optionsWith(sealer));
  try {
    // First the witnesses: once it is in use, what they know is for brokers to say.
    await witnessing(to, sealer, (witness) => bearWitness(store, witness));
    // What puts the file back to an earlier state does not put it back into use.
    if (from.witness_file !== to.witness_file)
      await witnessing(from, sealer, async (witness) =>
        witness.begin({ database_id: `moved by ${copy_id}`, link: GENESIS }),
      );
    tell.step('witnessed');
    const { newest } = await store.standing();
    await store.transaction(async ({ db, audit }) => {
      if (!(await finishCopy(db))) return;
      await audit({
        ...{ event: 'store_copy', at: latest(now(), newest), step: 'done', by },
        ...{ from: source.file, to: target.name, rows },
      });
    });
    tell.step('taken');
  } finally {
    await store.close();
  }
}

async function witnessing(
  { witness_file }: StorePlaces,
  sealer: Sealer,
  story: (witness: Witness) => Promise<void>,
): Promise<void> {
  if (witness_file === undefined) return;
  const witness = new Witness(witness_file, sealer);
  try {
    await story(witness);
  } finally {
    witness.close();
  }
}

async function requireWhole(log: AuditReader, what: string, sealer: Sealer): Promise<void> {
  const { several } = log;
  const { faults } = await log.moment((moment) => verifyLanes(moment, { sealer, anchors: [], several }));
  if (faults.length === 0) return;
  throw new CurfewError('store', `${what} is not as it was written: ${faults[0]}`, {
    hint: 'run: curfew-broker audit verify; nothing was moved',
  });
}

function optionsWith(sealer: Sealer): StoreOptions {
  return { sealer, onAudit: () => undefined, onBroken: () => undefined };
}
