// Sessions found in the store. In a transaction what is found is held until that is over.

import { hash } from 'node:crypto';
import { type Kysely, type SelectQueryBuilder, sql } from 'kysely';
import type { Seconds } from '../../shared/time.ts';
import { among, rowLock, skipsHeldRows } from '../store/sql.ts';
import type { Transaction } from '../store/store.ts';
import type { Schema } from '../store/tables.ts';
import type { Person } from './login_after.ts';
import { COLUMNS, type Session, sessionOf } from './session.ts';

type Db = Kysely<Schema>;
type Row = Parameters<typeof sessionOf>[0];

/** Only this is stored of a handle. */
export function hashOfHandle(handle: string): Uint8Array {
  return hash('sha256', handle, 'buffer');
}

// The webhook and renewals look here with each request, and building a query costs more than its answer: these are texts.
const SELECTED = sql.raw(`select ${COLUMNS.map((column) => `"${column}"`).join(', ')} from session`);

export async function findBySid(db: Db, sid: string): Promise<Session | undefined> {
  const { rows } = await sql<Row>`${SELECTED} where sid = ${sid}${rowLock(db)}`.execute(db);
  return rows[0] && sessionOf(rows[0]);
}

export async function findByHandle({ db }: Pick<Transaction, 'db'>, handle: string): Promise<Session | undefined> {
  const handle_hash = hashOfHandle(handle);
  const { rows } = await sql<Row>`${SELECTED} where handle_hash = ${handle_hash}${rowLock(db)}`.execute(db);
  return rows[0] && sessionOf(rows[0]);
}

/** The session itself, or the one that replaced it: that judges what the first has minted. */
export async function findJudged(db: Db, sid: string): Promise<Session | undefined> {
  let session = await findBySid(db, sid);
  for (let i = 0; session?.end_reason === 'replaced' && session.replaced_by !== null && i < MOST_REPLACEMENTS; i++) {
    session = await findBySid(db, session.replaced_by);
  }
  return session;
}

/** Those that there are, held in one order. */
export async function holdSessions(
  { db }: Pick<Transaction, 'db'>,
  sids: readonly string[],
): Promise<readonly Session[]> {
  const { rows } = await sql<Row>`${SELECTED} where sid in (${sql.join(sids)}) order by sid${rowLock(db)}`.execute(db);
  return rows.map(sessionOf);
}

/** Those that there are. Holds nothing. */
export async function findAll(db: Db, sids: readonly string[]): Promise<readonly Session[]> {
  const { rows } = await sql<Row>`${SELECTED} where ${among(db, 'sid', sids)}`.execute(db);
  return rows.map(sessionOf);
}

/** What judges, for many, in few questions. Holds nothing: whoever decides reads the session again. @returns by the id that was asked for */
export async function findAllJudged(db: Db, sids: readonly string[]): Promise<ReadonlyMap<string, Session>> {
  const found = new Map<string, Session>();
  const asked = new Set<string>();
  let wanted: readonly string[] = [...new Set(sids)];
  for (let i = 0; wanted.length > 0 && i <= MOST_REPLACEMENTS; i++) {
    for (const sid of wanted) asked.add(sid);
    for (const session of await findAll(db, wanted)) found.set(session.sid, session);
    const next = [...found.values()].flatMap((session) => replacementOf(session) ?? []);
    wanted = next.filter((sid) => !asked.has(sid));
  }
  const judged = new Map<string, Session>();
  for (const sid of sids) {
    let session = found.get(sid);
    for (let i = 0; session && i < MOST_REPLACEMENTS; i++) {
      const next = replacementOf(session);
      if (next === undefined) break;
      session = found.get(next);
    }
    if (session) judged.set(sid, session);
  }
  return judged;
}

function replacementOf({ end_reason, replaced_by }: Session): string | undefined {
  return end_reason === 'replaced' && replaced_by !== null ? replaced_by : undefined;
}

/** How many times a session may have been replaced by a newer login of the same key while a token is still out. */
const MOST_REPLACEMENTS = 50;

/** Active sessions; `execute` reads them. */
export function active(db: Db): SelectQueryBuilder<Schema, 'session', Row> {
  return db.selectFrom('session').select(COLUMNS).where('ended_at', 'is', null);
}

export async function read(query: SelectQueryBuilder<Schema, 'session', Row>): Promise<Session[]> {
  return (await query.execute()).map(sessionOf);
}

/** The active sessions of a person, the oldest login first. */
export function activeOfPerson({ db }: Pick<Transaction, 'db'>, { iss, sub }: Person): Promise<Session[]> {
  return read(active(db).where('iss', '=', iss).where('sub', '=', sub).orderBy('opened_at').orderBy('sid'));
}

/** The active session that a key holds: at most one. */
export async function activeOfKey({ db }: Transaction, jkt: string): Promise<Session | undefined> {
  const [session] = await read(active(db).where('jkt', '=', jkt));
  return session;
}

/** Active sessions under any of these names. */
export function activeNamed({ db }: Transaction, usernames: readonly string[]): Promise<Session[]> {
  return read(active(db).where('username', 'in', usernames));
}

/**
 * Active sessions that are over if they were not used since they were last written, those that are so longest first. One that another
 * transaction works on is left out: its turn is the next time.
 */
export function overdue({ db }: Transaction, now: Seconds, most: number): Promise<Session[]> {
  const due = active(db).where('over_at', '<=', now).orderBy('over_at').limit(most);
  return read(due.modifyEnd(skipsHeldRows(db)));
}
