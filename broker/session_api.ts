// Our own API: a person's own sessions, and those of others for administrators. Looking is no use: it moves no clock.

import { decide } from '../shared/decide.ts';
import type { Code } from '../shared/errors.ts';
import { combine } from '../shared/limits.ts';
import { sayDenial } from '../shared/messages.ts';
import type { ResolvedLimits } from '../shared/policy.ts';
import type { Seconds } from '../shared/time.ts';
import type { SessionInfo, SessionList, SessionsEnded } from '../shared/wire.ts';
import {
  type Broker,
  type Caller,
  consumeProof,
  groupsOf,
  type Refused,
  refuse,
  refuseByVerdict,
  wireSession,
} from './broker.ts';
import { admits } from './identity.ts';
import {
  type End,
  endSession,
  factsOf,
  findByHandle,
  findBySid,
  type Session,
  sessionLimits,
  settle,
} from './sessions.ts';
import type { Transaction } from './store/store.ts';

/** Who asks, by the handle of a living session. */
export interface Asker extends Caller {
  readonly handle: string;
}

export interface ListWish {
  /** Everybody's, for administrators; without it one's own. */
  readonly all: boolean;
  readonly limit: number;
  /** The `next` of the page before. */
  readonly after?: string | undefined;
}

export type EndWish = (
  | { readonly sid: string }
  /** The Kubernetes username, or the IdP's own name. */
  | { readonly user: string }
  | { readonly all: true }
) & { readonly note?: string | undefined };

/** How many sessions one transaction ends at most: requests wait no longer than that. */
const AT_ONCE = 200;

export async function listSessions(broker: Broker, asker: Asker, wish: ListWish): Promise<SessionList | Refused> {
  return broker.store.transaction(async (transaction) => {
    const now = broker.now();
    const own = await identify(transaction, broker, asker, now);
    if ('refused' in own) return own;
    if (!wish.all) {
      const sessions = await livingOf(transaction, broker, own, now);
      return { sessions: sessions.map((session) => infoOf(session, own)), broker_time: now };
    }
    const refused = await refuseUnlessAdministrator(transaction, broker, asker, own, now);
    if (refused) return refused;
    const page = await livingAfter(transaction, wish.after, wish.limit + 1);
    const shown = await broker.touches.apply(transaction, page.slice(0, wish.limit));
    const last = page.length > wish.limit ? shown.at(-1) : undefined;
    await transaction.audit({ event: 'list', ...eventOf(own, asker, now), count: shown.length });
    return {
      sessions: shown.map((session) => infoOf(session, own)),
      broker_time: now,
      ...(last && { next: `${last.opened_at}.${last.sid}` }),
    };
  });
}

/** @returns `no_such_session` alike for what never was, has ended, and belongs to another person */
export async function showSession(broker: Broker, asker: Asker, sid: string): Promise<SessionInfo | Refused> {
  return broker.store.transaction(async (transaction) => {
    const now = broker.now();
    const own = await identify(transaction, broker, asker, now);
    if ('refused' in own) return own;
    const found = await findReachable(transaction, broker, asker, own, sid, now);
    return 'refused' in found ? found : infoOf(found, own);
  });
}

/** Ends sessions; resolves when all of them are over, durably. @throws CurfewError `store` */
export async function endSessions(broker: Broker, asker: Asker, wish: EndWish): Promise<SessionsEnded | Refused> {
  const ended: SessionsEnded['ended'][number][] = [];
  // The proof is used up by the first transaction; who asks was established there for all that follow.
  let first = true;
  for (let more = true; more; first = false) {
    const outcome = await broker.store.transaction(async (transaction): Promise<Refused | readonly Session[]> => {
      const now = broker.now();
      const own = first
        ? await identify(transaction, broker, asker, now)
        : await findByHandle(transaction, asker.handle);
      if (!own) return [];
      if ('refused' in own) return own;
      const due = await chosen(transaction, broker, asker, own, wish, now);
      if ('refused' in due) return due;
      // One's own last: it is what asks.
      const ordered = [...due].sort((a, b) => Number(a.sid === own.sid) - Number(b.sid === own.sid)).slice(0, AT_ONCE);
      const over: Session[] = [];
      for (const session of ordered) {
        if (await endSession(transaction, session, endBy(own, asker, session, wish, now))) over.push(session);
      }
      return over;
    });
    if ('refused' in outcome) return outcome;
    ended.push(...outcome.map(({ sid, username }) => ({ sid, username })));
    more = 'all' in wish && outcome.length === AT_ONCE && !outcome.some(({ jkt }) => jkt === asker.proof.jkt);
  }
  return { ended };
}

