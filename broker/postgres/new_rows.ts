// The rows that a transaction adds to its lane, each with its place in the chain.

import { type Link, linkOf } from '../audit_log/chain.ts';
import type { AuditEntry, AuditEvent, LaneOpenedEvent } from '../audit_log/events.ts';
import { visibleJson } from '../text/names.ts';
import type { Damp } from './damp.ts';
import type { NewRow } from './lane.ts';

export class NewRows {
  readonly rows: NewRow[] = [];
  readonly entries: AuditEntry[] = [];
  readonly #damp: Damp;
  readonly #opened: Omit<LaneOpenedEvent, 'at'> | undefined;
  #head: Link;

  /** @param opened comes before the first of them */
  constructor(before: Link, opened: Omit<LaneOpenedEvent, 'at'> | undefined, damp: Damp) {
    this.#head = before;
    this.#opened = opened;
    this.#damp = damp;
  }

  add(given: AuditEvent): void {
    const event = this.#damp(given);
    if (!event) return;
    if (this.#opened && this.rows.length === 0) this.#push({ ...this.#opened, at: event.at });
    this.#push(event);
  }

  #push(event: AuditEvent): void {
    const data = visibleJson(JSON.stringify(event));
    const link = linkOf(this.#head, data);
    this.#head = link;
    this.rows.push({ link, at: event.at, event: event.event, sid: event.sid ?? null, data });
    this.entries.push({ ...link, event });
  }
}
