// Whether the record is whole: each row's hash follows from the row before it, what is said beside a row is what stands in it,
// and the newest row is the one that was sealed. Says where it is not. Pure; looks at one row after the other.

import type { Seconds } from '../shared/time.ts';
import { GENESIS, type Link, linkOf, type Sealer } from './audit_chain.ts';
import { formatTime } from './rfc3339.ts';
import type { AuditTable } from './store/schema.ts';

export type Row = Readonly<Omit<AuditTable, 'seq'>> & { readonly seq: number };

/** The newest row as it was sealed. */
export interface Head extends Link {
  readonly seal: string;
}

/** More of them say no more. */
const MOST_FAULTS = 20;

export class ChainCheck {
  readonly #faults: string[] = [];
  readonly #anchor: Link | undefined;
  #last: Link = GENESIS;
  #anchored = false;

  /** @param anchor a row that was noted elsewhere: the chain must still have it */
  constructor(anchor?: Link) {
    this.#anchor = anchor;
  }

  get last(): Link {
    return this.#last;
  }

  /** In the order of `seq`. */
  add(row: Row): void {
    const before = this.#last;
    if (row.seq !== before.seq + 1) this.#fault(`${sayRows(before.seq + 1, row.seq - 1)} missing`);
    const { hash } = linkOf({ seq: row.seq - 1, hash: before.hash }, row.data);
    if (hash !== row.hash) {
      const why = row.seq === before.seq + 1 ? 'it was changed, or put there' : 'a row before it is missing';
      this.#fault(`${sayRow(row)}: its hash does not follow from the row before it: ${why}`);
    }
    const beside = faultBeside(row);
    if (beside) this.#fault(`${sayRow(row)}: ${beside}`);
    if (row.seq === this.#anchor?.seq && row.hash === this.#anchor.hash) this.#anchored = true;
    this.#last = { seq: row.seq, hash: row.hash };
  }

  /** @returns all faults, in words; none when the record is whole */
  finish(head: Head | undefined, sealer: Sealer): readonly string[] {
    this.#checkHead(head, sealer);
    const anchor = this.#anchor;
    if (anchor && !this.#anchored) {
      this.#fault(
        `row ${anchor.seq} is not the one that the anchor names: the record was made anew, or cut off before it`,
      );
    }
    return this.#faults;
  }

  #checkHead(head: Head | undefined, sealer: Sealer): void {
    const { seq, hash } = this.#last;
    if (!head) {
      this.#fault('the seal of the newest row is missing');
      return;
    }
    if (!sealer.isSealed(head, head.seal))
      this.#fault('the seal of the newest row was not made with this encryption key');
    if (head.seq > seq) this.#fault(`${sayRows(seq + 1, head.seq)} missing: cut off at the end`);
    else if (head.seq < seq)
      this.#fault(`${sayRows(head.seq + 1, seq)} not sealed: put there by something else than the broker`);
    else if (head.hash !== hash) this.#fault(`row ${seq} is not the one that was sealed`);
  }

  #fault(text: string): void {
    if (this.#faults.length < MOST_FAULTS) this.#faults.push(text);
    else if (this.#faults.length === MOST_FAULTS) this.#faults.push('and more');
  }
}

/** The columns by which rows are found must say what the row itself says. */
function faultBeside({ at, event, sid, data }: Row): string | undefined {
  let inside: unknown;
  try {
    inside = JSON.parse(data);
  } catch {
    return 'it is not JSON';
  }
  const said = inside as Partial<Record<'at' | 'event' | 'sid', unknown>>;
  const wrong = [said.at === at, said.event === event, (said.sid ?? null) === sid];
  const name = ['at', 'event', 'sid'][wrong.indexOf(false)];
  return name === undefined ? undefined : `its column ${name} was changed`;
}

function sayRow({ seq, event, at }: Row): string {
  return `row ${seq} (${event}, ${sayTime(at)})`;
}

function sayTime(at: Seconds): string {
  try {
    return formatTime(at);
  } catch {
    return `at ${at}`;
  }
}

function sayRows(first: number, last: number): string {
  return first >= last ? `row ${first} is` : `rows ${first} to ${last} are`;
}
