// Failed logins, noticed: counted for the person where the ID token says whose login it was, and for the address where
// nothing does. Too many within the window are answered with growing delays, told in the audit log, and reported. What is counted
// for a person is in the store; for an address in memory alone, as strangers are not to write on our disk.

import { createHash } from 'node:crypto';
import type { Kysely } from 'kysely';
import { pauseAfter } from '../../serving/background.ts';
import { networkOf } from '../../serving/net/address.ts';
import { sayDuration } from '../../shared/duration.ts';
import { type Code, meaning } from '../../shared/errors.ts';
import { between, over, plus, type Seconds, seconds } from '../../shared/time.ts';
import type { FailedLoginsEvent } from '../audit_log/events.ts';
import type { Config } from '../config/settings.ts';
import { queueReports } from '../hooks/queue.ts';
import { Allowance } from '../refusals/allowance.ts';
import { lastTimeout } from '../sessions/ending.ts';
import type { Transaction } from '../store/store.ts';
import type { Schema } from '../store/tables.ts';

/** Whose failures are counted together: of an address, many people's. It may fail more often, and waits less. */
export type Failing =
  | {
      readonly by: 'person';
      readonly iss: string;
      readonly sub: string;
      readonly username?: string | undefined;
      readonly address: string;
    }
  | { readonly by: 'address'; readonly address: string };

type Person = Failing & { readonly by: 'person' };

const PEOPLE_AT_AN_ADDRESS = 4;
const LONGEST_DELAY = { person: 60, address: 30 } as const;
/** Addresses that are remembered: beyond them the oldest are forgotten, so that a flood from many of them fills no memory. */
const MOST_ADDRESSES = 10_000;
/** Rows and reports about addresses: somebody may have as many of them as they like. */
const TOLD = { at_once: 100, a_minute: 10 } as const;

/** Refusals that are no sign of anything: our own state, the policy's, or a request that was repeated. */
const NO_FAILURE: ReadonlySet<Code> = new Set([
  'proof_replayed',
  'proof_nonce',
  'invalid_target',
  'rule_error',
  'too_many_sessions',
  'too_many_failures',
  'request_invalid',
  'grant_type',
]);

export function isFailedLogin(code: Code): boolean {
  return meaning(code).status < 500 && !NO_FAILURE.has(code);
}

/** What was counted for somebody in the window that runs. */
interface Failures {
  readonly count: number;
  readonly first_at: Seconds;
  readonly last_at: Seconds;
  readonly blocked_until: Seconds;
}

type Settings = Config['policy']['failed_logins'];

/** @returns for how many seconds a delay still runs: nothing is judged then, and nothing is counted */
export async function delayOf(db: Kysely<Schema>, person: Person, now: Seconds): Promise<Seconds | undefined> {
  const row = db.selectFrom('failed_login').select('blocked_until').where('key', '=', keyOf(person));
  const blocked_until = (await row.executeTakeFirst())?.blocked_until;
  return blocked_until === undefined ? undefined : remaining('person', blocked_until, now);
}

export function sayDelay(retry_after: Seconds): string {
  return `too many failed logins: try again in ${sayDuration(retry_after)}`;
}

/** Counts one more of a person. At the threshold and whenever their number has doubled it is told and reported. */
export async function noteFailure(
  transaction: Transaction,
  { config }: { readonly config: Config },
  person: Person,
  reason: Code,
  now: Seconds,
): Promise<void> {
  const { db } = transaction;
  const key = keyOf(person);
  const before = await db.selectFrom('failed_login').selectAll().where('key', '=', key).executeTakeFirst();
  const { failures, told } = oneMore('person', before, config.policy.failed_logins, now);
  const insert = db.insertInto('failed_login').values({ key, ...failures });
  await insert.onConflict((conflict) => conflict.column('key').doUpdateSet(failures)).execute();
  if (!told) return;
  const event = eventOf(person, failures, config, reason, now);
  await tellFailures(transaction, config, { ...event, end_reason: await lastTimeout(transaction, person) });
}

