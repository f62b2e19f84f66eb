// How a transaction is over, and what of it is known.

import type { Client } from 'pg';
import { CurfewError } from '../../shared/errors.ts';
import { Unacknowledged } from './faults.ts';
import { type Lane, LaneMoved } from './lane.ts';

/**
 * A commit that was not one says so in its tag alone. One whose wait for the standby was cancelled says so in a notice alone: it is here,
 * and may be nowhere else.
 */
export async function commit(lane: Lane): Promise<void> {
  try {
    await commitOn(lane.client);
  } catch (error) {
    // What became of it is not known.
    lane.dead = true;
    throw error;
  }
}

export async function commitOn(client: Client): Promise<void> {
  const { command } = await acknowledged(client, () => client.query('commit'));
  if (command !== 'COMMIT') throw new CurfewError('store', 'a transaction was undone by the database');
}

/**
 * A statement that commits.
 *
 * @throws what the driver throws: where that is not the server's word on the statement, what became of it is not known
 */
export async function acknowledged<T>(client: Client, statement: () => Promise<T>): Promise<T> {
  let alone = false;
  const notice = ({ code }: { readonly code?: string | undefined }) => {
    alone ||= code === '01000';
  };
  client.on('notice', notice);
  try {
    const result = await statement();
    if (alone) throw new Unacknowledged();
    return result;
  } finally {
    client.off('notice', notice);
  }
}

export async function undo(lane: Lane, error: unknown): Promise<void> {
  try {
    await lane.client.query('rollback');
    if (error instanceof LaneMoved) await lane.look();
  } catch {
    lane.dead = true;
  }
}
