// Someone whose signatures are believed, by published keys: read when they are needed, kept while their owner is away, read
// again for a key that is not known, and not too often. No URL out of a token is ever fetched.

import type { BaseLogger } from 'pino';
import { CurfewError } from '../../shared/errors.ts';
import { between, type Clock, earliest, plus, type Seconds, seconds } from '../../shared/time.ts';
import { FAILURE_KINDS, type FailureKind, FetchError } from '../net/fetch_json.ts';
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
  /** In how many seconds a key that is not known yet is looked for again. */
  wait(): Seconds;
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

/** The last time that it was asked for, and how it failed. */
interface Attempt {
  readonly at: Seconds;
  readonly error?: unknown;
}

/** What is published is read again after this long. */
const STALE = seconds(600);
/** Nor are they believed for longer than this: who keeps us from reading them must not keep in use what was taken back. */
const LONGEST = seconds(24 * 3600);
/** Tokens with made-up key ids must not turn us into a load on others. */
const PAUSE = seconds(30);
/** Nor tokens of any kind while they are away; whoever comes back is to be noticed soon. */
const PAUSE_AFTER_FAILURE = seconds(10);
/** Milliseconds for all that has to be read. */
const WHOLE_WAIT_MS = 7000;

export function createSigner<P extends Published>(parts: SignerParts<P>): Signer<P> {
  const { name, load, now, log, pause = PAUSE } = parts;
  let known: Known<P> | undefined;
  let last: Attempt | undefined;
  let flight: Promise<Known<P>> | undefined;
  const failures = Object.fromEntries(FAILURE_KINDS.map((kind) => [kind, 0])) as Record<FailureKind, number>;

  const read = async (): Promise<Known<P>> => {
    const at = now();
    try {
      known = Object.freeze({ published: await load(AbortSignal.timeout(WHOLE_WAIT_MS)), at });
      last = { at };
      return known;
    } catch (error) {
      failures[error instanceof FetchError ? error.kind : 'answer'] += 1;
      last = { at, error };
      throw error;
    }
  };

  const refresh = (): Promise<Known<P>> => {
    flight ??= read().finally(() => {
      flight = undefined;
    });
    return flight;
  };

  /** For how many seconds still nothing is asked, because of the last attempt; one that is under way can be waited for. */
  const held = (): Seconds | undefined => {
    if (!last || flight) return undefined;
    const length = last.error === undefined ? pause : earliest(pause, PAUSE_AFTER_FAILURE);
    return isWithin(length, last.at, now()) ? between(now(), plus(last.at, length)) : undefined;
  };

  /** For whoever cannot go on without: what was found out a moment ago is told again. @throws CurfewError `identity_provider` */
  const required = async (): Promise<Known<P>> => {
    const wait = held();
    if (wait === undefined) return refresh();
    if (known && last?.error === undefined) return known;
    const fault = last?.error instanceof CurfewError ? last.error : undefined;
    const { message = `the ${name} could not be read`, hint } = fault ?? {};
    throw new CurfewError('identity_provider', message, { ...(hint !== undefined && { hint }), retry_after: wait });
  };

  const sayNotRead = (error: unknown): void => {
    const reason = error instanceof CurfewError ? error.message : 'unknown';
    log.warn({ reason }, `${name} not read again, its last answers stay in use`);
  };

  /** What is old is read again before anything is believed by it; while that fails it stays in use, for a day. */
  const believed = async (): Promise<Known<P>> => {
    const last_good = known;
    if (!last_good || !isWithin(LONGEST, last_good.at, now())) return required();
    if (isWithin(STALE, last_good.at, now()) || held() !== undefined) return last_good;
    return refresh().catch((error: unknown) => {
      sayNotRead(error);
      return last_good;
    });
  };

  /** @param early whether it was too early to look, as this was asked */
  const keysFor = async (signed: Signed, early: boolean): Promise<KeySet> => {
    const fitting = candidates((await believed()).published.keys, signed);
    // one that is under way may bring the key: whoever needs it waits along
    return fitting.length > 0 || early ? fitting : candidates((await required()).published.keys, signed);
  };

  return {
    async verify(token, signed) {
      const early = held() !== undefined;
      const keys = await keysFor(signed, early);
      if (keys.length === 0) return early ? 'unknown_yet' : 'unknown_key';
      if (await verifiedByOne(token, signed.alg, keys)) return 'good';
      // Keys may be others under a known name, and what was read may have been wrong: the next one is to be judged by what is true by then.
      if (held() === undefined) refresh().catch(sayNotRead);
      return 'bad';
    },
    wait: () => held() ?? seconds(1),
    refresh: async () => (await refresh()).published,
    failures,
  };
}

/** A clock that was set back counts as a lapse too: waiting for it to catch up could take hours. */
function isWithin(length: Seconds, since: Seconds, now: Seconds): boolean {
  return now >= since && now - since < length;
}

/** Whoever signed with a key that is newer than what was read just now is to send it again. @param retry_after of the signer */
export function notYet(name: string, retry_after: Seconds): CurfewError {
  const message = `the ${name} signed with a key that it did not publish a moment ago: send it again`;
  return new CurfewError('identity_provider', message, { retry_after });
}
