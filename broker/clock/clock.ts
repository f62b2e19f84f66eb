// Whether the machine's clock can be believed, and what time it is for every decision. Against a clock that was set back stands
// the newest instant that was ever committed at; against one that was set ahead the clock that is never set, and the identity
// provider's. Pure but for what it remembers.

import { CurfewError } from '../../shared/errors.ts';
import { between, type Clock, latest, plus, type Seconds, type Stopwatch, seconds } from '../../shared/time.ts';
import { areTooFarApart } from '../store/clocks_apart.ts';

/** A clock this far behind the newest instant counts as being at it: clocks are corrected by as much all the time. */
const LAG_TOLERATED = seconds(5);
/** How far the clock may move against the one that is never set. */
const JUMP_SECONDS = 60;
/** How far the identity provider's clock may be away for it to agree. */
const AGREES = seconds(300);
/**
 * How far ahead of the newest instant a clock is believed at a start without the identity provider: a restart while that is away
 * must not stop renewals. Less than what a wrong time zone makes, and longer than a machine takes to start.
 */
const PLAUSIBLE = seconds(900);

/** What is wrong with the clock: behind what is known, ahead of it, not confirmed since the start, or not that of the database. */
export const CLOCK_FAULTS = ['behind', 'ahead', 'unconfirmed', 'apart'] as const;
export type ClockFault = (typeof CLOCK_FAULTS)[number];

export interface BrokerClock {
  /**
   * The time for decisions; never goes back once it is known. While the clock is not believed: as the one that is never set has it, for what must
   * be done all the same (an end, a row of the audit log).
   */
  readonly now: Clock;
  /** @returns `undefined` while the clock is believed */
  fault(): ClockFault | undefined;
  /** Whether `now` is what time it is, even where the clock is not believed: it was, since the start. */
  known(): boolean;
  /** To be written down with a commit: nothing while the clock is not believed. */
  newest(): Seconds | undefined;
  /** The newest instant in the store, as of a commit. */
  observe(newest: Seconds): void;
  /** An administrator said which clock holds: what was the newest instant before does not matter any more. */
  accept(newest: Seconds): void;
  /** How many seconds the clock is ahead of the database's. */
  compared(ahead: number): void;
  /** As it was told last. */
  ahead(): number;
  /** The identity provider's clock, as of this moment. @returns whether it agrees */
  confirm(date: Seconds): boolean;
}

export interface ClockParts {
  /** The machine's. */
  readonly wall: Clock;
  readonly monotonic: Stopwatch;
  /** As the store has it at the start; 0 where it has none. */
  readonly newest: Seconds;
  /** Is told when it is believed no more, and when it is again. */
  readonly onChange?: ((fault: ClockFault | undefined) => void) | undefined;
}

export function createBrokerClock({ wall, monotonic, newest: known, onChange }: ClockParts): BrokerClock {
  let newest = known;
  let ahead = 0;
  /** When the clock was last found to be right, by both clocks. */
  let anchor: { readonly at: Seconds; readonly elapsed: number } | undefined;
  /** The latest that was told: nobody has seen a later one. */
  let told = known;
  const believe = (at: Seconds) => {
    anchor = { at, elapsed: monotonic() };
  };
  const expected = (own: Seconds): Seconds => {
    if (!anchor) return newest === 0 ? own : newest;
    const since = seconds(Math.max(0, Math.floor(monotonic() - anchor.elapsed)));
    return latest(newest, plus(anchor.at, since));
  };
  const judge = (own: Seconds): ClockFault | undefined => {
    if (plus(own, LAG_TOLERATED) < newest) return 'behind';
    // At a start; also later, when a clock that was behind is right again.
    if (!anchor && newest !== 0 && own <= plus(newest, PLAUSIBLE)) believe(own);
    if (!anchor) return 'unconfirmed';
    const drift = own - anchor.at - (monotonic() - anchor.elapsed);
    if (Math.abs(drift) <= JUMP_SECONDS) return areTooFarApart(ahead) ? 'apart' : undefined;
    return drift > 0 ? 'ahead' : 'behind';
  };
  let said: ClockFault | undefined;
  const faultOf = (own: Seconds): ClockFault | undefined => {
    const fault = judge(own);
    if (fault !== said) {
      said = fault;
      onChange?.(fault);
    }
    return fault;
  };
  judge(wall());
  return {
    now() {
      const own = wall();
      const fault = faultOf(own);
      if (fault === undefined) newest = latest(newest, own);
      // Nothing says yet what time it is: what is told meanwhile must not hold once it is known.
      if (!anchor && newest === 0) return own;
      told = latest(told, fault === undefined ? newest : expected(own));
      return told;
    },
    fault: () => faultOf(wall()),
    known: () => anchor !== undefined,
    newest() {
      const own = wall();
      return faultOf(own) === undefined ? latest(newest, own) : undefined;
    },
    observe(instant) {
      newest = latest(newest, instant);
    },
    accept(instant) {
      newest = instant;
      told = instant;
      believe(instant);
    },
    compared(seconds) {
      ahead = seconds;
    },
    ahead: () => ahead,
    confirm(date) {
      const own = wall();
      if (apart(own, date) > AGREES) return false;
      if (plus(own, LAG_TOLERATED) >= newest) believe(own);
      return true;
    },
  };
}

/** @throws CurfewError `clock`, as something that is away: nothing is issued by a clock that is not believed */
export function requireClock({ clock }: { readonly clock: Pick<BrokerClock, 'fault'> }): void {
  const fault = clock.fault();
  if (fault === undefined) return;
  throw new CurfewError('clock', sayClockFault(fault), {
    unavailable: true,
    hint: 'ask who runs curfew-broker: its clock is wrong',
  });
}

/**
 * For an end: that is taken also while the clock is not believed, as long as it is known what time it is.
 *
 * @throws CurfewError `clock` likewise
 */
export function requireTime({ clock }: { readonly clock: Pick<BrokerClock, 'fault' | 'known'> }): void {
  if (!clock.known()) requireClock({ clock });
}

export function sayClockFault(fault: ClockFault): string {
  switch (fault) {
    case 'behind':
      return "the broker's clock is behind the time that it has already seen";
    case 'ahead':
      return "the broker's clock was set ahead, and the identity provider's does not agree yet";
    case 'unconfirmed':
      return "the broker's clock is not confirmed yet by the identity provider's";
    case 'apart':
      return "the broker's clock and the database's are too far apart";
  }
}

function apart(a: Seconds, b: Seconds): Seconds {
  return plus(between(a, b), between(b, a));
}
