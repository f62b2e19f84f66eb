// The broker's clock as the service has it: it is said when it is not believed, and the identity provider is asked for the time
// until it is.

import type { Logger } from 'pino';
import { every } from '../../serving/background.ts';
import type { Seconds } from '../../shared/time.ts';
import { sayApart, WARN_APART } from '../store/clocks_apart.ts';
import type { IdentityProvider } from '../upstream/identity_provider.ts';
import { type BrokerClock, type ClockFault, type ClockParts, createBrokerClock, sayClockFault } from './clock.ts';

/** Milliseconds between two looks, and between two questions to the identity provider. */
const EVERY_MS = 1_000;

export interface WatchedClock extends BrokerClock {
  /** Asks the identity provider once, where its word is needed. Never rejects. */
  ask(): Promise<void>;
  stop(): void;
}

export interface WatchedClockParts extends Omit<ClockParts, 'onChange'> {
  readonly identityProvider: Pick<IdentityProvider, 'askTime' | 'onDate'>;
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>;
}

export function watchedClock({ identityProvider, log, ...parts }: WatchedClockParts): WatchedClock {
  let date: Seconds | undefined;
  /** Not before the identity provider was asked once: at the first start of all there is nothing else to go by. */
  let speaking = false;
  const onChange = (fault: ClockFault | undefined) => {
    if (!speaking) return;
    const clocks = { clock: parts.wall(), identity_provider: date };
    if (fault === undefined) log.info(clocks, 'the clock is believed');
    else log.error({ code: 'clock', fault, ...clocks }, `${sayClockFault(fault)}: nothing is issued`);
  };
  const clock = createBrokerClock({ ...parts, onChange });
  identityProvider.onDate((told) => {
    date = told;
    clock.confirm(told);
  });
  let asking: Promise<void> | undefined;
  const ask = async () => {
    if (clock.fault() === undefined) {
      speaking = true;
      return;
    }
    // Also an answer that is of no use otherwise has a date; and what is wrong with the clock is said in any case.
    asking ??= identityProvider.askTime().catch(() => undefined);
    await asking;
    asking = undefined;
    if (speaking) return;
    speaking = true;
    if (clock.fault() !== undefined) onChange(clock.fault());
  };
  const compared = (seconds: number) => {
    const [before, is] = [isWarned(clock.ahead()), isWarned(seconds)];
    clock.compared(seconds);
    if (is && !before) log.warn({ code: 'clock', ahead_seconds: seconds }, sayApart(seconds));
    if (before && !is) log.info({ ahead_seconds: seconds }, 'the clocks of broker and database agree again');
  };
  const { stop } = every(EVERY_MS, ask, () => undefined);
  return { ...clock, compared, ask, stop: () => void stop() };
}

function isWarned(ahead: number): boolean {
  return Math.abs(ahead) > WARN_APART;
}
