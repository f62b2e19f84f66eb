// The roles of sessions in databases, as the store knows them: a row is there before its role, and goes after it. So whatever happens in
// between, none is forgotten.

import type { Selectable } from 'kysely';
import { decide } from '../../shared/decide.ts';
import { withYields } from '../../shared/policy.ts';
import { earliest, latest, over, plus, type Seconds, seconds } from '../../shared/time.ts';
import type { Config } from '../config/settings.ts';
import { accessLimits } from '../config/targets.ts';
import { asWhom } from '../policy/accounts.ts';
import { mayLogIn } from '../policy/admission.ts';
import type { SessionRoleTable } from '../store/session_role_table.ts';
import type { Transaction } from '../store/store.ts';
import { factsOf } from './limits.ts';
import type { Session } from './session.ts';

export type SessionRole = Readonly<Selectable<SessionRoleTable>>;
type Db = Transaction['db'];

/** Seconds in which a role is made and given, or it goes: whoever was to give it may have been killed. */
const MAKING = seconds(8);
/** Seconds before the end of a role at which is looked whether its session lasts longer. */
const AHEAD = seconds(30);
/** This long before the database lets nobody in any more it is told to, for longer than between two looks at all. */
const PROLONG_AHEAD = seconds(120);

/** Writes down a role that is to be made. */
export async function planRole(
  { db }: Transaction,
  planned: Pick<SessionRole, 'name' | 'target' | 'account' | 'sid' | 'valid_until'>,
  now: Seconds,
): Promise<SessionRole> {
  const end = plus(now, MAKING);
  const row = { ...planned, made_by: end, given: 0, doomed: 0, over_at: end, next_at: end, attempts: 0 } as const;
  await db.insertInto('session_role').values(row).execute();
  return row;
}

/**
 * The person is given it, once.
 *
 * @param session_end when it is to go unless the session is used again
 * @returns false where it is to go, or has gone: then it must not be given
 */
export async function giveRole(
  { db }: Transaction,
  name: string,
  session_end: Seconds,
  now: Seconds,
): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('session_role')
    .set({ given: 1, over_at: session_end, next_at: nextLook(session_end, now) })
    .where('name', '=', name)
    .where('given', '=', 0)
    .where('doomed', '=', 0)
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}

function nextLook(end: Seconds, now: Seconds): Seconds {
  return earliest(end, latest(plus(now, AHEAD), seconds(end - AHEAD)));
}

/** A role is to go, whatever its session does, be its row still there or not: it may have been made since that went. */
export async function removeRoleSoon({ db }: Transaction, role: SessionRole, now: Seconds): Promise<void> {
  const gone = toBeRemoved(now);
  await db
    .insertInto('session_role')
    .values({ ...role, ...gone })
    .onConflict((conflict) => conflict.column('name').doUpdateSet(gone))
    .execute();
}

function toBeRemoved(now: Seconds) {
  return { doomed: 1, over_at: now, next_at: now } as const;
}

/** It goes; it stays; it stays, and the database is to let its person in until then. */
export type Fate = { readonly goes: true } | { readonly stays: true } | { readonly until: Seconds };

/**
 * What becomes of a role now: it goes if its session is over, or over for this target, or may not be there as this account any more; else
 * it is looked at again when that is to be.
 *
 * @param session with uses that are not written yet; `undefined` when there is none any more
 */
export async function reviewRole(
  { db }: Transaction,
  config: Config,
  role: SessionRole,
  session: Session | undefined,
  now: Seconds,
): Promise<Fate> {
  if (role.doomed === 1) return { goes: true };
  const end = session && (role.given === 1 || !over(role.over_at, now)) ? endOf(config, role, session, now) : undefined;
  const change = end === undefined ? toBeRemoved(now) : heldUntil(role, end, now);
  await db.updateTable('session_role').set(change).where('name', '=', role.name).execute();
  if (end === undefined) return { goes: true };
  const short = role.given === 1 && end > role.valid_until && over(role.valid_until, plus(now, PROLONG_AHEAD));
  return short ? { until: end } : { stays: true };
}

