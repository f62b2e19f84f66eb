// Rows that would repeat, into the audit log: the first of a kind at once, further ones like it counted, so that a client that
// calls 500 times fills no disk and hides nothing. Nor do 500 kinds of somebody who varies the address with each call.

import { networkOf } from '../../serving/net/address.ts';
import type { Seconds } from '../../shared/time.ts';
import type { DenialEvent, RefusalEvent } from '../audit_log/events.ts';
import type { Store } from '../store/store.ts';
import { Allowance, type Rate } from './allowance.ts';

/** For how many seconds further ones alike are only counted. */
const WINDOW_SECONDS = 60;
/** So many of one kind have a row of their own where somebody tries what belongs to a session that is not theirs. */
const FEW = 5;
/** The kind of all that have no row of their own: one row a minute, whatever comes. */
const MANY = '';

interface Counted<E> {
  readonly since: Seconds;
  readonly event: E;
  /** How many of the kind had a row of their own in this window. */
  readonly rows: number;
  repeated: number;
}

export class Repeated<E extends DenialEvent | RefusalEvent> {
  readonly #kinds = new Map<string, Counted<E>>();
  readonly #most: number;
  readonly #allowance: Allowance | undefined;

  /**
   * @param most kinds that are remembered; beyond them all others count as one kind
   * @param rate of rows; what comes when it is spent counts as that one kind likewise
   */
  constructor(most: number, rate?: Rate) {
    this.#most = most;
    this.#allowance = rate && new Allowance(rate);
  }

  /** @returns the row to write, with what was counted since the one before it; `undefined` when this one is counted too */
  note(event: E): E | undefined {
    const own = kindOf(event);
    const known = this.#kinds.get(own);
    const another = known && !isOver(known.since, event.at) && known.repeated === 0 && known.rows < ownRows(event);
    if (another && this.#allowed(event.at)) {
      this.#kinds.set(own, { ...known, event, rows: known.rows + 1 });
      return event;
    }
    if (this.#counts(own, event.at)) return undefined;
    const room = this.#kinds.has(own) || this.#kinds.size < this.#most;
    const key = room && this.#allowed(event.at) ? own : MANY;
    if (key === MANY && this.#counts(MANY, event.at)) return undefined;
    const before = this.#kinds.get(key)?.repeated;
    const told = key === own ? event : ofManyKinds(event);
    this.#kinds.set(key, { since: event.at, event: told, rows: 1, repeated: 0 });
    return withCount(told, before);
  }

  /** Writes what is only counted so far, of kinds whose window is over by `now`, or of all: one row for the last of a kind. */
  async flush(store: Pick<Store, 'transaction'>, now: Seconds, all = false): Promise<void> {
    const due = [...this.#kinds].filter(([, { since }]) => all || isOver(since, now));
    // Before the write: what comes meanwhile begins a kind again, and is not lost.
    for (const [key] of due) this.#kinds.delete(key);
    const rows = this.#rowsOf(
      due.filter(([, { repeated }]) => repeated > 0),
      now,
    );
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

  /** @returns whether this is one more of a kind whose window runs */
  #counts(key: string, at: Seconds): boolean {
    const before = this.#kinds.get(key);
    if (!before || isOver(before.since, at)) return false;
    before.repeated += 1;
    return true;
  }

  #allowed(at: Seconds): boolean {
    return this.#allowance?.take(at) ?? true;
  }

  /** One for each kind as far as rows are allowed, and one for all the others together. */
  #rowsOf(due: readonly (readonly [string, Counted<E>])[], now: Seconds): E[] {
    const own: E[] = [];
    let others: E | undefined;
    let count = 0;
    for (const [key, { event, repeated }] of due) {
      const row = { ...event, at: now };
      if (key !== MANY && this.#allowed(now)) own.push(withCount(row, repeated - 1));
      else {
        others ??= ofManyKinds(row);
        count += repeated;
      }
    }
    return others ? [...own, withCount(others, count - 1)] : own;
  }
}

function ownRows({ reason, sid }: DenialEvent | RefusalEvent): number {
  return reason === 'unknown_session' && sid !== undefined ? FEW : 1;
}

/** A window of a clock that was set back is over too. */
function isOver(since: Seconds, now: Seconds): boolean {
  return Math.abs(now - since) >= WINDOW_SECONDS;
}

/** What stands for several kinds names none of those that it is about. */
function ofManyKinds<E extends DenialEvent | RefusalEvent>(event: E): E {
  const nobody = { iss: undefined, sub: undefined, username: undefined, sid: undefined, jkt: undefined };
  return { ...event, ...nobody, address: undefined };
}

function kindOf(event: DenialEvent | RefusalEvent): string {
  switch (event.event) {
    case 'denial':
      return [event.sid, event.cluster, event.reason, event.segment, event.username].join('\n');
    case 'refusal': {
      const { grant, reason, address, sid, iss, sub } = event;
      return [grant, reason, address && networkOf(address), sid, iss, sub].join('\n');
    }
  }
}

function withCount<E extends DenialEvent | RefusalEvent>(event: E, repeated = 0): E {
  return repeated > 0 ? { ...event, repeated } : event;
}
