// What became of streams, until the broker's audit log has it: numbered, sent again until it is acknowledged, and bounded. No stream is
// kept open or cut for it.

import { type EventsReport, type GatewayEvent, isEventsReply, MOST_EVENTS } from '../../shared/gateway_events.ts';
import { GATEWAY_PATHS } from '../../shared/gateway_wire.ts';
import type { Broker } from './ask.ts';

/** How many wait at most: for those beyond, one event says how many were lost. */
const MOST_WAITING = 10_000;

/** Without its age, which is told as it is sent. */
export type NewEvent = GatewayEvent extends infer E ? (E extends GatewayEvent ? Omit<E, 'age_ms'> : never) : never;

interface Waiting {
  readonly event: NewEvent;
  /** Milliseconds, by a clock that is never set. */
  readonly at: number;
}

export interface EventsParts {
  readonly broker: Pick<Broker, 'post'>;
  readonly elapsed: () => number;
  /** What tells this process from any other. */
  readonly instance: string;
}

export class Events {
  readonly #parts: EventsParts;
  readonly #waiting: Waiting[] = [];
  /** The number of the first that waits. */
  #first = 1;
  #lost = 0;
  #sending: Promise<void> | undefined;

  constructor(parts: EventsParts) {
    this.#parts = parts;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  tell(event: NewEvent): void {
    if (this.#waiting.length >= MOST_WAITING) this.#lost += 1;
    else this.#waiting.push({ event, at: this.#parts.elapsed() });
  }

  /** Sends all that waits. @throws CurfewError `broker_unreachable`: it waits on */
  flush(): Promise<void> {
    this.#sending ??= this.#send().finally(() => {
      this.#sending = undefined;
    });
    return this.#sending;
  }

  async #send(): Promise<void> {
    while (this.#waiting.length > 0 || this.#lost > 0) {
      if (this.#lost > 0 && this.#waiting.length < MOST_WAITING) {
        this.#waiting.push({ event: { type: 'lost', count: this.#lost }, at: this.#parts.elapsed() });
        this.#lost = 0;
      }
      const { instance, elapsed, broker } = this.#parts;
      const now = elapsed();
      const events = this.#waiting
        .slice(0, MOST_EVENTS)
        .map(({ event, at }) => ({ ...event, age_ms: Math.max(0, Math.round(now - at)) }) as GatewayEvent);
      const report: EventsReport = { instance, first: this.#first, events };
      const { status, body } = await broker.post(GATEWAY_PATHS.events, report);
      if (status === 400) {
        // It would be refused again and again, and all that follow with it.
        this.#lost += events.length;
        this.#advance(events.length);
        continue;
      }
      if (status !== 200 || !isEventsReply(body)) return;
      const done = Math.min(events.length, Math.max(0, body.acknowledged - this.#first + 1));
      if (done === 0) return;
      this.#advance(done);
    }
  }

  #advance(count: number): void {
    this.#waiting.splice(0, count);
    this.#first += count;
  }
}
