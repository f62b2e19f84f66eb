// Token exchange (RFC 8693): an ID token in, a session and its first Kubernetes token out. Verify, decide, consume, sign.

import { createHash } from 'node:crypto';
import { decide } from '../shared/decide.ts';
import { sayDuration } from '../shared/duration.ts';
import { CurfewError } from '../shared/errors.ts';
import { between, plus, type Seconds, seconds } from '../shared/time.ts';
import { TOKEN_TYPE } from '../shared/wire.ts';
import {
  type Asked,
  type Broker,
  type Caller,
  consumeProof,
  type Granted,
  type Refused,
  recordMint,
  refuse,
  refuseByVerdict,
  resolveTarget,
  rulesOf,
  tokenReply,
  wireSession,
} from './broker.ts';
import { admits, type Identity, identify } from './identity.ts';
import {
  endSession,
  findByHandle,
  hashOfHandle,
  livingOfKey,
  livingOfPerson,
  openSession,
  overAt,
  randomHandle,
  randomId,
  type Session,
  settle,
  touch,
} from './sessions.ts';
import type { Transaction } from './store/store.ts';
import type { IdTokenClaims } from './upstream/id_token.ts';

export interface ExchangeRequest {
  readonly subject_token: string;
  readonly client_id: string;
  readonly nonce_random?: string | undefined;
  readonly audience?: string | undefined;
  readonly max_age?: Seconds | undefined;
}

/** How long the holder may repeat an exchange whose reply was lost, and how old a token without nonce may be. */
const RETRY_WINDOW = seconds(60);

/**
 * @throws CurfewError with the code of what is wrong with the ID token, before anything was decided
 */
export async function exchange(broker: Broker, caller: Caller, request: ExchangeRequest): Promise<Granted | Refused> {
  const { config, store, identityProvider, now } = broker;
  if (request.client_id !== config.identity_provider.client_id) {
    throw new CurfewError('id_token_audience', 'client_id is not the one of this broker');
  }
  const idToken = await identityProvider.verifyIdToken(request.subject_token, now());
  checkBinding(idToken, caller, request, config.identity_provider.device_grant, now());
  const identity = identify(idToken, config.identity_provider);
  return store.transaction((transaction) =>
    openOrRefuse(transaction, broker, { caller, request, idToken, identity }, now()),
  );
}

interface Login {
  readonly caller: Caller;
  readonly request: ExchangeRequest;
  readonly idToken: IdTokenClaims;
  readonly identity: Identity;
}

