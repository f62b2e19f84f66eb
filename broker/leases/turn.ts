// Whose turn it is with the work that one replica does at a time: the lease is renewed while this process runs and answers, and another
// replica takes it over soon after it does not.

import type { Logger } from 'pino';
import { every } from '../../serving/background.ts';
import type { Stopwatch } from '../../shared/time.ts';
import type { Lease } from '../store/lease.ts';
import type { Store } from '../store/store.ts';

/** How long a lease is held without a word, and milliseconds between two words. */
const LEASE_SECONDS = 6;
const EVERY_MS = 2_000;
/** This much before the database believes that it is over, its holder does. */
const MARGIN_SECONDS = 1;

export interface Turn {
  /** Whether it was, when that was last asked. */
  readonly held: boolean;
  /**
   * To be asked before each piece of work.
   *
   * @returns the lease, where it is this replica's turn. Never rejects: while the store fails it is nobody's
   */
  mine(): Promise<Lease | undefined>;
  /** Gives the lease back. */
  stop(): Promise<void>;
}

export interface TurnParts {
  readonly store: Pick<Store, 'lease'>;
  readonly stopwatch: Stopwatch;
  readonly log: Pick<Logger, 'info' | 'warn'>;
}

export function takeTurns({ store, stopwatch, log }: TurnParts, name: string, every_ms = EVERY_MS): Turn {
  let lease: Lease | undefined;
  /** When what is known was asked. */
  let asked = Number.NEGATIVE_INFINITY;
  const isSure = () => stopwatch() - asked < LEASE_SECONDS - MARGIN_SECONDS;
  const look = async () => {
    const begin = stopwatch();
    if (lease && !(await lease.renew())) {
      log.warn({ lease: name }, 'another replica has taken over');
      lease = undefined;
    } else if (!lease) {
      lease = await store.lease(name, LEASE_SECONDS);
      if (lease) log.info({ lease: name }, 'this replica does what one does at a time');
    }
    asked = begin;
  };
  const rounds = every(every_ms, look, () => undefined);
  void rounds.wake();
  return {
    get held() {
      return lease !== undefined && isSure();
    },
    async mine() {
      // At the start; and where this process stood still, or the store did.
      if (!isSure()) await rounds.wake();
      return isSure() ? lease : undefined;
    },
    async stop() {
      await rounds.stop();
      const last = lease;
      lease = undefined;
      await last?.giveBack().catch(() => undefined);
    },
  };
}
