// Who is meant by a name: whoever holds it; where nobody does, whoever holds it in other letters' case; where nobody does either,
// whoever held it before. Better one too many than one that stays open.

import { sql } from 'kysely';
import type { MatchedBy } from '../audit_log/events.ts';
import type { Transaction } from '../store/store.ts';

export interface People {
  /** Of the persons; none where nobody is known by the name. */
  readonly subs: readonly string[];
  readonly matched_by?: MatchedBy | undefined;
}

/** @param username as Kubernetes sees it */
export async function peopleNamed(transaction: Transaction, iss: string, username: string): Promise<People> {
  const holder = await subsOf(transaction, 'person', iss, username, 'exactly');
  if (holder.length > 0) return { subs: holder };
  const alike = await subsOf(transaction, 'person', iss, username, 'folded');
  if (alike.length > 0) return { subs: alike, matched_by: 'case' };
  for (const how of ['exactly', 'folded'] as const) {
    const before = await subsOf(transaction, 'past_name', iss, username, how);
    if (before.length > 0) return { subs: before, matched_by: 'old_name' };
  }
  return { subs: [] };
}

/** Only ASCII letters are folded: so does the database, and so do the systems that mail goes through. */
async function subsOf(
  { db }: Transaction,
  table: 'person' | 'past_name',
  iss: string,
  username: string,
  how: 'exactly' | 'folded',
): Promise<readonly string[]> {
  const fits = how === 'exactly' ? sql`username = ${username}` : sql`lower(username) = lower(${username})`;
  const { rows } = await sql<{ readonly sub: string }>`
    select sub from ${sql.table(table)} where iss = ${iss} and ${fits} order by sub`.execute(db);
  return rows.map(({ sub }) => sub);
}