async function openOrRefuse(
  transaction: Transaction,
  broker: Broker,
  login: Login,
  now: Seconds,
): Promise<Granted | Refused> {
  const { config, keys, touches } = broker;
  const { caller, request, idToken, identity } = login;
  const { auth_time, acr, amr = [] } = idToken;
  const { iss, sub, username } = identity;
  const event = {
    grant: 'exchange',
    at: now,
    iss,
    sub,
    username,
    jkt: caller.proof.jkt,
    address: caller.address,
  } as const;

  if (!(await consumeProof(transaction, caller.proof))) {
    return refuse(transaction, event, 'proof_replayed', 'the DPoP proof was used before');
  }
  if (!admits(config.identity_provider.allowed_groups, identity.idp_groups)) {
    return refuse(transaction, event, 'not_admitted', `${username} is in none of the groups that may log in`);
  }
  const user = { name: identity.idp_username, groups: identity.idp_groups, acr, amr };
  const asked = resolveTarget(config, request, { user, login_address: caller.address }, caller, now);
  if (!asked) return refuse(transaction, event, 'invalid_target', NO_SUCH_TARGET);

  // What has ended by itself must have set `login_after` before this login is held against it.
  const before = await touches.apply(transaction, await livingOfPerson(transaction, identity));
  await settle(transaction, before, config.policy, now);
  const login_after = await holdUsername(transaction, identity);
  if (login_after === undefined) {
    return refuse(transaction, event, 'username_taken', `the username ${username} is held by another person`);
  }
  if (auth_time < login_after) {
    const age = sayDuration(between(auth_time, now));
    return refuse(
      transaction,
      event,
      'login_after',
      `the last session was ended after this login (${age} ago): log in anew`,
    );
  }
  const end_at_most = plus(auth_time, asked.limits.session.max_age);
  const verdict = decide(asked.limits, { auth_time, last_used: now, end_at_most, acr }, now);
  if (!verdict.allow) return refuseByVerdict(transaction, { ...event, cluster: asked.cluster?.name }, verdict, asked);

  const room = await makeRoom(transaction, broker, login, now);
  if (!room) {
    const { count = 0 } = config.policy.max_sessions ?? {};
    return refuse(transaction, event, 'too_many_sessions', `${username} has ${count} sessions, and may have no more`);
  }
  const handle = randomHandle();
  const opened = await consumeIdToken(transaction, login, asked, handle, now);
  if (!opened) return refuse(transaction, event, 'id_token_used', 'this ID token was exchanged before');
  const { session, retry, replaces } = opened;
  const { sid } = session;
  await transaction.audit({
    ...{ event: 'login', at: now, sid, iss, sub, username, jkt: caller.proof.jkt, address: caller.address },
    ...{ auth_time, acr, groups: identity.groups, session_end: session.end_at_most, rules: rulesOf(asked) },
    ...{ ...(retry && { retry }), replaces },
  });
  const wire = wireSession(session, asked.limits, verdict.session_end, now);
  if (!isCluster(asked)) return { reply: handleReply(handle, wire.session_end, now, wire) };
  const claims = await recordMint(transaction, config.issuer, session, asked, verdict, {
    now,
    address: caller.address,
  });
  return { reply: tokenReply(keys, claims, wire, handle) };
}

export const NO_SUCH_TARGET = 'there is no such cluster, or it does not admit you';

function isCluster(asked: Asked): asked is Asked & { cluster: NonNullable<Asked['cluster']> } {
  return asked.cluster !== undefined;
}

/** The ID token's nonce commits to the key of the proof, so that the token is worthless to anybody else. */
function checkBinding(
  { nonce, iat }: IdTokenClaims,
  { proof }: Caller,
  { nonce_random }: ExchangeRequest,
  device_grant: boolean,
  now: Seconds,
): void {
  if (nonce === undefined) {
    if (!device_grant) throw new CurfewError('id_token_nonce', 'the ID token has no nonce');
    if (between(iat, now) > RETRY_WINDOW)
      throw new CurfewError('id_token_expired', 'the ID token without nonce is older than 60s');
    return;
  }
  const commitment = createHash('sha256')
    .update(`${proof.jkt}.${nonce_random ?? ''}`)
    .digest('base64url');
  if (nonce_random === undefined || nonce !== commitment) {
    throw new CurfewError('id_token_nonce', 'the nonce of the ID token does not commit to the key of the DPoP proof');
  }
}

/**
 * Makes the person known, or follows a change of name, unless another person holds the name.
 *
 * @returns since when the person must have logged in, or `undefined` when the name is taken
 */
async function holdUsername({ db }: Transaction, { iss, sub, username }: Identity): Promise<Seconds | undefined> {
  const holder = await db.selectFrom('person').selectAll().where('username', '=', username).executeTakeFirst();
  if (holder) return holder.iss === iss && holder.sub === sub ? holder.login_after : undefined;
  const { login_after } = await db
    .insertInto('person')
    .values({ iss, sub, username, login_after: seconds(0) })
    .onConflict((conflict) => conflict.columns(['iss', 'sub']).doUpdateSet({ username }))
    .returning('login_after')
    .executeTakeFirstOrThrow();
  return login_after;
}

/**
 * Sees to it that the person may have one more session, ending the oldest where the policy says so. A session that this
 * login replaces (the same key, or the same ID token again) takes no room.
 *
 * @returns false when there is no room
 */