/** Whether it may be there later though it is not there now: whoever makes it is not done. */
export function mayBeMade({ given, made_by }: SessionRole, now: Seconds): boolean {
  return given === 0 && !over(made_by, now);
}

/** One that is only being made has its time, whatever its session has. */
function heldUntil({ given, over_at }: SessionRole, end: Seconds, now: Seconds) {
  return given === 1 ? { over_at: end, next_at: nextLook(end, now) } : { over_at, next_at: over_at };
}

/** @returns when it is over, or `undefined` when it is */
function endOf(config: Config, role: SessionRole, session: Session, now: Seconds): Seconds | undefined {
  const target = config.targets.find(({ name }) => name === role.target);
  if (target?.kind !== 'postgres' || !mayLogIn(config, session)) return undefined;
  const { account } = asWhom(target, session.idp_groups, role.account) ?? {};
  if (account === undefined) return undefined;
  const limits = withYields(accessLimits(config, target, account), { target: target.name, account }, session.yields);
  const verdict = decide(limits, factsOf(session), now);
  return verdict.allow ? verdict.session_end : undefined;
}

/** The database lets its person in until then. */
export async function keepValidUntil({ db }: Transaction, name: string, valid_until: Seconds): Promise<void> {
  await db.updateTable('session_role').set({ valid_until }).where('name', '=', name).execute();
}

/** In the order in which they are to be looked at; also those whose session has ended, by whomever. */
export function dueRoles(db: Db, now: Seconds, most: number): Promise<readonly SessionRole[]> {
  return db
    .selectFrom('session_role')
    .selectAll()
    .where(({ or, and, eb, exists, selectFrom }) =>
      or([
        eb('next_at', '<=', now),
        and([
          eb('doomed', '=', 0),
          exists(
            selectFrom('session')
              .select('session.sid')
              .whereRef('session.sid', '=', 'session_role.sid')
              .where('session.ended_at', 'is not', null),
          ),
        ]),
      ]),
    )
    .orderBy('over_at')
    .limit(most)
    .execute();
}

/** Those of sessions that may be active, by name, from one on. */
export function heldRoles(db: Db, after: string, most: number): Promise<readonly SessionRole[]> {
  const held = db.selectFrom('session_role').selectAll().where('doomed', '=', 0).where('name', '>', after);
  return held.orderBy('name').limit(most).execute();
}

/** It is gone. */
export async function forgetRole({ db }: Transaction, name: string): Promise<void> {
  await db.deleteFrom('session_role').where('name', '=', name).execute();
}

/** It is tried again then. */
export async function postponeRole(
  { db }: Transaction,
  name: string,
  change: Pick<SessionRole, 'next_at' | 'attempts'>,
): Promise<void> {
  const { next_at, attempts } = change;
  await db.updateTable('session_role').set({ next_at, attempts }).where('name', '=', name).execute();
}

/** Writes down roles that no row knows: they are to go. @returns how many there are */
export async function adoptRoles(
  { db }: Transaction,
  target: string,
  found: readonly { readonly name: string; readonly account: string }[],
  now: Seconds,
): Promise<number> {
  let count = 0;
  for (const { name, account } of found) {
    const row = { name, target, account, sid: '', given: 0, made_by: now, valid_until: now, attempts: 0 } as const;
    const { numInsertedOrUpdatedRows } = await db
      .insertInto('session_role')
      .values({ ...row, ...toBeRemoved(now) })
      .onConflict((conflict) => conflict.doNothing())
      .executeTakeFirst();
    count += Number(numInsertedOrUpdatedRows ?? 0n);
  }
  return count;
}

/** How many are to be gone by now, by target. */
export async function countOverdueRoles(db: Db, now: Seconds): Promise<ReadonlyMap<string, number>> {
  const rows = await db
    .selectFrom('session_role')
    .select(({ fn }) => ['target', fn.countAll<number>().as('count')])
    .where('over_at', '<=', now)
    .groupBy('target')
    .execute();
  return new Map(rows.map(({ target, count }) => [target, count]));
}
