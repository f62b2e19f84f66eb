// Since when a login counts. The IdP's clock may be ahead by as much as is tolerated: then a login counts from when it was first
// seen, and goes on doing so, whatever ID token of it comes later. So that lead lengthens no `max_age`.

import { between, earliest, plus, type Seconds, seconds } from '../../shared/time.ts';
import type { Transaction } from '../store/store.ts';
import type { IdTokenClaims } from '../upstream/id_token.ts';

/** How much longer than `max_age` it is remembered, as the policy may be loosened. */
const KEEP = seconds(30 * 86_400);

/** @returns the ID token with the `auth_time` that counts */
export async function countedFromFirstSight({ db }: Transaction, idToken: IdTokenClaims): Promise<IdTokenClaims> {
  const { iss, sub, raw_auth_time: raw, auth_time } = idToken;
  if (auth_time < raw) {
    const first = db.insertInto('counted_login').values({ iss, sub, raw, auth_time });
    await first.onConflict((conflict) => conflict.doNothing()).execute();
  }
  const seen = db.selectFrom('counted_login').select('auth_time').where('iss', '=', iss).where('sub', '=', sub);
  const known = await seen.where('raw', '=', raw).executeTakeFirst();
  return known ? { ...idToken, auth_time: earliest(known.auth_time, auth_time) } : idToken;
}

export async function forgetCounted({ db }: Transaction, max_age: Seconds, now: Seconds): Promise<void> {
  await db
    .deleteFrom('counted_login')
    .where('raw', '<', between(plus(max_age, KEEP), now))
    .execute();
}
