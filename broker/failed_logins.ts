// Failed logins, noticed: counted for the person where the ID token says whose login it was, and for the address where
// nothing does. Too many within the window are answered with growing delays, told in the record, and reported.

import { createHash } from 'node:crypto';
import { SocketAddress } from 'node:net';
import type { Kysely } from 'kysely';
import { sayDuration } from '../shared/duration.ts';
import { type Code, meaning } from '../shared/errors.ts';
import type { EndReason } from '../shared/session.ts';
import { between, over, plus, type Seconds, seconds } from '../shared/time.ts';
import type { FailedLoginsEvent } from './audit.ts';
import type { Broker } from './broker.ts';
import { queueReports } from './hooks.ts';
import { plainSpelling } from './rules/network.ts';
import type { Schema } from './store/schema.ts';
import type { Transaction } from './store/store.ts';

/** Whose failures are counted together. An address is one of many people: it may fail more often, and waits less. */
export type Failing =
  | {
      readonly by: 'person';
      readonly iss: string;
      readonly sub: string;
      readonly username?: string | undefined;
      readonly address: string;
    }
  | { readonly by: 'address'; readonly address: string };

const PEOPLE_AT_AN_ADDRESS = 4;
const LONGEST_DELAY = { person: 60, address: 30 } as const;
/** Addresses that are kept: beyond them the oldest are forgotten, so that a flood from many of them fills no disk. */
const MOST_ADDRESSES = 50_000;

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

/** @returns for how many seconds a delay still runs: nothing is judged then, and nothing is counted */
export async function delayOf(db: Kysely<Schema>, failing: Failing, now: Seconds): Promise<Seconds | undefined> {
  const row = db.selectFrom('failed_login').select('blocked_until').where('key', '=', keyOf(failing));
  const blocked_until = (await row.executeTakeFirst())?.blocked_until;
  if (blocked_until === undefined || over(blocked_until, now)) return undefined;
  const retry_after = between(now, blocked_until);
  // A clock that was set back must not make a delay longer than it can be.
  return retry_after > LONGEST_DELAY[failing.by] ? undefined : retry_after;
}

export function sayDelay(retry_after: Seconds): string {
  return `too many failed logins: try again in ${sayDuration(retry_after)}`;
}

/** Counts one more. At the threshold and whenever their number has doubled it is told and reported. */
export async function noteFailure(
  transaction: Transaction,
  { config }: Pick<Broker, 'config'>,
  failing: Failing,
  reason: Code,
  now: Seconds,
): Promise<void> {
  const { db } = transaction;
  const { window, count: few } = config.policy.failed_logins;
  const threshold = failing.by === 'person' ? few : few * PEOPLE_AT_AN_ADDRESS;
  const key = keyOf(failing);
  const before = await db.selectFrom('failed_login').selectAll().where('key', '=', key).executeTakeFirst();
  const goes_on = before !== undefined && between(before.first_at, now) < window;
  const count = goes_on ? before.count + 1 : 1;
  const delay = delayAfter(count - threshold, LONGEST_DELAY[failing.by]);
  const row = { count, first_at: goes_on ? before.first_at : now, last_at: now, blocked_until: plus(now, delay) };
  const insert = db.insertInto('failed_login').values({ key, ...row });
  await insert.onConflict((conflict) => conflict.column('key').doUpdateSet(row)).execute();
  if (!isDoubling(count, threshold)) return;
  const event: FailedLoginsEvent = {
    ...{ event: 'failed_logins', at: now, ...failing, count, window, delay, reason },
    ...(failing.by === 'person' && { end_reason: await lastTimeout(transaction, failing) }),
  };
  await transaction.audit(event);
  await queueReports(transaction, config, event);
}

/** A login that succeeded: the person is who they say. What others do at the same address is another matter. */
export async function forgetFailures({ db }: Transaction, failing: Failing): Promise<void> {
  await db.deleteFrom('failed_login').where('key', '=', keyOf(failing)).execute();
}

/** Forgets windows that are over, and the oldest where there are too many. */
export async function sweepFailures(
  { db }: Transaction,
  { config }: Pick<Broker, 'config'>,
  now: Seconds,
): Promise<void> {
  const { window } = config.policy.failed_logins;
  const begin = seconds(Math.max(0, now - window));
  await db.deleteFrom('failed_login').where('last_at', '<=', begin).where('blocked_until', '<=', now).execute();
  const addresses = db.selectFrom('failed_login').where('key', 'like', 'address:%');
  const { rows } = await addresses.select(({ fn }) => fn.countAll<number>().as('rows')).executeTakeFirstOrThrow();
  if (rows <= MOST_ADDRESSES) return;
  const oldest = addresses
    .select('key')
    .orderBy('last_at')
    .limit(rows - MOST_ADDRESSES);
  await db.deleteFrom('failed_login').where('key', 'in', oldest).execute();
}

/** 1, 2, 4, ... seconds from the threshold on. */
function delayAfter(beyond: number, longest: number): Seconds {
  return beyond < 0 ? seconds(0) : seconds(Math.min(2 ** Math.min(beyond, 30), longest));
}

function isDoubling(count: number, threshold: number): boolean {
  return count >= threshold && Number.isInteger(Math.log2(count / threshold));
}

/** How the person's last session ended, if time ended it: whoever fails then does not get back in. */
async function lastTimeout(
  { db }: Transaction,
  { iss, sub }: { readonly iss: string; readonly sub: string },
): Promise<EndReason | undefined> {
  const ended = db.selectFrom('session').select('end_reason').where('ended_at', 'is not', null);
  const last = await ended.where('iss', '=', iss).where('sub', '=', sub).orderBy('ended_at', 'desc').executeTakeFirst();
  const reason = last?.end_reason;
  return reason === 'max_age' || reason === 'inactivity_timeout' ? reason : undefined;
}

function keyOf(failing: Failing): string {
  if (failing.by === 'address') return `address:${networkOf(failing.address)}`;
  return `person:${createHash('sha256').update(`${failing.iss}\n${failing.sub}`).digest('base64url')}`;
}

/** Of IPv6 the first 64 bits: a single host has as many addresses as it likes. */
export function networkOf(address: string): string {
  const plain = plainSpelling(address);
  if (!plain.includes(':')) return plain;
  const [head = '', tail] = new SocketAddress({ address: plain, family: 'ipv6' }).address.split('::');
  const first = head.split(':').filter((part) => part !== '');
  const last = (tail ?? '').split(':').filter((part) => part !== '');
  const zeros = Array.from({ length: tail === undefined ? 0 : 8 - first.length - last.length }, () => '0');
  return `${[...first, ...zeros, ...last].slice(0, 4).join(':')}::/64`;
}
