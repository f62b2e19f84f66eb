// The session of a login: opened once for each ID token, where the person may have one more. Part of the exchange, inside its
// transaction.

import { createHash } from 'node:crypto';
import type { Gap } from '../../shared/session.ts';
import { between, plus, type Seconds, seconds } from '../../shared/time.ts';
import type { Broker } from '../broker.ts';
import type { Caller } from '../policy/caller.ts';
import { type Asked, namesOf } from '../policy/target.ts';
import { isOfAnother } from '../rules/rules.ts';
import { endSession } from '../sessions/ending.ts';
import { activeOfKey, activeOfPerson } from '../sessions/find.ts';
import { closeGaps } from '../sessions/idle_gaps.ts';
import { giveBackIdToken, giveHandle, idTokenUse, openSession, useIdToken } from '../sessions/opened.ts';
import type { Session } from '../sessions/session.ts';
import { keepYields, overAt, touch } from '../sessions/use.ts';
import type { Transaction } from '../store/store.ts';
import { randomId } from '../tokens/random.ts';
import type { IdTokenClaims } from '../upstream/id_token.ts';
import type { Identity } from '../upstream/identity.ts';

/** How long the holder may repeat an exchange whose reply was lost, and how old a token without nonce may be. */
export const RETRY_WINDOW = seconds(60);

/** A login that was verified. */
export interface Login {
  readonly caller: Caller;
  readonly request: { readonly nonce_random?: string | undefined };
  readonly idToken: IdTokenClaims;
  readonly identity: Identity;
}

/** What a session opens with. */
export interface Opening {
  readonly handle: string;
  /** Times without use since the login, in the person's other sessions. */
  readonly idle_before: readonly Gap[];
  /** Of the token that is minted with it. */
  readonly token_exp: Seconds;
}

export interface Opened {
  readonly session: Session;
  readonly retry?: true | undefined;
  readonly replaces?: string | undefined;
}

/** Uses the ID token up and opens its session; for the holder's own retry, that session again with a new handle. */
export async function openOnce(
  transaction: Transaction,
  broker: Pick<Broker, 'config'>,
  login: Login,
  asked: Asked,
  opening: Opening,
  now: Seconds,
): Promise<Opened | 'id_token_used' | 'too_many_sessions'> {
  const { request, idToken, caller } = login;
  const { jkt } = caller.proof;
  const sid = randomId();
  const hash = idToken.signing_input_hash;
  const nonce_hash = createHash('sha256')
    .update(request.nonce_random ?? '')
    .digest('base64url');
  const use = { hash, jkt, nonce_hash, sid, used_at: now, expires_at: plus(idToken.exp, RETRY_WINDOW) };
  if (!(await useIdToken(transaction, use))) {
    return (await retry(transaction, { hash, jkt, nonce_hash }, asked, opening, now)) ?? 'id_token_used';
  }
  // Only now, so that a token that was used before ends no session.
  if (await makeRoom(transaction, broker, login, now)) {
    return open(transaction, login, asked, { ...opening, sid, now });
  }
  await giveBackIdToken(transaction, hash);
  return 'too_many_sessions';
}

/**
 * Sees to it that the person may have one more session, ending the oldest where the policy says so. A session that this
 * login replaces (the same key, or the same ID token again) takes no room.
 *
 * @returns false when there is no room
 */
async function makeRoom(
  transaction: Transaction,
  { config }: Pick<Broker, 'config'>,
  login: Login,
  now: Seconds,
): Promise<boolean> {
  const { max_sessions } = config.policy;
  if (!max_sessions) return true;
  const { jkt } = login.caller.proof;
  const others = (await activeOfPerson(transaction, login.identity)).filter((session) => session.jkt !== jkt);
  const excess = others.length - max_sessions.count + 1;
  if (excess <= 0) return true;
  if (max_sessions.when_exceeded === 'refuse') return false;
  for (const oldest of others.slice(0, excess)) {
    await endSession(transaction, oldest, {
      reason: 'too_many_sessions',
      since: now,
      now,
      address: login.caller.address,
    });
  }
  return true;
}

/** The session that the same holder opened with this ID token a moment ago, if it is active. */
async function retry(
  transaction: Transaction,
  { hash, jkt, nonce_hash }: { readonly hash: string; readonly jkt: string; readonly nonce_hash: string },
  asked: Asked,
  { handle, token_exp }: Opening,
  now: Seconds,
): Promise<Opened | undefined> {
  const before = await idTokenUse(transaction, hash);
  if (before.jkt !== jkt || before.nonce_hash !== nonce_hash || between(before.used_at, now) >= RETRY_WINDOW) {
    return undefined;
  }
  const session = await giveHandle(transaction, before.sid, handle);
  if (!session || !(await touch(transaction, session, asked.limits.session, now, token_exp))) return undefined;
  const others = session.yields.filter((old) => isOfAnother(old, namesOf(asked)));
  await keepYields(transaction, session, [...others, ...asked.yields]);
  return { session, retry: true };
}

async function open(
  transaction: Transaction,
  { caller, idToken, identity }: Login,
  asked: Asked,
  { sid, handle, idle_before, token_exp, now }: Opening & { readonly sid: string; readonly now: Seconds },
): Promise<Opened> {
  const { jkt } = caller.proof;
  const { iss, sub, username, groups, idp_groups } = identity;
  const limits = asked.limits.session;
  const end_at_most = plus(idToken.auth_time, limits.max_age);
  const session: Session = {
    sid,
    iss,
    sub,
    username,
    groups,
    idp_groups,
    jkt,
    idp_sid: idToken.sid ?? null,
    auth_time: idToken.auth_time,
    raw_auth_time: idToken.raw_auth_time,
    revalidated_at: idToken.iat,
    acr: idToken.acr ?? null,
    amr: idToken.amr ?? [],
    end_at_most,
    last_used: now,
    longest_idle: seconds(0),
    gaps: [],
    idle_before,
    over_at: overAt(end_at_most, now, limits),
    opened_at: now,
    address: caller.address,
    user_agent: caller.user_agent ?? null,
    yields: asked.yields,
    token_exp,
    end_at_renewal: null,
    ended_at: null,
    end_reason: null,
    replaced_by: null,
  };
  const before = await activeOfKey(transaction, jkt);
  if (before) {
    // Another person on the same key: nothing of the first continues, so nothing judges it in its place.
    const samePerson = before.iss === iss && before.sub === sub;
    const end = { reason: 'replaced', since: now, now, address: caller.address } as const;
    await endSession(transaction, before, { ...end, replaced_by: samePerson ? sid : undefined });
  }
  await openSession(transaction, session, handle);
  await closeGaps(transaction, identity, now);
  return { session, replaces: before?.sid };
}
