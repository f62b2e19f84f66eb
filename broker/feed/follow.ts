// Follows the feed: what other replicas changed, and what administrators' commands changed beside them, reaches this process here and
// nowhere else. A number that is missing, or that went back, is a fault of the store: then nothing of it can be relied on.

import type { Logger } from 'pino';
import { every } from '../../serving/background.ts';
import { CurfewError } from '../../shared/errors.ts';
import type { Stopwatch } from '../../shared/time.ts';
import type { Change } from '../store/changes.ts';
import type { FeedPage } from '../store/feed.ts';
import type { Presence } from '../store/presence.ts';
import type { Store } from '../store/store.ts';
import { FeedTail } from './tail.ts';

/** Milliseconds between two looks, where nothing wakes. */
const EVERY_MS = 1_000;
/** How many changes one look reads at a time. */
const AT_ONCE = 500;
/** Seconds without an answer after which this process cannot be relied on: what it knows may be of before. */
const LONGEST_SILENCE_SECONDS = 5;

const ACCEPT =
  'put the right store back, or say that this one may be used (curfew-broker store accept); then restart each broker';

export interface FollowParts {
  readonly store: Pick<Store, 'feed' | 'distrust'>;
  readonly stopwatch: Stopwatch;
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>;
  /** Is told by how many seconds the machine's clock is ahead of the database's, where that has one of its own. */
  readonly onAhead?: ((seconds: number) => void) | undefined;
  /** Is told which replicas are connected, about each second. */
  readonly onReplicas?: ((replicas: readonly Presence[]) => void) | undefined;
}

/** What this process does with what it learns. What rejects is told again, so each may be told twice. */
export interface Learning {
  /** One change, each in its order. */
  learn(change: Change): Promise<void>;
  /** Changes were forgotten before they could be read here: all that is kept in memory is to be read again. */
  readAgain(): Promise<void>;
}

export interface FollowedFeed {
  /** What was read last, for whoever passes it on. */
  readonly tail: FeedTail;
  /** Seconds since all that there was had been read. */
  readonly age: number;
  /** How many changes are known to be there and have not taken effect here. */
  readonly behind: number;
  /** What keeps this process from knowing what others changed, in words. */
  readonly fault: string | undefined;
  stop(): Promise<void>;
}

/**
 * @param place up to where everything is known already: the head of the feed, as of before it was read
 * @param every_ms between two looks
 */
export function followFeed(
  { store, stopwatch, log, onAhead, onReplicas }: FollowParts,
  learning: Learning,
  place: number,
  every_ms = EVERY_MS,
): FollowedFeed {
  const tail = new FeedTail(place);
  let head = place;
  let read = stopwatch();
  let failed: string | undefined;
  let broken = false;
  /** What was read last. */
  let last: string | undefined;
  const take = async ({ head: newest, forgotten, at_place, entries, ahead, replicas }: FeedPage) => {
    if (replicas !== undefined) onReplicas?.(replicas);
    if (ahead !== undefined) onAhead?.(ahead);
    head = newest;
    if (newest < place) throw new BrokenFeed(`the feed of changes went back from ${place} to ${newest}`);
    // It went back, and others have written on: numbers alone would not show that.
    if (last !== undefined && at_place !== last && place > forgotten)
      throw new BrokenFeed(`change ${place} of the feed of changes is another one than it was`);
    if (place < forgotten) {
      log.warn({ place, forgotten }, 'changes were forgotten before they were read: all is read again');
      await learning.readAgain();
      place = newest;
      tail.skip(place);
      last = undefined;
      return;
    }
    for (const entry of entries) {
      const { seq, text, change } = entry;
      if (seq !== place + 1) throw missing(place, seq);
      if (change) await learning.learn(change);
      place = seq;
      tail.add(entry);
      last = text;
    }
    if (entries.length === 0 && newest > place) throw missing(place, newest + 1);
  };
  const round = async () => {
    if (broken) return;
    do await take(await store.feed.after(place, AT_ONCE));
    while (place < head);
    read = stopwatch();
    if (failed !== undefined) log.info('the feed of changes is read again');
    failed = undefined;
  };
  const fail = (error: unknown) => {
    const reason = error instanceof CurfewError ? error.message : 'unexpected error';
    if (error instanceof BrokenFeed) {
      broken = true;
      store.distrust(`${reason}: it was put back, or changed from outside`);
    }
    if (failed === undefined || broken)
      log.error(
        { code: 'store', reason, place, ...(broken && { hint: ACCEPT }) },
        'the feed of changes cannot be followed',
      );
    failed = reason;
  };
  const rounds = every(every_ms, round, fail);
  const stopListening = store.feed.onWake(() => void rounds.wake());
  void rounds.wake();
  return {
    tail,
    get age() {
      return Math.max(0, stopwatch() - read);
    },
    get behind() {
      return Math.max(0, head - place);
    },
    get fault() {
      if (failed === undefined || (!broken && stopwatch() - read <= LONGEST_SILENCE_SECONDS)) return undefined;
      return failed;
    },
    stop() {
      stopListening();
      return rounds.stop();
    },
  };
}

/** Not mended by another try. */
class BrokenFeed extends CurfewError {
  constructor(message: string) {
    super('store', message);
  }
}

function missing(place: number, next: number): BrokenFeed {
  const [first, last] = [place + 1, next - 1];
  return new BrokenFeed(
    first === last
      ? `change ${first} is missing in the feed of changes`
      : `changes ${first} to ${last} are missing in the feed of changes`,
  );
}
