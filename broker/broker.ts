// What every request works with, and how a request is answered: granted or refused. Shapes, and the parts both grants share.

import type { Logger } from 'pino';
import type { Denied, Verdict } from '../shared/decide.ts';
import type { Code } from '../shared/errors.ts';
import { sayDenial } from '../shared/messages.ts';
import { type ResolvedLimits, resolveLimits, withYields, type Yield } from '../shared/policy.ts';
import { type Clock, earliest, plus, type Seconds } from '../shared/time.ts';
import { TOKEN_TYPE, type TokenReply, type WireSession } from '../shared/wire.ts';
import type { Asking, DenialEvent, RefusalEvent } from './audit.ts';
import type { BrokerClock } from './clock.ts';
import { type Cluster, type Config, clusterLimits, groupsTighten, type IdentityProviderSettings } from './config.ts';
import type { Proof } from './dpop.ts';
import type { FailingAddresses } from './failed_logins.ts';
import { admits } from './identity.ts';
import { LONGEST_JWS } from './jws.ts';
import type { Keys } from './keys.ts';
import type { KnownRefusals } from './known_refusals.ts';
import type { ClusterApis } from './kubernetes/apis.ts';
import { serviceAccountOf } from './kubernetes/service_accounts.ts';
import type { Metrics } from './metrics.ts';
import { isTooLong, signToken, type TokenClaims } from './mint.ts';
import type { OldTokenIds } from './old_token_ids.ts';
import type { Repeated } from './repeated.ts';
import type { RuleFacts } from './rules/facts.ts';
import { yieldsOf } from './rules.ts';
import { ID_LENGTH, type Session, yieldsOfSession } from './sessions.ts';
import type { Transmitters } from './signals/transmitters.ts';
import type { Store, Transaction } from './store/store.ts';
import type { Holders } from './strangers.ts';
import { type TokenIds, tokenIdLength } from './token_id.ts';
import type { Touches } from './touches.ts';
import type { IdentityProvider } from './upstream/identity_provider.ts';

export interface Broker {
  /** The configuration in force: another one after a reload, so it is read once for each decision. */
  readonly config: Config;
  readonly store: Store;
  /** Others after all was declared over, so they are read at each use. */
  readonly keys: Keys;
  readonly tokenIds: TokenIds;
  readonly oldTokenIds: OldTokenIds | undefined;
  readonly touches: Touches;
  readonly denials: Repeated<DenialEvent>;
  /** Denials of requests that show no token of the session that they name: anybody may make as many as they like. */
  readonly unproven: Repeated<DenialEvent>;
  /** Of callers that are not known. */
  readonly refusals: Repeated<RefusalEvent>;
  /** Of people who are known. */
  readonly known_refusals: KnownRefusals;
  readonly holders: Holders;
  /** Failed logins of nobody knows whom. */
  readonly strangers: FailingAddresses;
  readonly metrics: Metrics;
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>;
  readonly identityProvider: IdentityProvider;
  readonly transmitters: Transmitters;
  /** The API servers of clusters with `credential: service-account`. */
  readonly apis: ClusterApis;
  readonly clock: BrokerClock;
  /** The clock's, for decisions. */
  readonly now: Clock;
}

/** Where a request comes from. */
export interface Origin {
  readonly address: string;
  /** As the client says it; shortened, and printable. */
  readonly user_agent?: string | undefined;
}

/** Who asks: the holder of a key, at an address. */
export interface Caller extends Origin {
  readonly proof: Proof;
}

/** A denial as a value: what the caller is told. It stands in the record already. */
export interface Refused {
  readonly refused: Code;
  readonly message: string;
  readonly denied?: Denied | undefined;
  /** Told to the holder of the session's key only. */
  readonly session?: WireSession | undefined;
  /** After how many seconds the same may be tried again. */
  readonly retry_after?: number | undefined;
}

export interface Granted {
  readonly reply: TokenReply;
}

/** A Kubernetes token that is allowed and recorded, and that is signed once that is on disk. */
export interface ToSign {
  readonly to_sign: {
    readonly claims: TokenClaims;
    readonly session: WireSession;
    /** The session handle, after a login. */
    readonly handle?: string | undefined;
  } & Pick<TokenReply, 'not_admitted'>;
}

/** A target as asked for, resolved: no cluster means the session as a whole. */
export interface Asked {
  readonly cluster?: Cluster | undefined;
  readonly limits: ResolvedLimits;
  /** What rules yielded just now, to be stored with the session. */
  readonly yields: readonly Yield[];
}

/** A target that is a cluster. */
export type AskedCluster = Asked & { readonly cluster: Cluster };

/** The person as rules see them. */
export interface Subject {
  readonly user: RuleFacts['user'];
  /** The address at login. */
  readonly login_address: string;
  /** What rules have yielded for the session before. */
  readonly yields?: readonly Yield[];
}

/** Why a target cannot be judged. An unknown cluster and one that does not admit the person get one answer. */
export interface Unresolved {
  readonly refused: 'invalid_target' | 'rule_error';
  readonly message: string;
  /** For the record: the rule that could not be evaluated, and for which cluster. */
  readonly rule?: string;
  readonly cluster?: string | undefined;
}

