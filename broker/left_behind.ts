// What sessions have elsewhere and leave behind when they end: Secrets in clusters, roles in databases. All of it is looked after alike.

import { startDeletions } from './bound_tokens/deletions.ts';
import type { Broker } from './broker.ts';
import { startRemovals } from './roles/removals.ts';

export interface LeftBehind {
  /** Something has ended: looks at once. */
  wake(): void;
  /** Makes one round of everything. */
  sweep(): Promise<void>;
  stop(): Promise<void>;
}

export function lookAfterLeftBehind(broker: Broker): LeftBehind {
  const all = [startDeletions(broker), startRemovals(broker)];
  return {
    wake() {
      for (const one of all) one.wake();
    },
    async sweep() {
      await Promise.all(all.map((one) => one.sweep()));
    },
    async stop() {
      await Promise.all(all.map((one) => one.stop()));
      await broker.databases.close();
    },
  };
}
