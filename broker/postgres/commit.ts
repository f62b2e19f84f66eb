// How a transaction is over, and what of it is known.

import { CurfewError } from '../../shared/errors.ts';
import { Unacknowledged } from './faults.ts';
import { type Lane, LaneMoved } from './lane.ts';

/**
 * A commit that was not one says so in its tag alone. One whose wait for the standby was cancelled says so in a notice alone: it is here,
 * and may be nowhere else.
 */
export async function commit(lane: Lane): Promise<void> {
  let alone = false;
  const notice = ({ code }: { readonly code?: string | undefined }) => {
    alone ||= code === '01000';
  };
  lane.client.on('notice', notice);
  try {
    const { command } = await lane.client.query('commit');
    if (command !== 'COMMIT') throw new CurfewError('store', 'a transaction was undone by the database');
    if (alone) throw new Unacknowledged();
  } catch (error) {
    // What became of it is not known.
    lane.dead = true;
    throw error;
  } finally {
    lane.client.off('notice', notice);
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