const NO_SUCH_TARGET: Unresolved = {
  refused: 'invalid_target',
  message: 'there is no such cluster, or it does not admit you',
};

/** What a token is asked for. */
export interface Wish {
  readonly audience?: string | undefined;
  /** The caller's own. */
  readonly max_age?: Seconds | undefined;
}

/** Resolves what is asked for, and evaluates the rules. Without an audience the session as a whole is meant. */
export function resolveTarget(
  config: Pick<Config, 'policy' | 'clusters'>,
  wish: Wish & { readonly audience: string },
  subject: Subject,
  origin: Origin,
  now: Seconds,
): AskedCluster | Unresolved;
export function resolveTarget(
  config: Pick<Config, 'policy' | 'clusters'>,
  wish: Wish,
  subject: Subject,
  origin: Origin,
  now: Seconds,
): Asked | Unresolved;
export function resolveTarget(
  { policy, clusters }: Pick<Config, 'policy' | 'clusters'>,
  { audience, max_age }: Wish,
  subject: Subject,
  origin: Origin,
  now: Seconds,
): Asked | Unresolved {
  const cluster = clusters.find((candidate) => candidate.audience === audience);
  if (audience !== undefined && (!cluster || !mayUse(cluster, subject.user.groups))) return NO_SUCH_TARGET;
  const facts = ruleFacts(subject, origin, cluster, now);
  const yields = policy.rules.length === 0 ? [] : yieldsOf(policy.rules, facts, subject.yields);
  if ('failed' in yields) {
    const message = `the rule ${yields.failed} of the policy cannot be evaluated`;
    return { refused: 'rule_error', message, rule: yields.failed, cluster: cluster?.name };
  }
  const limits = cluster
    ? withYields(clusterLimits({ policy }, cluster, max_age), { cluster: cluster.name }, yields)
    : withYields(resolveLimits(policy, {}, { max_age }), {}, yields);
  return { cluster, limits, yields };
}

/** Whether a cluster admits somebody with these groups; where its own ServiceAccounts are used, one of them must be theirs. */
export function mayUse(cluster: Cluster, idp_groups: readonly string[]): boolean {
  if (!admits(cluster.allowed_groups, idp_groups)) return false;
  return cluster.credential === 'token' || serviceAccountOf(cluster, idp_groups) !== undefined;
}

/** What rules see. */
export function ruleFacts(
  { user, login_address }: Subject,
  { address, user_agent }: Origin,
  cluster: Cluster | undefined,
  now: Seconds,
): RuleFacts {
  return {
    user,
    request: { address, time: now, user_agent },
    ...(cluster && { cluster: { name: cluster.name, labels: cluster.labels } }),
    session: { address: login_address },
  };
}

/** Names of the rules whose limits apply, for the record. */
export function rulesOf({ yields }: Pick<Asked, 'yields'>): readonly string[] | undefined {
  return yields.length === 0 ? undefined : yields.map(({ rule }) => rule);
}

/** The person of a session, by the IdP's names. */
export function subjectOf(session: Session, { username_prefix }: IdentityProviderSettings): Subject {
  const { username, acr, amr, address } = session;
  const name = username.startsWith(username_prefix) ? username.slice(username_prefix.length) : username;
  return {
    user: {
      ...{ name, groups: groupsOf(session), acr: acr ?? undefined },
      amr: amr === null ? [] : (JSON.parse(amr) as string[]),
    },
    login_address: address,
    yields: yieldsOfSession(session),
  };
}

/** By the IdP's names. */
export function groupsOf({ idp_groups }: Pick<Session, 'idp_groups'>): readonly string[] {
  return JSON.parse(idp_groups) as string[];
}

/** Whether the person of a session could still log in: their IdP and their groups are in the configuration. */
export function mayLogIn(
  config: Pick<Config, 'identity_provider' | 'policy' | 'clusters'>,
  session: Pick<Session, 'iss' | 'idp_groups'>,
): boolean {
  const { issuer, allowed_groups } = config.identity_provider;
  const groups = groupsOf(session);
  if (groups.length === 0 && groupsTighten(config)) return false;
  return session.iss === issuer && admits(allowed_groups, groups);
}

/** Writes the refusal into the record and makes the answer of it. */
export async function refuse(
  transaction: Transaction,
  event: Omit<RefusalEvent, 'event' | 'reason'>,
  refused: Code,
  message: string,
): Promise<Refused> {
  await transaction.audit({ ...event, event: 'refusal', reason: refused });
  return { refused, message };
}

/** Writes the refusal of a caller that is not known into the record: one row for each kind and address within a minute. */
export function recordStranger(
  broker: Pick<Broker, 'store' | 'refusals' | 'now'>,
  grant: Asking,
  reason: Code,
  address: string,
): Promise<void> {
  return countRefusal(broker, { grant, at: broker.now(), address, reason });
}

