// What this replica does with what all of them tell: the one place where anything that is kept in memory hears of changes.

import { type Clock, type Seconds, seconds } from '../../shared/time.ts';
import type { Change } from '../store/changes.ts';
import { presenceOf } from '../store/presence.ts';
import type { Store } from '../store/store.ts';
import { type FollowedFeed, type FollowParts, followFeed } from './follow.ts';
import { Policies } from './policies.ts';

export interface ReplicaParts extends FollowParts {
  readonly store: Pick<Store, 'feed' | 'distrust' | 'probe'>;
  readonly now: Clock;
  /** Of the configuration in force here. */
  readonly digest: () => string;
  /** Is told each change, also this replica's own: it may be told twice. */
  readonly heard: (change: Change) => void;
  /** Reads the signing keys from the store. */
  readonly readKeys: () => Promise<void>;
}

export interface Replicas {
  readonly feed: Pick<FollowedFeed, 'tail' | 'age' | 'behind' | 'fault'>;
  readonly policies: Pick<Policies, 'inStep' | 'fault'>;
  /** Another configuration is in force here, because somebody wants it: a start is not such a request. */
  reloaded(): void;
  stop(): Promise<void>;
}

/** @param place the head of the feed, as of before anything was read that changes */
export function joinReplicas(parts: ReplicaParts, place: number): Replicas {
  const { store, stopwatch, log, now, digest, heard, readKeys } = parts;
  const policies = new Policies(digest, stopwatch, log);
  const learning = {
    async learn(change: Change) {
      switch (change.kind) {
        case 'end':
        case 'lowered':
        case 'policy':
          break;
        case 'keys':
          await readKeys();
          break;
        case 'all_over':
          // The next transaction finds that so.
          await store.probe();
          break;
      }
      heard(change);
    },
    async readAgain() {
      await readKeys();
      await store.probe();
    },
  };
  const since = now();
  const announce = (reloaded: Seconds) => store.feed.announce(presenceOf(digest(), since, reloaded));
  announce(seconds(0));
  const feed = followFeed({ ...parts, onReplicas: (found) => policies.found(found) }, learning, place);
  return { feed, policies, reloaded: () => announce(now()), stop: () => feed.stop() };
}
