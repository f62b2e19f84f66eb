// Sessions as they are now: with the uses that are not written yet, and without what has ended by itself, which is ended. What a
// transaction decides on sessions it decides on these.

import type { Seconds } from '../../shared/time.ts';
import type { Transaction } from '../store/store.ts';
import { endIfDue, endIfOver } from './ending.ts';
import { activeOfKey, activeOfPerson, findBySid } from './find.ts';
import { keyHeld, personHeld } from './holds.ts';
import type { Person } from './login_after.ts';
import type { Session } from './session.ts';
import type { CurrentParts } from './touches.ts';

/**
 * What a transaction holds before it reads anything, in one order: it reads what it holds. SQLite has one writer, so nothing else can
 * change there; a database with row locks takes them.
 */
export interface Locks {
  readonly persons?: readonly Person[];
  /** Thumbprints of keys (RFC 7638). */
  readonly keys?: readonly string[];
  readonly sids?: readonly string[];
}

/**
 * The active sessions of these persons and keys, and with these ids.
 *
 * What session-wide limits have ended is ended as of then. How strong a login must be is asked where something is to be done with it.
 *
 * @param doubt where another replica may have seen a use of one that seems idle: who opens another session has it ended, so that
 *   `login_after` counts; who only looks spares it, and it is not among those that are returned
 */
export async function currentSessions(
  transaction: Transaction,
  { config, touches }: CurrentParts,
  locks: Locks,
  now: Seconds,
  doubt: 'ends' | 'spares' = 'ends',
): Promise<readonly Session[]> {
  const { persons = [], keys = [] } = locks;
  await transaction.hold([...persons.map(personHeld), ...keys.map(keyHeld)]);
  const found = await activeOf(transaction, locks);
  await transaction.hold(found.map(personHeld));
  const current: Session[] = [];
  for (const session of await touches.apply(transaction, found)) {
    if (!(await endIfOver(transaction, session, config.policy, now, doubt))) current.push(session);
  }
  return current;
}

async function activeOf(transaction: Transaction, { persons = [], keys = [], sids = [] }: Locks): Promise<Session[]> {
  const found: (Session | undefined)[] = [];
  for (const person of persons) found.push(...(await activeOfPerson(transaction, person)));
  for (const key of keys) found.push(await activeOfKey(transaction, key));
  // Held in one order, whatever the order in which they are asked for.
  const bySid = new Map<string, Session | undefined>();
  for (const sid of sids.toSorted()) bySid.set(sid, await findBySid(transaction.db, sid));
  for (const sid of sids) found.push(bySid.get(sid));
  const sessions = new Map<string, Session>();
  for (const session of found) if (session?.ended_at === null) sessions.set(session.sid, session);
  return [...sessions.values()];
}

/** One session, active or not, whose limits the caller decides on. What a signal left for its next renewal is done. */
export async function currentSession(
  transaction: Transaction,
  { touches }: Pick<CurrentParts, 'touches'>,
  found: Session,
  now: Seconds,
): Promise<Session> {
  const [current = found] = await touches.apply(transaction, [found]);
  return endIfDue(transaction, current, now);
}
