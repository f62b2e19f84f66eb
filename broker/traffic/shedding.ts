// Who is sent away while there is more to do than can be done: what matters least first, and whoever asks the most before others.

import { Overload } from '../../serving/net/overload.ts';
import type { Stopwatch } from '../../shared/time.ts';
import type { RequestClass } from './classes.ts';
import { InFlight, type InFlightLimit } from './in_flight.ts';

/** At a thousand renewals a second the last of these waits a quarter of a second. */
const AT_A_TIME: Readonly<Record<RequestClass, InFlightLimit>> = {
  end: { shared: 512, reserved: 512 },
  judgement: { shared: 1024, reserved: 1024 },
  renewal: { shared: 192, reserved: 64 },
  login: { shared: 192, reserved: 64 },
  other: { shared: 64, reserved: 64 },
};

/** From which delay of the event loop on who asks the most is sent away, and from which on everybody, in milliseconds. */
const LATE_MS: Readonly<Record<RequestClass, readonly [many: number, all: number]>> = {
  end: [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY],
  judgement: [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY],
  renewal: [300, 1000],
  login: [250, 750],
  other: [150, 250],
};

/** Requests of a second that make a network one that asks much, while there is too much. */
const MANY = 50;
/** Networks that are counted within a second: beyond them the next are among those that ask little. */
const MOST_NETWORKS = 10_000;

export class Shedding {
  readonly #delay: () => number;
  readonly #stopwatch: Stopwatch;
  readonly #classes: Readonly<Record<RequestClass, InFlight>>;
  readonly #asked = new Map<string, number>();
  #second = 0;
  readonly #overload: Overload;

  /** @param delay of the event loop, in milliseconds */
  constructor(delay: () => number, stopwatch: Stopwatch) {
    this.#delay = delay;
    this.#overload = new Overload(delay);
    this.#stopwatch = stopwatch;
    const inFlight = (name: RequestClass) => new InFlight(AT_A_TIME[name]);
    this.#classes = {
      end: inFlight('end'),
      judgement: inFlight('judgement'),
      renewal: inFlight('renewal'),
      login: inFlight('login'),
      other: inFlight('other'),
    };
  }

  /** Notes that a request came. @returns whether its network is one of those that ask much */
  asks(network: string): boolean {
    const second = Math.floor(this.#stopwatch());
    if (second !== this.#second) this.#asked.clear();
    this.#second = second;
    const before = this.#asked.get(network) ?? 0;
    if (before > 0 || this.#asked.size < MOST_NETWORKS) this.#asked.set(network, before + 1);
    return before >= MANY;
  }

  /** Whether whoever routes requests is to send them elsewhere. */
  overloaded(): boolean {
    return this.#overload.now();
  }

  /** @returns what to call once when the request is over; `undefined` where it is to be sent away */
  take(name: RequestClass, network: string, much: boolean): (() => void) | undefined {
    const [many, all] = LATE_MS[name];
    if (this.#delay() >= (much ? many : all)) return undefined;
    return this.#classes[name].take(network);
  }
}
