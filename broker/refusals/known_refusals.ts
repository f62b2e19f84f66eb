// Refusals of people who are known: each has a row of its own, as long as they are as many as somebody can mean. A client that
// goes wild, or a person who wants our disk full, has the rest counted.

import type { Seconds } from '../../shared/time.ts';
import type { RefusalEvent } from '../audit_log/events.ts';
import type { Store } from '../store/store.ts';
import { Allowance } from './allowance.ts';
import { Repeated } from './repeated.ts';

const RATE = { at_once: 100, a_minute: 10 } as const;
/** People whose rate is remembered. Who is forgotten begins with a full one. */
const MOST_PEOPLE = 10_000;

export class KnownRefusals {
  readonly #people = new Map<string, Allowance>();
  readonly #rest = new Repeated<RefusalEvent>(1000, RATE);

  /** @returns the row to write; `undefined` when it is only counted */
  note(event: RefusalEvent): RefusalEvent | undefined {
    const { iss, sub, reason, repeated, at } = event;
    // Where somebody else tries a session's handle or token, its owner's rows are not spent for it: those are counted already.
    if (iss === undefined || sub === undefined || reason === 'unknown_session' || repeated !== undefined) return event;
    return this.#allowanceOf(`${iss}\n${sub}`).take(at) ? event : this.#rest.note(event);
  }

  flush(store: Pick<Store, 'transaction'>, now: Seconds, all = false): Promise<void> {
    return this.#rest.flush(store, now, all);
  }

  #allowanceOf(person: string): Allowance {
    const allowance = this.#people.get(person) ?? new Allowance(RATE);
    // Those of late stay.
    this.#people.delete(person);
    this.#people.set(person, allowance);
    if (this.#people.size > MOST_PEOPLE)
      for (const oldest of this.#people.keys()) if (this.#people.delete(oldest)) break;
    return allowance;
  }
}