async function makeRoom(transaction: Transaction, { config }: Broker, login: Login, now: Seconds): Promise<boolean> {
  const { max_sessions } = config.policy;
  if (!max_sessions) return true;
  const { jkt } = login.caller.proof;
  const others = (await livingOfPerson(transaction, login.identity)).filter((session) => session.jkt !== jkt);
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

interface Opened {
  readonly session: Session;
  readonly retry?: true | undefined;
  readonly replaces?: string | undefined;
}

/** Uses the ID token up and opens its session; for the holder's own retry, that session again with a new handle. */
async function consumeIdToken(
  transaction: Transaction,
  login: Login,
  asked: Asked,
  handle: string,
  now: Seconds,
): Promise<Opened | undefined> {
  const { request, idToken, caller } = login;
  const { jkt } = caller.proof;
  const sid = randomId();
  const nonce_hash = createHash('sha256')
    .update(request.nonce_random ?? '')
    .digest('base64url');
  const use = { hash: idToken.signing_input_hash, jkt, nonce_hash, sid, used_at: now };
  const { numInsertedOrUpdatedRows } = await transaction.db
    .insertInto('id_token_use')
    .values({ ...use, expires_at: plus(idToken.exp, RETRY_WINDOW) })
    .onConflict((conflict) => conflict.doNothing())
    .executeTakeFirst();
  if (numInsertedOrUpdatedRows === 1n) return open(transaction, login, asked, { sid, handle, now });

  const before = await transaction.db
    .selectFrom('id_token_use')
    .selectAll()
    .where('hash', '=', use.hash)
    .executeTakeFirstOrThrow();
  if (before.jkt !== jkt || before.nonce_hash !== nonce_hash || between(before.used_at, now) >= RETRY_WINDOW)
    return undefined;
  await transaction.db
    .updateTable('session')
    .set({ handle_hash: hashOfHandle(handle) })
    .where('sid', '=', before.sid)
    .where('ended_at', 'is', null)
    .execute();
  const session = await findByHandle(transaction, handle);
  if (!session || !(await touch(transaction, session, asked.limits.session, now))) return undefined;
  return { session, retry: true };
}

async function open(
  transaction: Transaction,
  { caller, idToken, identity }: Login,
  asked: Asked,
  { sid, handle, now }: { sid: string; handle: string; now: Seconds },
): Promise<Opened> {
  const { jkt } = caller.proof;
  const { iss, sub, username, groups, idp_groups } = identity;
  const limits = asked.limits.session;
  const end_at_most = plus(idToken.auth_time, limits.max_age);
  const session: Session = {
    ...{ sid, iss, sub, username, groups: JSON.stringify(groups), idp_groups: JSON.stringify(idp_groups) },
    ...{ jkt, handle_hash: hashOfHandle(handle), idp_sid: idToken.sid ?? null },
    ...{
      auth_time: idToken.auth_time,
      acr: idToken.acr ?? null,
      amr: idToken.amr ? JSON.stringify(idToken.amr) : null,
    },
    ...{ end_at_most, last_used: now, over_at: overAt(end_at_most, now, limits), opened_at: now },
    ...{ longest_idle: seconds(0), yields: JSON.stringify(asked.yields) },
    ...{ address: caller.address, user_agent: caller.user_agent ?? null },
    ...{ ended_at: null, end_reason: null, replaced_by: null },
  };
  const before = await livingOfKey(transaction, jkt);
  if (before) {
    // Another person on the same key: nothing of the first goes on, so nothing judges it in its place.
    const samePerson = before.iss === iss && before.sub === sub;
    const end = { reason: 'replaced', since: now, now, address: caller.address } as const;
    await endSession(transaction, before, { ...end, replaced_by: samePerson ? sid : undefined });
  }
  await openSession(transaction, session);
  return { session, replaces: before?.sid };
}

/** Without an audience the session handle itself is what was asked for. */
function handleReply(
  handle: string,
  session_end: Seconds,
  now: Seconds,
  session: Granted['reply']['session'],
): Granted['reply'] {
  const expires_in = between(now, session_end);
  const issued_token_type = TOKEN_TYPE.refresh_token;
  return { access_token: handle, issued_token_type, token_type: 'N_A', expires_in, refresh_token: handle, session };
}
