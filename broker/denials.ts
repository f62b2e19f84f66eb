// Denials at the webhook, into the record: the first of a kind at once, further ones like it counted, so that a client that
// calls 500 times fills no disk and hides nothing.

import type { Seconds } from '../shared/time.ts';
import type { DenialEvent } from './audit.ts';
import type { Store, Transaction } from './store/store.ts';

/** For how many seconds further denials alike are only counted. */
const WINDOW = 60;
/** Kinds that are remembered; beyond them each denial has its row. */
const MOST_KINDS = 10_000;

interface Counted {
  readonly since: Seconds;
  readonly event: DenialEvent;
  repeated: number;
}

export class Denials {
  readonly #kinds = new Map<string, Counted>();

  /** @returns the row to write, with what was counted since the one before it; `undefined` when this one is counted too */
  note(event: DenialEvent): DenialEvent | undefined {
    const key = [event.sid, event.cluster, event.reason, event.segment, event.username].join('\n');
    const before = this.#kinds.get(key);
    if (before && event.at - before.since < WINDOW) {
      before.repeated += 1;
      return undefined;
    }
    if (before || this.#kinds.size < MOST_KINDS) this.#kinds.set(key, { since: event.at, event, repeated: 0 });
    return withCount(event, before?.repeated);
  }

  /** Writes what is only counted so far, of kinds whose window is over by `now`, or of all: one row for the last of a kind. */
  async flush(store: Store, now: Seconds, all = false): Promise<void> {
    const due = [...this.#kinds].filter(([, { since }]) => all || now - since >= WINDOW);
    const rows = due.flatMap(([, { event, repeated }]) =>
      repeated > 0 ? [withCount({ ...event, at: now }, repeated - 1)] : [],
    );
    // Before the write: what is denied meanwhile begins a kind anew, and is not lost.
    for (const [key] of due) this.#kinds.delete(key);
    try {
      if (rows.length > 0) await store.transaction((transaction) => writeAll(transaction, rows));
    } catch (error) {
      for (const [key, counted] of due) if (!this.#kinds.has(key)) this.#kinds.set(key, counted);
      throw error;
    }
  }
}

async function writeAll(transaction: Transaction, rows: readonly DenialEvent[]): Promise<void> {
  for (const row of rows) await transaction.audit(row);
}

function withCount(event: DenialEvent, repeated = 0): DenialEvent {
  return repeated > 0 ? { ...event, repeated } : event;
}
