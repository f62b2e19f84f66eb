// Since when a person must have authenticated: what an end, or a word of the identity provider, leaves behind, so that the
// IdP's active single sign-on brings no session back. Also for those who never had a session here.

import { earliest, latest, plus, type Seconds, seconds } from '../../shared/time.ts';
import { later } from '../store/sql.ts';
import type { Transaction } from '../store/store.ts';

export interface Person {
  readonly iss: string;
  readonly sub: string;
}

/** A person, or a session at the IdP: whoever logs in with it. */
export type Subject = { readonly iss: string } & ({ readonly sub: string } | { readonly idp_sid: string });

/**
 * The first `auth_time` of a login that is newer than a session's, and than its end: in the second of the login itself, or while
 * the IdP's clock is ahead, the end alone would let that login in again.
 */
export function laterLogin(
  { raw_auth_time, auth_time }: { readonly raw_auth_time: Seconds | null; readonly auth_time: Seconds },
  end: Seconds,
): Seconds {
  return latest(end, plus(raw_auth_time ?? auth_time, seconds(1)));
}

/** A login with an earlier `auth_time` opens no session from now on. Only ever moves forward. */
export async function requireLoginAfter({ db }: Transaction, subject: Subject, instant: Seconds): Promise<void> {
  await db
    .insertInto('login_after')
    .values({ iss: subject.iss, ...keyOf(subject), instant })
    .onConflict((conflict) =>
      conflict
        .columns(['iss', 'kind', 'id'])
        .doUpdateSet((eb) => ({ instant: later(eb.ref('login_after.instant'), eb.ref('excluded.instant')) })),
    )
    .execute();
}

/** @returns 0 where nothing was ever demanded */
export async function loginAfterOf(
  { db, over_before }: Transaction,
  { iss, sub, idp_sid }: { readonly iss: string; readonly sub: string; readonly idp_sid?: string | undefined },
): Promise<Seconds> {
  const subjects: Subject[] = [{ iss, sub }, ...(idp_sid === undefined ? [] : [{ iss, idp_sid }])];
  const instants = await Promise.all(
    subjects.map((subject) => {
      const { kind, id } = keyOf(subject);
      const found = db.selectFrom('login_after').select('instant').where('iss', '=', iss);
      return found.where('kind', '=', kind).where('id', '=', id).executeTakeFirst();
    }),
  );
  return seconds(Math.max(over_before, ...instants.map((row) => row?.instant ?? 0)));
}

/** Longer than any `max_age`: a login from before is too old by itself. */
export const KEEP = seconds(400 * 86_400);

export async function forgetLoginAfter({ db }: Transaction, now: Seconds): Promise<void> {
  const before = seconds(now - earliest(now, KEEP));
  await db.deleteFrom('login_after').where('instant', '<', before).execute();
}

function keyOf(subject: Subject): { readonly kind: 'sub' | 'idp_sid'; readonly id: string } {
  return 'sub' in subject ? { kind: 'sub', id: subject.sub } : { kind: 'idp_sid', id: subject.idp_sid };
}
