// Writes down each minute where the chains of the audit log are: what was put back or removed since is found by `audit verify`. Each
// replica does, under no lease: were it one alone, its chains could be put back together with any of another, unseen.

import type { Logger } from 'pino';
import { every } from '../../serving/background.ts';
import type { Clock } from '../../shared/time.ts';
import type { Store } from './store.ts';

const EVERY_MS = 60_000;

/** @returns a function that writes a last one and stops; it never rejects */
export function startAnchors(
  { store, now }: { readonly store: Pick<Store, 'anchor'>; readonly now: Clock },
  log: Pick<Logger, 'error'>,
): () => Promise<void> {
  const rounds = every(
    EVERY_MS,
    () => store.anchor(now()),
    () => log.error('the audit log could not be anchored: trying again'),
  );
  return async () => {
    await rounds.wake();
    await rounds.stop();
  };
}
