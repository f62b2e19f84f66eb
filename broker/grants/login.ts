// A login that its ID token and key prove, judged: named checks in an order, each with its own refusal; then its session is opened,
// and what it is given is written down. All in one transaction.

import { decide, type Verdict } from '../../shared/decide.ts';
import { sayDuration } from '../../shared/duration.ts';
import { between, latest, plus, type Seconds, seconds } from '../../shared/time.ts';
import { TOKEN_TYPE, type TokenReply, type WireSession } from '../../shared/wire.ts';
import type { Broker } from '../broker.ts';
import { type Refused, refuse, refuseByVerdict, refuseUnresolved } from '../outcome/refused.ts';
import { isTargetTokenTooLarge, targetTokenEnd } from '../outcome/target_token.ts';
import { isTooLarge, TOO_LARGE } from '../outcome/token_size.ts';
import { wireSession } from '../outcome/wire_session.ts';
import { admits } from '../policy/groups.ts';
import { notAdmitted } from '../policy/not_admitted.ts';
import { serviceAccountOf } from '../policy/service_accounts.ts';
import { type Asked, namesOf, resolveTarget, rulesOf, type Wish } from '../policy/target.ts';
import { currentSessions } from '../sessions/current.ts';
import { gapsBefore } from '../sessions/idle_gaps.ts';
import { loginAfterOf } from '../sessions/login_after.ts';
import type { Session } from '../sessions/session.ts';
import { holdUsername } from '../sessions/usernames.ts';
import type { Transaction } from '../store/store.ts';
import { consumeProof } from '../tokens/proof_use.ts';
import { randomHandle } from '../tokens/random.ts';
import { type Decided, entitle } from './credential.ts';
import { type Login, openOnce } from './opening.ts';

export type LoginParts = Pick<Broker, 'config' | 'tokenIds' | 'keys' | 'databases' | 'touches' | 'log'>;

/** A login whose person is known, and what it asks for. */
export interface ProvenLogin extends Login {
  readonly request: Login['request'] & Wish;
}

/** What the checks look at. */
interface Attempt {
  readonly transaction: Transaction;
  readonly broker: LoginParts;
  readonly login: ProvenLogin;
  readonly event: ReturnType<typeof eventOf>;
  readonly now: Seconds;
}

/** With what it asks for, resolved, and the person's active sessions. */
interface Resolved extends Attempt {
  readonly asked: Asked;
  readonly others: readonly Session[];
}

/** Between the login and its ID token, where the person logged in for it. */
const JUST_NOW = seconds(5);

type Check<T> = (attempt: T) => Promise<Refused | undefined>;

const BEFORE_TARGET: readonly Check<Attempt>[] = [proofIsUnused, personIsAdmitted];
const WITH_TARGET: readonly Check<Resolved>[] = [tokenFits, nameIsTheirs, loginIsNewEnough];

export async function openOrRefuse(
  transaction: Transaction,
  broker: LoginParts,
  login: ProvenLogin,
  now: Seconds,
): Promise<Decided> {
  const { caller, request, idToken, identity } = login;
  const event = eventOf(login, now);
  const attempt: Attempt = { transaction, broker, login, event, now };
  const refused = await firstOf(BEFORE_TARGET, attempt);
  if (refused) return refused;
  const { acr, amr = [] } = idToken;
  const user = { name: identity.idp_username, groups: identity.idp_groups, acr, amr };
  const asked = resolveTarget(broker.config, request, { user, login_address: caller.address }, caller, now);
  if ('refused' in asked) return refuseUnresolved(transaction, event, asked);
  // What has ended by itself must have set `login_after` before this login is held against it.
  const others = await currentSessions(transaction, broker, { persons: [identity] }, now);
  const resolved: Resolved = { ...attempt, asked, others };
  return (await firstOf(WITH_TARGET, resolved)) ?? (await judgeAndOpen(resolved));
}

async function firstOf<T>(checks: readonly Check<T>[], attempt: T): Promise<Refused | undefined> {
  for (const check of checks) {
    const refused = await check(attempt);
    if (refused) return refused;
  }
  return undefined;
}

async function proofIsUnused({ transaction, login, event }: Attempt): Promise<Refused | undefined> {
  if (await consumeProof(transaction, login.caller.proof)) return undefined;
  return refuse(transaction, event, 'proof_replayed', 'the DPoP proof was used before');
}

async function personIsAdmitted({ transaction, broker, login, event }: Attempt): Promise<Refused | undefined> {
  const { username, idp_groups } = login.identity;
  if (admits(broker.config.identity_provider.allowed_groups, idp_groups)) return undefined;
  return refuse(transaction, event, 'not_admitted', `${username} is in none of the groups that may log in`);
}

async function tokenFits({ transaction, broker, login, event, asked, now }: Resolved): Promise<Refused | undefined> {
  const { identity, idToken } = login;
  const named = { ...identity, acr: idToken.acr };
  const too_large = asked.target
    ? isTargetTokenTooLarge(broker.config, asked, { ...identity, jkt: login.caller.proof.jkt }, now)
    : isTooLarge(broker.config, asked.cluster, named, identity.idp_groups, now);
  if (!too_large) return undefined;
  return refuse(transaction, event, 'identity_too_large', TOO_LARGE);
}

