// Our own API: a person's own sessions, and those of others for administrators. Shown, or ended durably.

import { decide } from '../../shared/decide.ts';
import type { Seconds } from '../../shared/time.ts';
import type { SessionInfo, SessionList, SessionsEnded } from '../../shared/wire.ts';
import { type Refused, refuse } from '../outcome/refused.ts';
import { type Connection, openOf } from '../sessions/connections.ts';
import { currentSessions } from '../sessions/current.ts';
import { endSession } from '../sessions/ending.ts';
import { activeNamed, activeOfPerson } from '../sessions/find.ts';
import { activeLimits, factsOf } from '../sessions/limits.ts';
import { activePage, type Place, type Whose } from '../sessions/lists.ts';
import type { Session } from '../sessions/session.ts';
import type { CurrentParts } from '../sessions/touches.ts';
import type { Transaction } from '../store/store.ts';
import {
  type Asker,
  type AskingParts,
  asking,
  eventOf,
  isAdministrator,
  refusalOf,
  refuseUnlessAdministrator,
} from './asker.ts';

export interface ListWish {
  /** Everybody's, for administrators; without it one's own. */
  readonly all: boolean;
  readonly limit: number;
  /** The place of the last one of the page before. */
  readonly after?: Place | undefined;
}

export type EndWish = (
  | { readonly sid: string }
  /** The Kubernetes username, or the IdP's own name. */
  | { readonly user: string }
  | { readonly all: true }
) & { readonly note?: string | undefined };

/** How many sessions one transaction ends at most: requests wait no longer than that. */
const AT_ONCE = 200;

export function listSessions(broker: AskingParts, asker: Asker, wish: ListWish): Promise<SessionList | Refused> {
  return asking(broker, asker, async (transaction, own, now) => {
    const refused = wish.all ? await refuseUnlessAdministrator(transaction, broker, asker, own, now) : undefined;
    if (refused) return refused;
    const whose: Whose = wish.all ? {} : { of: own };
    const page = await activePage(transaction, { ...whose, after: wish.after, most: wish.limit + 1 });
    const shown = page.slice(0, wish.limit);
    const open = await openOf(
      transaction.db,
      shown.map(({ sid }) => sid),
      now,
    );
    const sessions = shown.flatMap((session) => infoOf(broker, own, session, open, now) ?? []);
    if (wish.all) await transaction.audit({ event: 'list', ...eventOf(own, asker, now), count: sessions.length });
    const last = page.length > wish.limit ? shown.at(-1) : undefined;
    return { sessions, broker_time: now, ...(last && { next: `${last.opened_at}.${last.sid}` }) };
  });
}

/** @returns `no_such_session` alike for what never was, has ended, and belongs to another person */
export function showSession(broker: AskingParts, asker: Asker, sid: string): Promise<SessionInfo | Refused> {
  return asking(broker, asker, async (transaction, own, now) => {
    const found = await findReachable(transaction, broker, asker, own, sid, now);
    if ('refused' in found) return found;
    if (!isOf(found, own)) await transaction.audit({ event: 'list', ...eventOf(own, asker, now), count: 1 });
    const info = infoOf(broker, own, found, await openOf(transaction.db, [sid], now), now);
    if (!info) throw new TypeError('an active session is over');
    return info;
  });
}

/** Ends sessions; resolves when all of them are over, durably. @throws CurfewError `store`: then not all may be over */
export async function endSessions(broker: AskingParts, asker: Asker, wish: EndWish): Promise<SessionsEnded | Refused> {
  const first = await asking(broker, asker, async (transaction, own, now) => {
    const due = await chosen(transaction, broker, asker, own, wish, now);
    if ('refused' in due) return due;
    return { own, now, ended: await endEach(transaction, broker, { asker, own, wish }, due, now) };
  });
  if ('refused' in first) return first;
  const ended = 'all' in wish ? await endEverybody(broker, { asker, own: first.own, wish }, first.now) : first.ended;
  return { ended: ended.map(({ sid, username }) => ({ sid, username })) };
}

/** Who ends something, and why. */
interface Ending {
  readonly asker: Asker;
  readonly own: Session;
  readonly wish: EndWish;
}

/**
 * Ends all sessions that were open when this was asked for; the right to do so was established then. The person who asks
 * comes last, and the session that asks at the very end: where the store fails half-way, they can ask again.
 */
