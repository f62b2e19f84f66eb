// Token exchange (RFC 8693): an ID token in, a session and its first Kubernetes token out. Verify, decide, consume, sign.

import { createHash } from 'node:crypto';
import { decide } from '../../shared/decide.ts';
import { sayDuration } from '../../shared/duration.ts';
import { type Code, CurfewError } from '../../shared/errors.ts';
import { between, latest, plus, type Seconds, seconds } from '../../shared/time.ts';
import { TOKEN_TYPE } from '../../shared/wire.ts';
import { bindToken, type Pending } from '../bound_tokens/bound_token.ts';
import type { Broker } from '../broker.ts';
import { requireClock } from '../clock/clock.ts';
import { groupsTighten } from '../config/clusters.ts';
import {
  delayOf,
  forgetFailures,
  isFailedLogin,
  noteFailure,
  sayDelay,
  tellFailures,
} from '../failed_logins/failed_logins.ts';
import { type Granted, recordMint, signReply, type ToSign } from '../outcome/granted.ts';
import { countRefusal, type Refused, refuse, refuseByVerdict, refuseUnresolved } from '../outcome/refused.ts';
import { isTooLarge, TOO_LARGE } from '../outcome/token_size.ts';
import { wireSession } from '../outcome/wire_session.ts';
import type { Caller } from '../policy/caller.ts';
import { admits } from '../policy/groups.ts';
import { notAdmitted } from '../policy/not_admitted.ts';
import { serviceAccountOf } from '../policy/service_accounts.ts';
import { type Asked, type AskedCluster, resolveTarget, rulesOf } from '../policy/target.ts';
import { holdSecret } from '../sessions/bound_secrets.ts';
import { countedFromFirstSight } from '../sessions/counted_login.ts';
import { settle } from '../sessions/ending.ts';
import { gapsBefore } from '../sessions/idle_gaps.ts';
import { loginAfterOf } from '../sessions/login_after.ts';
import { livingOfPerson } from '../sessions/sessions.ts';
import { endRenamed, holdUsername } from '../sessions/usernames.ts';
import type { Transaction } from '../store/store.ts';
import { consumeProof } from '../tokens/proof_use.ts';
import { randomHandle } from '../tokens/random.ts';
import type { IdTokenClaims } from '../upstream/id_token.ts';
import { claimedUsername, identityOf } from '../upstream/identity.ts';
import { type Login, openOnce, RETRY_WINDOW } from './opening.ts';

export interface ExchangeRequest {
  readonly subject_token: string;
  readonly client_id: string;
  readonly nonce_random?: string | undefined;
  readonly audience?: string | undefined;
  readonly max_age?: Seconds | undefined;
}

/**
 * @throws CurfewError with the code of what is wrong with the ID token, before anything was decided
 */
export async function exchange(broker: Broker, caller: Caller, request: ExchangeRequest): Promise<Granted | Refused> {
  const { store, now } = broker;
  try {
    const verified = await verifyLogin(broker, caller, request);
    const delayed = await refuseDelayed(broker, verified);
    if (delayed) return delayed;
    const outcome = await store.transaction((transaction) => {
      requireClock(broker);
      return openOrCount(transaction, broker, verified, now());
    });
    if ('pending' in outcome) return await bindToken(broker, outcome);
    return 'to_sign' in outcome ? signReply(broker.keys, outcome) : outcome;
  } catch (error) {
    if (error instanceof CurfewError && !error.unavailable && isFailedLogin(error.code))
      await countStranger(broker, caller, error.code);
    throw error;
  }
}

/**
 * What is thrown was refused before it was known whose login it is: it counts for the address. Who can prove their login is
 * not kept waiting for what others do there.
 *
 * @throws CurfewError `too_many_failures`
 */
async function countStranger(broker: Broker, { address }: Caller, reason: Code): Promise<void> {
  const { config, store, strangers, now } = broker;
  const retry_after = strangers.delayOf(address, now());
  if (retry_after !== undefined) throw new CurfewError('too_many_failures', sayDelay(retry_after), { retry_after });
  const told = strangers.note(address, config, reason, now());
  if (told) await store.transaction((transaction) => tellFailures(transaction, config, told));
}