/** Counts a refusal that anybody can cause as often as they like; without waiting for the store, unless it has a row of its own. */
export async function countRefusal(
  { store, refusals }: Pick<Broker, 'store' | 'refusals'>,
  event: Omit<RefusalEvent, 'event'>,
): Promise<void> {
  const row = refusals.note({ ...event, event: 'refusal' });
  if (row) await store.transaction((transaction) => transaction.audit(row));
}

/** A refusal because the target cannot be judged. */
export function refuseUnresolved(
  transaction: Transaction,
  event: Omit<RefusalEvent, 'event' | 'reason'>,
  { refused, message, ...facts }: Unresolved,
): Promise<Refused> {
  return refuse(transaction, { ...event, ...facts }, refused, message);
}

/** A refusal by the engine's verdict, with what the holder of the session may know of it. */
export async function refuseByVerdict(
  transaction: Transaction,
  event: Omit<RefusalEvent, 'event' | 'reason'>,
  denied: Denied,
  asked: Asked,
  session?: WireSession,
): Promise<Refused> {
  const { end_reason, reason } = denied;
  const facts = { segment: asked.limits.segment, limits: asked.limits.target, end_reason };
  const refusal = await refuse(transaction, { ...event, ...facts }, reason, sayDenial(denied));
  return { ...refusal, denied, session };
}

export function wireSession(session: Session, limits: ResolvedLimits, session_end: Seconds, now: Seconds): WireSession {
  const { sid, username, auth_time, revalidated_at, acr } = session;
  // Lowered where the policy is tighter than at login, as it is stored with the next use.
  const end_at_most = earliest(session.end_at_most, plus(auth_time, limits.session.max_age));
  const groups = JSON.parse(session.groups) as string[];
  return {
    sid,
    username,
    groups,
    auth_time,
    ...(acr !== null && { acr }),
    revalidated_at,
    session_end,
    end_at_most,
    limits,
    broker_time: now,
  };
}

/** Who a token speaks of. */
export interface Named {
  readonly sub: string;
  readonly username: string;
  readonly groups: readonly string[];
  readonly acr?: string | undefined;
}

/**
 * Whether tokens for this person would be larger than any that we read: for the cluster, or without one for some that admits
 * them. Said before anything is minted, as such a token would be good at the API server and nobody's here.
 */
export function isTooLarge(
  { issuer, clusters }: Pick<Config, 'issuer' | 'clusters'>,
  cluster: Cluster | undefined,
  { sub, username, groups, acr }: Named,
  idp_groups: readonly string[],
  now: Seconds,
): boolean {
  const targets = (cluster ? [cluster] : clusters).filter(
    (one) => one.credential === 'token' && mayUse(one, idp_groups),
  );
  return targets.some(({ audience: aud }) => {
    // Session and token have ids of one length; so have all times until the year 2286.
    const ids = { sid: '0'.repeat(ID_LENGTH), jti: '0'.repeat(tokenIdLength(now)) };
    const times = { iat: now, nbf: now, exp: now, auth_time: now };
    return isTooLong({ iss: issuer, aud, sub, username, groups, ...ids, ...times, ...(acr !== undefined && { acr }) });
  });
}

export const TOO_LARGE = `name and groups are more than a token of ${LONGEST_JWS} characters holds`;

/** What is needed to sign one Kubernetes token, with its row in the record written. */
export async function recordMint(
  transaction: Transaction,
  { config, tokenIds }: Pick<Broker, 'config' | 'tokenIds'>,
  session: Session,
  asked: AskedCluster,
  verdict: Verdict & { readonly allow: true },
  at: { readonly now: Seconds; readonly address: string },
): Promise<TokenClaims> {
  const { sid, iss, sub, username, jkt, auth_time, acr } = session;
  const { cluster, limits } = asked;
  const { exp, session_end } = verdict;
  const jti = tokenIds.make({ sid, audience: cluster.audience }, exp);
  const applied = { segment: limits.segment, rules: rulesOf(asked), limits: limits.target };
  const mint = { cluster: cluster.name, jti, exp, session_end, ...applied };
  await transaction.audit({ event: 'mint', at: at.now, address: at.address, sid, iss, sub, username, jkt, ...mint });
  return {
    ...{ iss: config.issuer, aud: cluster.audience, sub, username, sid, jti },
    groups: JSON.parse(session.groups) as string[],
    ...{ iat: at.now, nbf: at.now, exp, auth_time, ...(acr !== null && { acr }) },
  };
}

/** The reply that carries a Kubernetes token. Signs: only to be called after all that allows it is on disk. */
export function signReply(keys: Keys, { to_sign }: ToSign): Granted {
  const { claims, session, handle, not_admitted } = to_sign;
  return {
    reply: {
      access_token: signToken(keys, claims),
      issued_token_type: TOKEN_TYPE.jwt,
      token_type: 'N_A',
      expires_in: (claims.exp - claims.iat) as Seconds,
      ...(handle !== undefined && { refresh_token: handle }),
      session,
      ...(not_admitted && { not_admitted }),
    },
  };
}
