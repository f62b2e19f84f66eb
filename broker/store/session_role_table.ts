// The table of the roles that sessions have in databases, and what makes it.

import { type Kysely, sql } from 'kysely';
import type { Seconds } from '../../shared/time.ts';

/** Roles of sessions in databases: a row is there before its role, and goes after it. */
export interface SessionRoleTable {
  /** Of the role; of no other, ever. */
  name: string;
  target: string;
  /** The role as which the person acts there. */
  account: string;
  sid: string;
  /** Whether the person was given it; before that it is only being made. */
  given: 0 | 1;
  /** By when it is made, or never. */
  made_by: Seconds;
  /** Until when it lets its person in, as the database was told last. */
  valid_until: Seconds;
  /** Whether it is to go, whatever its session does. */
  doomed: 0 | 1;
  /** When it is over, as of the last look at its session. */
  over_at: Seconds;
  /** When it is looked at next. */
  next_at: Seconds;
  attempts: number;
}

/** In both databases, but for their names of integers. */
export const SESSION_ROLES = [
  `create table session_role (
    name text primary key, target text not null, account text not null, sid text not null,
    given bigint not null, made_by bigint not null, valid_until bigint not null, doomed bigint not null,
    over_at bigint not null, next_at bigint not null, attempts bigint not null)`,
  'create index session_role_of_session on session_role (sid) where doomed = 0',
  'create index session_role_next on session_role (next_at)',
] as const;

export async function sessionRoles(db: Kysely<unknown>): Promise<void> {
  const [table, ...indexes] = SESSION_ROLES;
  await sql.raw(`${table.replaceAll('bigint', 'integer')} strict, without rowid`).execute(db);
  for (const index of indexes) await sql.raw(index).execute(db);
}