async function nameIsTheirs({ transaction, broker, login, event, now }: Resolved): Promise<Refused | undefined> {
  const { iss, sub, username } = login.identity;
  const held = await holdUsername(transaction, login.identity, now);
  if (held === 'held') return undefined;
  if (held === 'another') {
    broker.log.warn(
      { iss, sub, username, reason: 'username_taken' },
      'a login was refused, as another person holds the username; where it is the same person with a new account, run: curfew-broker names free',
    );
    return refuse(transaction, event, 'username_taken', `the username ${username} is held by another person`);
  }
  const retry_after = between(now, held.free_at);
  const message = `the username ${username} was another person's until now, and is free in ${sayDuration(retry_after)}`;
  return { ...(await refuse(transaction, event, 'username_taken', message)), retry_after };
}

async function loginIsNewEnough({ transaction, login, event, now }: Resolved): Promise<Refused | undefined> {
  const { iss, sub, sid: idp_sid, auth_time, raw_auth_time, iat } = login.idToken;
  const login_after = await loginAfterOf(transaction, { iss, sub, idp_sid });
  if (raw_auth_time >= login_after && iat >= transaction.over_before) return undefined;
  const message = `a session was ended after this login (${sayDuration(between(auth_time, now))} ago); log in again`;
  // A login of this very second would not do either, by the clock of the IdP. One that was made just now is worth making once more.
  const just_now = between(raw_auth_time, iat) <= JUST_NOW && raw_auth_time < login_after;
  const wait = Math.max(between(latest(raw_auth_time, iat), login_after), just_now ? 1 : 0);
  return { ...(await refuse(transaction, event, 'login_after', message)), ...(wait > 0 && { retry_after: wait }) };
}

/** The engine's word, and then the session: a login that is refused opens none, and uses no ID token up. */
async function judgeAndOpen(attempt: Resolved): Promise<Decided> {
  const { transaction, login, event, asked, others, now } = attempt;
  const { iss, sub, auth_time, iat, acr } = login.idToken;
  const end_at_most = plus(auth_time, asked.limits.session.max_age);
  const idle_before = await gapsBefore(transaction, { iss, sub, auth_time }, others, now);
  const facts = { auth_time, revalidated_at: iat, last_used: now, end_at_most, acr, idle_before };
  const verdict = decide(asked.limits, facts, now);
  if (!verdict.allow) return refuseByVerdict(transaction, { ...event, ...namesOf(asked) }, verdict, asked);
  const token_exp = tokenEnd(asked, verdict, now);
  return openAndEntitle(attempt, { handle: randomHandle(), idle_before, token_exp }, verdict);
}

async function openAndEntitle(
  { transaction, broker, login, event, asked, now }: Resolved,
  opening: Parameters<typeof openOnce>[4],
  verdict: Verdict & { readonly allow: true },
): Promise<Decided> {
  const { config } = broker;
  const { caller, request, idToken, identity } = login;
  const opened = await openOnce(transaction, broker, login, asked, opening, now);
  if (opened === 'id_token_used') return refuse(transaction, event, opened, 'this ID token was exchanged before');
  if (opened === 'too_many_sessions') {
    const { count = 0 } = config.policy.max_sessions ?? {};
    const message = `${identity.username} already has the maximum of ${count} sessions`;
    return refuse(transaction, event, opened, message);
  }
  const { session, retry, replaces } = opened;
  const { grant: _, ...about } = event;
  await transaction.audit({
    ...about,
    event: 'login',
    sid: session.sid,
    auth_time: idToken.auth_time,
    acr: idToken.acr,
    groups: identity.groups,
    session_end: session.end_at_most,
    rules: rulesOf(asked),
    ...(retry && { retry }),
    replaces,
  });
  const wire = wireSession(session, asked.limits, verdict.session_end, now);
  const otherwise = { ...handleReply(opening.handle, wire, now), ...notAdmitted(config, session.idp_groups) };
  if (!asked.cluster && !asked.target) return { reply: otherwise };
  const own = asked.cluster?.credential === 'service-account';
  const account = own ? serviceAccountOf(asked.cluster, identity.idp_groups) : undefined;
  const { max_age, ssh_public_key, way_alone } = request;
  const entitled = {
    grant: 'exchange',
    session,
    asked,
    verdict,
    account,
    caller,
    max_age,
    ssh_public_key,
    way_alone,
    otherwise,
  } as const;
  return entitle(transaction, broker, entitled, now);
}

/** What rows about a login say. */
function eventOf({ caller, identity: { iss, sub, username } }: ProvenLogin, at: Seconds) {
  return { grant: 'exchange', at, iss, sub, username, jkt: caller.proof.jkt, address: caller.address } as const;
}

/** Until when a token that bears the person's name may be taken; none is minted where the cluster's own are used. */
function tokenEnd({ cluster, target }: Asked, verdict: { readonly exp: Seconds }, now: Seconds): Seconds {
  if (target) return targetTokenEnd(verdict, now);
  return cluster?.credential === 'token' ? verdict.exp : seconds(0);
}

/** Without an audience the session handle itself is what was asked for. */
function handleReply(
  handle: string,
  session: WireSession,
  now: Seconds,
): TokenReply & { readonly refresh_token: string } {
  return {
    access_token: handle,
    issued_token_type: TOKEN_TYPE.refresh_token,
    token_type: 'N_A',
    expires_in: between(now, session.session_end),
    refresh_token: handle,
    session,
  };
}
