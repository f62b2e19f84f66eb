// The figures of roles in databases: of every target that has them, and of one that the configuration names no longer while some are left.

import type { Config } from '../config/settings.ts';
import type { defineAll } from './definitions.ts';

/** @param overdue by target; absent where the store does not say */
export function showRoles(
  all: Pick<ReturnType<typeof defineAll>, 'role_removal' | 'roles_overdue' | 'roles_not_removed'>,
  { targets }: Pick<Config, 'targets'>,
  overdue: ReadonlyMap<string, number> | undefined,
): void {
  all.roles_overdue.reset();
  for (const { kind, name: target } of targets) {
    if (kind !== 'postgres') continue;
    all.role_removal.zero({ target });
    all.roles_not_removed.inc({ target }, 0);
    if (overdue) all.roles_overdue.set({ target }, 0);
  }
  for (const [target, count] of overdue ?? []) all.roles_overdue.set({ target }, count);
}
