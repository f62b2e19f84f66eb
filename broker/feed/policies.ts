// Whether this replica has the configuration that all are to have: one that has another would let in whom the others do not.

import type { Logger } from 'pino';
import type { Stopwatch } from '../../shared/time.ts';
import { type Presence, standardOf } from '../store/presence.ts';

/** Seconds that a replica has to follow: files reach machines at different times. */
const TO_FOLLOW_SECONDS = 60;

export class Policies {
  readonly #own: () => string;
  readonly #stopwatch: Stopwatch;
  readonly #log: Pick<Logger, 'info' | 'error'>;
  #standard: string | undefined;
  /** What this one was told to have, in place of what it has, and since when. */
  #apart: { readonly key: string; readonly since: number } | undefined;
  #said = false;

  /** @param own the digest of the configuration in force here */
  constructor(own: () => string, stopwatch: Stopwatch, log: Pick<Logger, 'info' | 'error'>) {
    this.#own = own;
    this.#stopwatch = stopwatch;
    this.#log = log;
  }

  /** Those that are connected now, this one among them. */
  found(replicas: readonly Presence[]): void {
    this.#standard = standardOf(replicas);
    const key = `${this.#standard} ${this.#own()}`;
    if (this.inStep) this.#apart = undefined;
    else if (this.#apart?.key !== key) this.#apart = { key, since: this.#stopwatch() };
  }

  /** False while the replicas are to have another configuration. */
  get inStep(): boolean {
    return this.#standard === undefined || this.#own().startsWith(this.#standard);
  }

  /** Looks now. @returns what is wrong once this one had time to follow, in words */
  fault(): string | undefined {
    const late = !this.inStep && this.#apart !== undefined && this.#stopwatch() - this.#apart.since > TO_FOLLOW_SECONDS;
    if (late !== this.#said) {
      this.#said = late;
      const digests = { digest: this.#own(), wanted: this.#standard };
      if (late)
        this.#log.error(digests, 'the other replicas have another configuration: not ready until this one has it too');
      else this.#log.info(digests, 'the configuration is that of the other replicas again');
    }
    return late ? 'the other replicas have another configuration' : undefined;
  }
}
