// Someone whose signatures are believed, by published keys: read when they are needed, kept while their owner is away, read
// again for a key that is not known, and not too often. No URL out of a token is ever fetched.

import type { BaseLogger } from 'pino';
import { CurfewError } from '../../shared/errors.ts';
import { type Clock, type Seconds, seconds } from '../../shared/time.ts';
import { FAILURE_KINDS, type FailureKind, FetchError } from './fetch_json.ts';
import { candidates, type KeySet, verifiedByOne } from './key_set.ts';

/** What a header says of the signature. */
export interface Signed {
  readonly alg: string;
  readonly kid?: string | undefined;
}

/** What was published, with what stands beside the keys. */
export interface Published {
  readonly keys: KeySet;
}

export type Verified = 'good' | 'bad' | 'unknown_key' | 'unknown_yet';

export interface Signer<P extends Published> {
  /**
   * @returns whether one of the published keys made the signature; `unknown_key` when none could have, `unknown_yet` when none
   *   could have a moment ago, and it is too early to look again
   * @throws CurfewError `identity_provider` when the keys are needed and out of reach
   */
  verify(token: string, signed: Signed): Promise<Verified>;
  /** Asks now. @throws CurfewError `identity_provider` */
  refresh(): Promise<P>;
  /** How often what is published could not be read, since the start. */
  readonly failures: Readonly<Record<FailureKind, number>>;
}

export interface SignerParts<P extends Published> {
  /** For the log: `identity provider`. */
  readonly name: string;
  readonly load: (wait: AbortSignal) => Promise<P>;
  readonly now: Clock;
  readonly log: Pick<BaseLogger, 'warn'>;
  /** For how long an unknown key is not looked for again. */
  readonly pause?: Seconds;
}

/** The last good answer, and when it was asked for. */
interface Known<P> {
  readonly published: P;
  readonly at: Seconds;
}

/** What is published is read again after this long, behind a question that does not wait for it. */
const STALE = seconds(600);
/** Tokens with made-up key ids must not turn us into a load on others. */
const PAUSE = seconds(30);
/** Milliseconds for all that has to be read. */
const WHOLE_WAIT = 7000;

export function createSigner<P extends Published>(parts: SignerParts<P>): Signer<P> {
  const { name, load, now, log, pause = PAUSE } = parts;
  let known: Known<P> | undefined;
  let attempted: Seconds | undefined;
  let flight: Promise<Known<P>> | undefined;
  const failures = Object.fromEntries(FAILURE_KINDS.map((kind) => [kind, 0])) as Record<FailureKind, number>;

  const read = async (): Promise<Known<P>> => {
    attempted = now();
    const at = attempted;
    known = Object.freeze({ published: await load(AbortSignal.timeout(WHOLE_WAIT)), at });
    return known;
  };

  const refresh = (): Promise<Known<P>> => {
    flight ??= read()
      .catch((error: unknown) => {
        failures[error instanceof FetchError ? error.kind : 'answer'] += 1;
        throw error;
      })
      .finally(() => {
        flight = undefined;
      });
    return flight;
  };

  const refreshBehind = (): void => {
    refresh().catch((error: unknown) => {
      const reason = error instanceof CurfewError ? error.message : 'unknown';
      log.warn({ reason }, `${name} not read again, its last answers stay in use`);
    });
  };

  const paused = (): boolean => attempted !== undefined && isWithin(pause, attempted, now());

  const keysFor = async (signed: Signed): Promise<KeySet> => {
    const { published, at } = known ?? (await refresh());
    if (!isWithin(STALE, at, now()) && !paused()) refreshBehind();
    const fitting = candidates(published.keys, signed);
    // one that is under way may bring the key: whoever needs it waits along
    if (fitting.length > 0 || (paused() && !flight)) return fitting;
    return candidates((await refresh()).published.keys, signed);
  };

  return {
    async verify(token, signed) {
      const early = paused() && !flight;
      const keys = await keysFor(signed);
      if (keys.length === 0) return early ? 'unknown_yet' : 'unknown_key';
      return (await verifiedByOne(token, signed.alg, keys)) ? 'good' : 'bad';
    },
    refresh: async () => (await refresh()).published,
    failures,
  };
}

/** A clock that was set back counts as a lapse too: waiting for it to catch up could take hours. */
function isWithin(length: Seconds, since: Seconds, now: Seconds): boolean {
  return now >= since && now - since < length;
}

/** Whoever signed with a key that is newer than what was read just now is to send it again. */
export function notYet(name: string): CurfewError {
  const message = `the ${name} signed with a key that it did not publish a moment ago: send it again`;
  return new CurfewError('identity_provider', message, { retry_after: PAUSE });
}
