// Rows that would repeat, into the record: the first of a kind at once, further ones like it counted, so that a client that
// calls 500 times fills no disk and hides nothing.

import type { Seconds } from '../shared/time.ts';
import type { DenialEvent, RefusalEvent } from './audit.ts';
import { networkOf } from './failed_logins.ts';
import type { Store } from './store/store.ts';

/** For how many seconds further ones alike are only counted. */
const WINDOW = 60;
interface Counted<E> {
  readonly since: Seconds;
  readonly event: E;
  repeated: number;
}

export class Repeated<E extends DenialEvent | RefusalEvent> {
  readonly #kinds = new Map<string, Counted<E>>();
  readonly #most: number;

  /** @param most kinds that are remembered; beyond them all others count as one kind */
  constructor(most: number) {
    this.#most = most;
  }

  /** @returns the row to write, with what was counted since the one before it; `undefined` when this one is counted too */
  note(event: E): E | undefined {
    const kind = kindOf(event);
    const key = this.#kinds.has(kind) || this.#kinds.size < this.#most ? kind : '';
    const before = this.#kinds.get(key);
    if (before && event.at - before.since < WINDOW) {
      before.repeated += 1;
      return undefined;
    }
    const told = key === kind ? event : ofManyKinds(event);
    this.#kinds.set(key, { since: event.at, event: told, repeated: 0 });
    return withCount(told, before?.repeated);
  }

  /** Writes what is only counted so far, of kinds whose window is over by `now`, or of all: one row for the last of a kind. */
  async flush(store: Store, now: Seconds, all = false): Promise<void> {
    const due = [...this.#kinds].filter(([, { since }]) => all || now - since >= WINDOW);
    const rows = due.flatMap(([, { event, repeated }]) =>
      repeated > 0 ? [withCount({ ...event, at: now }, repeated - 1)] : [],
    );
    // Before the write: what comes meanwhile begins a kind anew, and is not lost.
    for (const [key] of due) this.#kinds.delete(key);
    try {
      if (rows.length > 0) {
        await store.transaction(async (transaction) => {
          for (const row of rows) await transaction.audit(row);
        });
      }
    } catch (error) {
      for (const [key, counted] of due) if (!this.#kinds.has(key)) this.#kinds.set(key, counted);
      throw error;
    }
  }
}

/** What stands for several kinds names none of those that it is about. */
function ofManyKinds<E extends DenialEvent | RefusalEvent>(event: E): E {
  return { ...event, address: undefined, sid: undefined, iss: undefined, sub: undefined, username: undefined };
}

function kindOf(event: DenialEvent | RefusalEvent): string {
  switch (event.event) {
    case 'denial':
      return [event.sid, event.cluster, event.reason, event.segment, event.username].join('\n');
    case 'refusal':
      return [event.grant, event.reason, event.address && networkOf(event.address), event.iss, event.sub].join('\n');
  }
}

function withCount<E extends DenialEvent | RefusalEvent>(event: E, repeated = 0): E {
  return repeated > 0 ? { ...event, repeated } : event;
}
