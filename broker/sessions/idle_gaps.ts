// Times without use. A session keeps its own with its row; what outlives it is kept for the person, so that a login from before a
// gap brings back no target that the gap denies.

import type { EndReason, Gap } from '../../shared/session.ts';
import { between, plus, type Seconds, seconds } from '../../shared/time.ts';
import { later } from '../store/sql.ts';
import type { Transaction } from '../store/store.ts';
import { KEEP, type Person } from './login_after.ts';
import type { Session } from './session.ts';

/** More than a person's day has; beyond it the shortest are taken together. */
const MOST = 32;

/**
 * The gaps that matter, the oldest first: one that began later and was no shorter stands for those before it. Of too many the
 * newest become one that denies what any of them did.
 */
export function condense(gaps: readonly Gap[]): readonly Gap[] {
  const newest = [...gaps].sort((a, b) => b.start - a.start || b.length - a.length);
  const kept: Gap[] = [];
  for (const gap of newest) if (gap.length > (kept.at(-1)?.length ?? 0)) kept.push(gap);
  const [latest] = kept;
  const rest = kept.slice(Math.max(0, kept.length - MOST));
  const shortest = rest[0];
  if (latest && shortest) rest[0] = { start: latest.start, length: shortest.length };
  return rest.reverse();
}

/** A session's own gaps with the one that a use now closes. */
export function gapsWithUse(gaps: readonly Gap[], last_used: Seconds, now: Seconds): readonly Gap[] {
  const length = between(last_used, now);
  return length === 0 ? gaps : condense([...gaps, { start: last_used, length }]);
}

/** What a session leaves behind as it ends. Where the end itself asks for a newer login, that asks for more than any gap. */
export async function keepGaps(
  { db }: Transaction,
  { iss, sub, gaps, last_used }: Session,
  { reason, since }: { readonly reason: EndReason; readonly since: Seconds },
): Promise<void> {
  // Another session goes on in its place, or nobody does until the next login: then that closes the gap.
  const replaced = reason === 'replaced' || reason === 'too_many_sessions';
  const left = replaced ? gapsWithUse(gaps, last_used, since) : [...gaps, { start: last_used, length: null }];
  for (const { start, length } of left) {
    await db
      .insertInto('idle_gap')
      .values({ iss, sub, start, length })
      .onConflict((conflict) =>
        conflict.columns(['iss', 'sub', 'start']).doUpdateSet((eb) => ({
          // A gap that is open stays open.
          length: later(eb.ref('idle_gap.length'), eb.ref('excluded.length')),
        })),
      )
      .execute();
  }
}

/**
 * The gaps of a person's sessions that a login of `auth_time` may be from before, as of now: of those that ended, and of those
 * that are active, with the time since their last use.
 */
export async function gapsBefore(
  { db }: Transaction,
  { iss, sub, auth_time }: Person & { readonly auth_time: Seconds },
  active: readonly Session[],
  now: Seconds,
): Promise<readonly Gap[]> {
  const rows = db.selectFrom('idle_gap').select(['start', 'length']).where('iss', '=', iss).where('sub', '=', sub);
  const left = (await rows.execute()).map(({ start, length }) => ({ start, length: length ?? between(start, now) }));
  const own = active.flatMap(({ gaps, last_used }) => gapsWithUse(gaps, last_used, now));
  return condense([...left, ...own]).filter(({ start, length }) => auth_time < plus(start, length));
}

/** A session opens: from now on it is judged by its own uses. What no longer matters goes. */
export async function closeGaps({ db }: Transaction, { iss, sub }: Person, now: Seconds): Promise<void> {
  const own = db.selectFrom('idle_gap').select(['start', 'length']).where('iss', '=', iss).where('sub', '=', sub);
  const rows = await own.execute();
  if (rows.length === 0) return;
  const closed = rows.map(({ start, length }) => ({ start, length: length ?? between(start, now) }));
  await db.deleteFrom('idle_gap').where('iss', '=', iss).where('sub', '=', sub).execute();
  const kept = condense(closed).map((gap) => ({ iss, sub, ...gap }));
  if (kept.length > 0) await db.insertInto('idle_gap').values(kept).execute();
}

export async function forgetGaps({ db }: Transaction, now: Seconds): Promise<void> {
  const before = seconds(Math.max(0, now - KEEP));
  await db.deleteFrom('idle_gap').where('start', '<', before).execute();
}
