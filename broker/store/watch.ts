// Looks after the store while it is open: whether it is the one that was opened, and whether it works. What does not is tried
// again, so that it heals by itself; each reason is said in the log once, and once more when it is over.

import type { Logger } from 'pino';
import { every } from '../../serving/background.ts';
import { CurfewError } from '../../shared/errors.ts';
import type { Stopwatch } from '../../shared/time.ts';
import type { StoreGuard } from './options.ts';
import type { Store } from './store.ts';

/** Milliseconds between two looks. */
const EVERY_MS = 250;

export interface StoreWatch {
  /** Looks now, and only reads. @returns what keeps the store from being used, in words */
  fault(): string | undefined;
  stop(): void;
}

export function watchStore(
  store: Store,
  guard: Pick<StoreGuard, 'look'>,
  stopwatch: Stopwatch,
  log: Pick<Logger, 'info' | 'error'>,
): StoreWatch {
  /** Reasons, without their numbers: while it fails they may change, and the last one may be what needs a person. */
  const said = new Set<string>();
  let tried = Number.NEGATIVE_INFINITY;
  const fault = () => {
    const found = guard.look() ?? store.fault;
    if (found === undefined) {
      if (said.size > 0) log.info('the store can be used again');
      said.clear();
      return undefined;
    }
    const reason = found.replaceAll(/\d+/g, 'n');
    if (!said.has(reason))
      log.error({ code: 'store', reason: found }, 'the store cannot be used: nothing is acknowledged that needs it');
    said.add(reason);
    return found;
  };
  const round = async () => {
    if (fault() === undefined || store.health.fault === undefined) return;
    if ((stopwatch() - tried) * 1_000 < store.health.pause_ms) return;
    await store.probe();
    tried = stopwatch();
  };
  const { stop } = every(EVERY_MS, round, () => undefined);
  return { fault, stop: () => void stop() };
}

/** For what can wait until the disk keeps up; an end of a session cannot. @throws CurfewError `store` */
export function requireQuickStore({
  store,
}: {
  readonly store: { readonly health: { readonly slow: boolean } };
}): void {
  if (!store.health.slow) return;
  throw new CurfewError('store', 'the store is too slow at the moment', { retry_after: 2 });
}