/** @throws CurfewError with the code of what is wrong with the ID token */
async function verifyLogin(broker: Broker, caller: Caller, request: ExchangeRequest): Promise<ProvenLogin> {
  const { config, identityProvider, now } = broker;
  if (request.client_id !== config.identity_provider.client_id) {
    throw new CurfewError('id_token_audience', 'client_id is not the one of this broker');
  }
  const idToken = await identityProvider.verifyIdToken(request.subject_token);
  checkBinding(idToken, caller, request, config.identity_provider.device_grant, now());
  return { caller, request, idToken };
}

/** The proof and its binding say whose login it is: what is refused now counts for this person. */
async function openOrCount(
  transaction: Transaction,
  broker: Broker,
  login: ProvenLogin,
  now: Seconds,
): Promise<Granted | ToSign | Refused | Pending> {
  const { caller } = login;
  const idToken = await countedFromFirstSight(transaction, login.idToken);
  const { iss, sub } = idToken;
  const username = claimedUsername(idToken, broker.config.identity_provider);
  // Also where this opens no session: the IdP calls them otherwise now.
  if (username !== undefined)
    await endRenamed(transaction, broker, { iss, sub, username }, { now, address: caller.address });
  const identity = identityOf(idToken, broker.config.identity_provider, groupsTighten(broker.config));
  const person = personOf(broker, login);
  const { by: _, ...who } = person;
  const event = { grant: 'exchange', at: now, ...who, jkt: caller.proof.jkt } as const;
  const retry_after = await delayOf(transaction.db, person, now);
  // Of many at once some come here while others have failed.
  if (retry_after !== undefined) {
    return { ...(await refuse(transaction, event, 'too_many_failures', sayDelay(retry_after))), retry_after };
  }
  const outcome =
    'fault' in identity
      ? await refuse(transaction, event, identity.fault.code, identity.fault.message)
      : await openOrRefuse(transaction, broker, { ...login, idToken, identity }, now);
  if (!('refused' in outcome)) await forgetFailures(transaction, person);
  else if (isFailedLogin(outcome.refused)) await noteFailure(transaction, broker, person, outcome.refused, now);
  return outcome;
}

/** Whose login it is, by what the IdP says. */
function personOf({ config }: Pick<Broker, 'config'>, { idToken, caller: { address } }: ProvenLogin) {
  const { iss, sub } = idToken;
  const identity = identityOf(idToken, config.identity_provider, groupsTighten(config));
  return { by: 'person', iss, sub, username: 'fault' in identity ? undefined : identity.username, address } as const;
}

/** While a delay runs nothing is judged, and nothing is written but the count: that needs no transaction. */
async function refuseDelayed(broker: Broker, login: ProvenLogin): Promise<Refused | undefined> {
  const { store, now } = broker;
  const person = personOf(broker, login);
  const retry_after = await store.read((db) => delayOf(db, person, now()));
  if (retry_after === undefined) return undefined;
  const { by: _, ...who } = person;
  await countRefusal(broker, {
    ...{ grant: 'exchange', at: now(), ...who, jkt: login.caller.proof.jkt, reason: 'too_many_failures' },
  });
  return { refused: 'too_many_failures', message: sayDelay(retry_after), retry_after };
}

/** A login that its ID token and the key prove. */
type ProvenLogin = Omit<VerifiedExchange, 'identity'>;

interface VerifiedExchange extends Login {
  readonly request: ExchangeRequest;
}