async function endEverybody(broker: AskingParts, ending: Ending, until: Seconds): Promise<readonly Session[]> {
  const { own } = ending;
  const ended: Session[] = [];
  for (const whose of [{ not_of: own }, { of: own, except: own.sid }, { of: own }] satisfies readonly Whose[]) {
    for (let after: Place | undefined, more = true; more; ) {
      const page = await broker.store.transaction(async (transaction) => {
        const due = await activePage(transaction, { ...whose, after, until, most: AT_ONCE });
        return { due, ended: await endEach(transaction, broker, ending, due, broker.now()) };
      });
      ended.push(...page.ended);
      after = page.due.at(-1);
      more = page.due.length === AT_ONCE;
    }
  }
  return ended;
}

/** @returns those that this ended: what was over by itself is ended as of then, and is not among them */
async function endEach(
  transaction: Transaction,
  broker: AskingParts,
  { asker, own, wish }: Ending,
  due: readonly Session[],
  now: Seconds,
): Promise<readonly Session[]> {
  const ended: Session[] = [];
  const common = { since: now, now, address: asker.address, note: wish.note };
  // One's own last: it is what asks.
  const ordered = [...due].sort((a, b) => Number(a.sid === own.sid) - Number(b.sid === own.sid));
  const sids = ordered.map(({ sid }) => sid);
  for (const session of await currentSessions(transaction, broker, { sids }, now)) {
    const end = isOf(session, own)
      ? ({ reason: 'owner', ...common } as const)
      : ({ reason: 'administrator', by: own.username, ...common } as const);
    if (await endSession(transaction, session, end)) ended.push(session);
  }
  return ended;
}

/** The sessions that are meant; none yet of everybody's, which are ended one batch after the other. */
async function chosen(
  transaction: Transaction,
  broker: AskingParts,
  asker: Asker,
  own: Session,
  wish: EndWish,
  now: Seconds,
): Promise<readonly Session[] | Refused> {
  if ('sid' in wish) {
    const found = await findReachable(transaction, broker, asker, own, wish.sid, now);
    return 'refused' in found ? found : [found];
  }
  const { username_prefix } = broker.config.identity_provider;
  if ('user' in wish && [wish.user, username_prefix + wish.user].includes(own.username)) {
    return activeOfPerson(transaction, own);
  }
  const refused = await refuseUnlessAdministrator(transaction, broker, asker, own, now);
  if (refused) return refused;
  if ('all' in wish) return [];
  return activeNamed(transaction, [wish.user, username_prefix + wish.user]);
}

/** One session by its id, if the asker may reach it. */
async function findReachable(
  transaction: Transaction,
  broker: AskingParts,
  asker: Asker,
  own: Session,
  sid: string,
  now: Seconds,
): Promise<Session | Refused> {
  const [session] = await currentSessions(transaction, broker, { sids: [sid] }, now);
  if (session && isOf(session, own)) return session;
  if (isAdministrator(broker, own)) {
    // Before it is told whether there is such a session.
    const refused = await refuseUnlessAdministrator(transaction, broker, asker, own, now);
    if (refused) return refused;
    if (session) return session;
  }
  return refuse(transaction, refusalOf(own, asker, now), 'no_such_session', 'there is no such active session of yours');
}

function isOf(session: Session, { iss, sub }: Session): boolean {
  return session.iss === iss && session.sub === sub;
}

/** @returns `undefined` for one that is over by now, be it noticed or not */
function infoOf(
  { config, touches }: CurrentParts,
  own: Session,
  found: Session,
  open: ReadonlyMap<string, readonly Connection[]>,
  now: Seconds,
): SessionInfo | undefined {
  const session = touches.overlay(found);
  const verdict = decide(activeLimits(config.policy, session), factsOf(session), now);
  if (!verdict.allow) return undefined;
  const { sid, username, groups, opened_at, auth_time, acr, last_used, address, user_agent } = session;
  return {
    ...{ sid, username, groups: [...groups], opened_at, auth_time },
    ...(acr !== null && { acr }),
    ...{ last_used, session_end: verdict.session_end, address },
    ...(user_agent !== null && { user_agent }),
    current: sid === own.sid,
    ...connectionsOf(open.get(sid)),
  };
}

function connectionsOf(open: readonly Connection[] = []): Pick<SessionInfo, 'connections'> {
  if (open.length === 0) return {};
  return {
    connections: open.map(({ target, account, kind, since, address }) => ({
      ...{ target, ...(account !== null && { account }), kind, since, address },
    })),
  };
}