/** Failed logins of nobody knows whom, by address. */
export class FailingAddresses {
  /** By network; those that failed last come last. */
  readonly #failures = new Map<string, Failures>();
  readonly #told = new Allowance(TOLD);

  /** @returns likewise for how many seconds a delay still runs */
  delayOf(address: string, now: Seconds): Seconds | undefined {
    const failures = this.#failures.get(networkOf(address));
    return failures && remaining('address', failures.blocked_until, now);
  }

  /** Counts one more. @returns the event that is to be told and reported, if this is one */
  note(address: string, config: Config, reason: Code, now: Seconds): FailedLoginsEvent | undefined {
    const key = networkOf(address);
    const { failures, told } = oneMore('address', this.#failures.get(key), config.policy.failed_logins, now);
    this.#failures.delete(key);
    this.#failures.set(key, failures);
    if (this.#failures.size > MOST_ADDRESSES)
      for (const oldest of this.#failures.keys()) if (this.#failures.delete(oldest)) break;
    return told && this.#told.take(now)
      ? eventOf({ by: 'address', address }, failures, config, reason, now)
      : undefined;
  }
}

/** Tells what was counted, and reports it. */
export async function tellFailures(transaction: Transaction, config: Config, event: FailedLoginsEvent): Promise<void> {
  await transaction.audit(event);
  await queueReports(transaction, config, event);
}

/** A login that succeeded: the person is who they say. What others do at the same address is another matter. */
export async function forgetFailures({ db }: Transaction, person: Person): Promise<void> {
  await db.deleteFrom('failed_login').where('key', '=', keyOf(person)).execute();
}

/** Forgets windows that are over. */
export async function sweepFailures(
  { db }: Transaction,
  { config }: { readonly config: Config },
  now: Seconds,
): Promise<void> {
  const { window } = config.policy.failed_logins;
  const begin = seconds(Math.max(0, now - window));
  await db.deleteFrom('failed_login').where('last_at', '<=', begin).where('blocked_until', '<=', now).execute();
}

/** @returns what is counted now, and whether it is to be told */
function oneMore(
  by: Failing['by'],
  before: Failures | undefined,
  { window, count: few }: Settings,
  now: Seconds,
): { readonly failures: Failures; readonly told: boolean } {
  const threshold = thresholdOf(by, few);
  const continued = before !== undefined && between(before.first_at, now) < window;
  const count = continued ? before.count + 1 : 1;
  const blocked_until = plus(now, delayAfter(count - threshold, LONGEST_DELAY[by]));
  const failures = { count, first_at: continued ? before.first_at : now, last_at: now, blocked_until };
  return { failures, told: isDoubling(count, threshold) };
}

function thresholdOf(by: Failing['by'], few: number): number {
  return by === 'person' ? few : few * PEOPLE_AT_AN_ADDRESS;
}

function remaining(by: Failing['by'], blocked_until: Seconds, now: Seconds): Seconds | undefined {
  if (over(blocked_until, now)) return undefined;
  const retry_after = between(now, blocked_until);
  // A clock that was set back must not make a delay longer than it can be.
  return retry_after > LONGEST_DELAY[by] ? undefined : retry_after;
}

function eventOf(
  failing: Failing,
  { count, blocked_until }: Failures,
  { policy }: Config,
  reason: Code,
  now: Seconds,
): FailedLoginsEvent {
  const { window } = policy.failed_logins;
  const delay = between(now, blocked_until);
  return { event: 'failed_logins', at: now, ...failing, count, window, delay, reason };
}

/** 1, 2, 4, ... seconds from the threshold on. */
function delayAfter(beyond: number, longest: number): Seconds {
  return beyond < 0 ? seconds(0) : pauseAfter(beyond, longest);
}

function isDoubling(count: number, threshold: number): boolean {
  return count >= threshold && Number.isInteger(Math.log2(count / threshold));
}

function keyOf({ iss, sub }: Person): string {
  return `person:${createHash('sha256').update(`${iss}\n${sub}`).digest('base64url')}`;
}