async function openOrRefuse(
  transaction: Transaction,
  broker: Broker,
  login: VerifiedExchange,
  now: Seconds,
): Promise<Granted | ToSign | Refused | Pending> {
  const { config, tokenIds, touches } = broker;
  const { caller, request, idToken, identity } = login;
  const { auth_time, iat, acr, amr = [] } = idToken;
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
  if ('refused' in asked) return refuseUnresolved(transaction, event, asked);

  if (isTooLarge(config, asked.cluster, { ...identity, acr }, identity.idp_groups, now)) {
    return refuse(transaction, event, 'identity_too_large', TOO_LARGE);
  }

  // What has ended by itself must have set `login_after` before this login is held against it.
  const before = await touches.apply(transaction, await livingOfPerson(transaction, identity));
  await settle(transaction, before, config.policy, now);
  const held = await holdUsername(transaction, identity, now);
  if (held === 'another') {
    broker.log.warn(
      { iss, sub, username, reason: 'username_taken' },
      'a login was refused, as another person holds the username; where it is the same person with a new account, run: curfew-broker names free',
    );
    return refuse(transaction, event, 'username_taken', `the username ${username} is held by another person`);
  }
  if (held !== 'held') {
    const retry_after = between(now, held.free_at);
    const message = `the username ${username} was another person's until now, and is free in ${sayDuration(retry_after)}`;
    return { ...(await refuse(transaction, event, 'username_taken', message)), retry_after };
  }
  const login_after = await loginAfterOf(transaction, { iss, sub, idp_sid: idToken.sid });
  if (idToken.raw_auth_time < login_after || iat < transaction.over_before) {
    const age = sayDuration(between(auth_time, now));
    const message = `the last session was ended after this login (${age} ago): log in anew`;
    // A login of this very second would not do either, by the clock of the IdP.
    const wait = between(latest(idToken.raw_auth_time, iat), login_after);
    return { ...(await refuse(transaction, event, 'login_after', message)), ...(wait > 0 && { retry_after: wait }) };
  }
  const end_at_most = plus(auth_time, asked.limits.session.max_age);
  const idle_before = await gapsBefore(transaction, { iss, sub, auth_time }, before, now);
  const facts = { auth_time, revalidated_at: iat, last_used: now, end_at_most, acr, idle_before };
  const verdict = decide(asked.limits, facts, now);
  if (!verdict.allow) return refuseByVerdict(transaction, { ...event, cluster: asked.cluster?.name }, verdict, asked);

  const handle = randomHandle();
  const token_exp = asked.cluster?.credential === 'token' ? verdict.exp : seconds(0);
  const opening = { handle, idle_before, token_exp };
  const opened = await openOnce(transaction, broker, login, asked, opening, now);
  if (opened === 'id_token_used') return refuse(transaction, event, opened, 'this ID token was exchanged before');
  if (opened === 'too_many_sessions') {
    const { count = 0 } = config.policy.max_sessions ?? {};
    return refuse(transaction, event, opened, `${username} has ${count} sessions, and may have no more`);
  }
  const { session, retry, replaces } = opened;
  const { sid } = session;
  await transaction.audit({
    ...{ event: 'login', at: now, sid, iss, sub, username, jkt: caller.proof.jkt, address: caller.address },
    ...{ auth_time, acr, groups: identity.groups, session_end: session.end_at_most, rules: rulesOf(asked) },
    ...{ ...(retry && { retry }), replaces },
  });
  const wire = wireSession(session, asked.limits, verdict.session_end, now);
  const not_admitted = notAdmitted(config, session.idp_groups);
  const bare = { ...handleReply(handle, wire.session_end, now, wire), ...not_admitted };
  if (!isCluster(asked)) return { reply: bare };
  const { address } = caller;
  const { cluster } = asked;
  const account = cluster.credential === 'service-account' && serviceAccountOf(cluster, identity.idp_groups);
  if (account) {
    const secret = await holdSecret(transaction, session, cluster, account, verdict.session_end, now);
    const wish = { audience: cluster.audience, max_age: request.max_age };
    return { pending: { grant: 'exchange', session, wish, caller, cluster, secret, otherwise: bare } };
  }
  const claims = await recordMint(transaction, { config, tokenIds }, session, asked, verdict, {
    now,
    address,
  });
  return { to_sign: { claims, session: wire, handle, ...not_admitted } };
}

function isCluster(asked: Asked): asked is AskedCluster {
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
