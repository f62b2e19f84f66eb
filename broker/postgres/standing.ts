// What holds for all of the store, within a transaction that has just begun.

import type { Client } from 'pg';
import { CurfewError } from '../../shared/errors.ts';
import type { Seconds } from '../../shared/time.ts';
import type { Standing } from '../store/audit_head.ts';
import { LOCK } from './locks.ts';

/** Shared by all transactions but the one that declares everything over: that waits for those that run, and those after it see it. */
const BEGIN = `begin; select pg_advisory_xact_lock_shared(${LOCK.store}, 0);
  select epoch, epoch_id, over_before, oldest_reader, greatest(newest, (select max(newest) from audit_lane)) as newest
  from store_state where id = 1`;
const RESET_STORE = 'update store_state set newest = $1 where id = 1';
const RESET_LANES = 'update audit_lane set newest = $1';
const HOLD_STORE = `select pg_advisory_xact_lock(${LOCK.store}, 0)`;

/** Begins a transaction. @throws what the driver throws, or CurfewError `store` */
export async function begin(client: Client): Promise<Standing> {
  const results: unknown = await client.query(BEGIN);
  const last = Array.isArray(results) ? results.at(-1) : undefined;
  const row: Standing | undefined = last?.rows?.[0];
  if (!row) throw new CurfewError('store', 'the store does not say which it is');
  return row;
}

/** Waits for every other transaction, and lets none begin until this one is over. */
export async function holdStore(client: Client): Promise<void> {
  await client.query(HOLD_STORE);
}

export async function resetNewest(client: Client, instant: Seconds): Promise<void> {
  await client.query(RESET_STORE, [instant]);
  await client.query(RESET_LANES, [instant]);
}
