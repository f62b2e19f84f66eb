// Tokens of 0.4.0, whose ids prove nothing. On a store of that version they are still judged for as long as one can be out,
// counted from the first start of this version; they move no clock of use. On a new store there never are any.

import { over, plus, type Seconds } from '../../shared/time.ts';
import type { Store } from '../store/store.ts';

/** While ids of that form are judged. */
export interface OldTokenIds {
  readonly since: Seconds;
  readonly until: Seconds;
}

/** 128 random bits and nothing else. */
const OLD = /^[A-Za-z0-9_-]{22}$/;

/** @param longest how long a token of before can be taken */
export function oldTokenIds(store: Store, longest: Seconds, now: Seconds): Promise<OldTokenIds | undefined> {
  return store.transaction(async ({ db }) => {
    const first = { since: now, until: plus(now, longest) };
    await db.updateTable('old_token_ids').set(first).where('until', 'is', null).execute();
    const row = await db.selectFrom('old_token_ids').select(['since', 'until']).executeTakeFirst();
    return row?.since != null && row.until != null ? { since: row.since, until: row.until } : undefined;
  });
}

/** Also false before `since`: a clock that was far ahead at the first start must not keep the door open for years. */
export function isOldTokenId(id: string, old: OldTokenIds | undefined, now: Seconds): boolean {
  return old !== undefined && OLD.test(id) && over(old.since, now) && !over(old.until, now);
}
