// Whether this replica has the configuration that a replica took last: all are to have the same, and one that does not follow would let in
// whom the others do not.

import type { Logger } from 'pino';
import type { Stopwatch } from '../../shared/time.ts';
import type { PolicyChange } from '../store/changes.ts';

/** Seconds that a replica has to follow: files reach machines at different times. */
const TO_FOLLOW_SECONDS = 60;

export class Policies {
  readonly #own: () => string;
  readonly #stopwatch: Stopwatch;
  readonly #log: Pick<Logger, 'info' | 'error'>;
  #newest: { readonly digest: string; readonly since: number } | undefined;
  #said = false;

  /** @param own the digest of the configuration in force here */
  constructor(own: () => string, stopwatch: Stopwatch, log: Pick<Logger, 'info' | 'error'>) {
    this.#own = own;
    this.#stopwatch = stopwatch;
    this.#log = log;
  }

  heard({ digest }: Pick<PolicyChange, 'digest'>): void {
    if (digest !== this.#newest?.digest) this.#newest = { digest, since: this.#stopwatch() };
  }

  /** False while another replica took another configuration later. */
  get inStep(): boolean {
    return this.#newest === undefined || this.#newest.digest === this.#own();
  }

  /** Looks now. @returns what is wrong once this one had time to follow, in words */
  fault(): string | undefined {
    const late = !this.inStep && this.#stopwatch() - (this.#newest?.since ?? 0) > TO_FOLLOW_SECONDS;
    if (late !== this.#said) {
      this.#said = late;
      const digests = { digest: this.#own(), newest: this.#newest?.digest };
      if (late)
        this.#log.error(digests, 'another replica took another configuration: not ready until this one has it too');
      else this.#log.info(digests, 'the configuration is that of the other replicas again');
    }
    return late ? 'another replica took another configuration' : undefined;
  }
}