function endBy(own: Session, { address }: Asker, session: Session, { note }: EndWish, now: Seconds): End {
  const common = { since: now, now, address, note };
  return isOf(session, own) ? { reason: 'owner', ...common } : { reason: 'administrator', by: own.username, ...common };
}

/** The living sessions that are meant, settled: what has ended by itself is not ended again. */
async function chosen(
  transaction: Transaction,
  broker: Broker,
  asker: Asker,
  own: Session,
  wish: EndWish,
  now: Seconds,
): Promise<readonly Session[] | Refused> {
  if ('sid' in wish) {
    const found = await findReachable(transaction, broker, asker, own, wish.sid, now);
    return 'refused' in found ? found : [found];
  }
  if ('user' in wish && isNameOf(broker, wish.user, own)) return livingOf(transaction, broker, own, now);
  const refused = await refuseUnlessAdministrator(transaction, broker, asker, own, now);
  if (refused) return refused;
  if ('all' in wish) return settled(transaction, broker, await livingAfter(transaction, undefined, AT_ONCE + 1), now);
  const { username_prefix } = broker.config.identity_provider;
  const named = transaction.db
    .selectFrom('session')
    .selectAll()
    .where('ended_at', 'is', null)
    .where('username', 'in', [wish.user, username_prefix + wish.user]);
  return settled(transaction, broker, await named.execute(), now);
}

function isNameOf({ config }: Broker, name: string, { username }: Session): boolean {
  return name === username || config.identity_provider.username_prefix + name === username;
}

/** One session by its id, if the asker may reach it. */
async function findReachable(
  transaction: Transaction,
  broker: Broker,
  asker: Asker,
  own: Session,
  sid: string,
  now: Seconds,
): Promise<Session | Refused> {
  const found = await findBySid(transaction.db, sid);
  const [living] = found ? await settled(transaction, broker, [found], now) : [];
  if (living && isOf(living, own)) return living;
  if (isAdministrator(broker, own)) {
    const refused = await refuseUnlessAdministrator(transaction, broker, asker, own, now);
    if (refused) return refused;
    if (living) return living;
  }
  return refuse(transaction, refusalOf(own, asker, now), 'no_such_session', 'there is no such living session of yours');
}

/** The session that asks, if it lives. Ends it where a session-wide limit has struck. */
async function identify(
  transaction: Transaction,
  { config, touches }: Broker,
  asker: Asker,
  now: Seconds,
): Promise<Session | Refused> {
  const { proof, address } = asker;
  const event = { grant: 'sessions', at: now, jkt: proof.jkt, address } as const;
  if (!(await consumeProof(transaction, proof))) {
    return refuse(transaction, event, 'proof_replayed', 'the DPoP proof was used before');
  }
  const found = await findByHandle(transaction, asker.handle);
  if (!found || found.jkt !== proof.jkt) {
    return refuse(transaction, { ...event, sid: found?.sid }, 'unknown_session', 'there is no such session');
  }
  const [session = found] = await touches.apply(transaction, [found]);
  const about = refusalOf(session, asker, now);
  const { identity_provider } = config;
  const admitted = admits(identity_provider.allowed_groups, groupsOf(session));
  if (session.ended_at === null && (session.iss !== identity_provider.issuer || !admitted)) {
    await endSession(transaction, session, { reason: 'policy', since: now, now, address });
    return refuse(transaction, about, 'not_admitted', `${session.username} may not log in any more`);
  }
  const limits = sessionLimits(config.policy, session);
  const resolved: ResolvedLimits = { session: limits, target: limits };
  const verdict = decide(resolved, factsOf(session), now);
  if (verdict.allow || verdict.reason === 'acr_too_low') return session;
  if (verdict.ends)
    await endSession(transaction, session, { reason: verdict.ends, since: verdict.since, now, address });
  return refuseByVerdict(transaction, about, verdict, { limits: resolved, yields: [] });
}

