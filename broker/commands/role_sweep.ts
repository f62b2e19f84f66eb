// Takes away every role of the store's, for commands by which an administrator declares that all is over.

import { Databases } from '../databases/databases.ts';
import { startRemovals } from '../roles/removals.ts';
import type { Looking } from '../roles/remove_at.ts';
import { countOverdueRoles } from '../sessions/session_roles.ts';

/** @returns what is left to do, in words */
export async function sweepRoles(parts: Omit<Looking, 'databases' | 'turn' | 'metrics'>): Promise<readonly string[]> {
  const { store, now } = parts;
  const databases = new Databases((await store.standing()).database_id);
  const removals = startRemovals({ ...parts, databases });
  try {
    const unseen = await removals.sweep();
    const overdue = await store.read((db) => countOverdueRoles(db, now()));
    return [
      ...[...overdue].map(([target, count]) => `warning: target ${target}: ${count} roles are still to be removed`),
      ...unseen.map(
        (target) => `warning: target ${target}: roles that this store does not know could not be looked for`,
      ),
    ];
  } finally {
    await removals.stop();
    await databases.close();
  }
}
