// Which refusals are written, for a transaction that may be repeated.

import type { AuditEvent, RefusalEvent } from '../audit_log/events.ts';
import type { StoreOptions } from '../store/options.ts';

export type Damp = (event: AuditEvent) => AuditEvent | undefined;

/** What of a refusal is written is asked once, however often the transaction is repeated: it counts. */
export function onceEach(damp: StoreOptions['damp']): Damp {
  const answers = new Map<string, RefusalEvent | undefined>();
  return (event) => {
    if (event.event !== 'refusal' || !damp) return event;
    const key = JSON.stringify(event);
    if (!answers.has(key)) answers.set(key, damp(event));
    return answers.get(key);
  };
}