function isAdministrator({ config: { admins } }: Broker, session: Session): boolean {
  return admins !== undefined && admits(admins.groups, groupsOf(session));
}

/** An administrator's session has limits of its own beside those of everybody. @returns `undefined` when it satisfies them */
async function refuseUnlessAdministrator(
  transaction: Transaction,
  broker: Broker,
  asker: Asker,
  own: Session,
  now: Seconds,
): Promise<Refused | undefined> {
  const { admins, policy } = broker.config;
  const about = refusalOf(own, asker, now);
  if (!admins || !isAdministrator(broker, own)) {
    return refuse(transaction, about, 'not_administrator', 'only administrators may do this');
  }
  const session = sessionLimits(policy, own);
  const limits: ResolvedLimits = { session, target: combine(session, admins.limits) };
  const verdict = decide(limits, factsOf(own), now);
  if (verdict.allow) return undefined;
  const wire = wireSession(own, limits, verdict.since, now);
  const refused = await refuseByVerdict(transaction, about, verdict, { limits, yields: [] }, wire);
  return { ...refused, message: `administrators: ${sayDenial(verdict)}` };
}

async function livingOf(
  transaction: Transaction,
  broker: Broker,
  { iss, sub }: Session,
  now: Seconds,
): Promise<Session[]> {
  const living = transaction.db.selectFrom('session').selectAll().where('ended_at', 'is', null);
  const own = await living.where('iss', '=', iss).where('sub', '=', sub).orderBy('opened_at').orderBy('sid').execute();
  return settled(transaction, broker, own, now);
}

/** In the order in which they were opened, from a place on. */
async function livingAfter({ db }: Transaction, after: string | undefined, most: number): Promise<readonly Session[]> {
  const living = db.selectFrom('session').selectAll().where('ended_at', 'is', null).orderBy('opened_at').orderBy('sid');
  const [opened_at = '', sid = ''] = after?.split('.') ?? [];
  const rest =
    after === undefined
      ? living
      : living.where(({ eb, refTuple, tuple }) =>
          eb(refTuple('opened_at', 'sid'), '>', tuple(Number(opened_at) as Seconds, sid)),
        );
  return rest.limit(most).execute();
}

/** With uses that are not written yet; and without those that have ended by now, which are ended. */
async function settled(
  transaction: Transaction,
  { config, touches }: Broker,
  sessions: readonly Session[],
  now: Seconds,
): Promise<Session[]> {
  const current = await touches.apply(
    transaction,
    sessions.filter(({ ended_at }) => ended_at === null),
  );
  await settle(transaction, current, config.policy, now);
  const living: Session[] = [];
  for (const { sid } of current) {
    const session = await findBySid(transaction.db, sid);
    if (session && session.ended_at === null) living.push(session);
  }
  return living;
}

function isOf(session: Session, { iss, sub }: Session): boolean {
  return session.iss === iss && session.sub === sub;
}

function infoOf(session: Session, own: Session): SessionInfo {
  const { sid, username, opened_at, auth_time, acr, last_used, over_at, address, user_agent } = session;
  return {
    ...{ sid, username, groups: JSON.parse(session.groups) as string[], opened_at, auth_time },
    ...(acr !== null && { acr }),
    ...{ last_used, session_end: over_at, address },
    ...(user_agent !== null && { user_agent }),
    current: sid === own.sid,
  };
}

function eventOf({ sid, iss, sub, username, jkt }: Session, { address }: Asker, at: Seconds) {
  return { at, sid, iss, sub, username, jkt, address };
}

function refusalOf(own: Session, asker: Asker, now: Seconds) {
  return { grant: 'sessions', ...eventOf(own, asker, now) } as const;
}

/** Codes that say that the login itself is not good enough for an administrator (RFC 9470). */
export const STEP_UP: readonly Code[] = ['login_too_old', 'idle_too_long', 'acr_too_low'];
