// A token of the cluster itself, for a session: bound to a Secret, so that it dies with it. Between two transactions, as nothing
// but the store may be awaited in one: the first allows it and writes down the Secret, the second reads the session again and
// decides again. What was true before the cluster was asked says nothing about now.

import { CurfewError } from '../../shared/errors.ts';
import { between, earliest, plus, type Seconds } from '../../shared/time.ts';
import { TOKEN_TYPE, type TokenReply } from '../../shared/wire.ts';
import type { ServiceAccountToken } from '../api_servers/api.ts';
import type { Broker } from '../broker.ts';
import { requireClock } from '../clock/clock.ts';
import type { Cluster } from '../config/settings.ts';
import { type PermittedCluster, permit } from '../judgement/permit.ts';
import type { Granted } from '../outcome/granted.ts';
import { type Refused, refuse } from '../outcome/refused.ts';
import { wireSession } from '../outcome/wire_session.ts';
import type { Caller } from '../policy/caller.ts';
import { notAdmitted } from '../policy/not_admitted.ts';
import { type AudienceWish, rulesOf } from '../policy/target.ts';
import {
  annotationsOf,
  type BoundSecret,
  deleteSecretSoon,
  holdSecret,
  isHeld,
  keepUid,
  labelsOf,
  reviewSoon,
} from '../sessions/bound_secrets.ts';
import { currentSession } from '../sessions/current.ts';
import { findBySid } from '../sessions/find.ts';
import type { Session, Who } from '../sessions/session.ts';
import { bearName } from '../sessions/use.ts';
import type { Transaction } from '../store/store.ts';

/** A token that was allowed, and that the cluster has yet to give. Holds nothing that was decided: that is done again. */
export interface Pending {
  readonly pending: {
    readonly grant: 'exchange' | 'renewal';
    readonly session: Who;
    readonly wish: AudienceWish;
    readonly caller: Caller;
    /** Whose API server is asked. */
    readonly cluster: Cluster;
    readonly secret: BoundSecret;
    /** After a login: what is answered when the cluster gives none, and the session is active all the same. */
    readonly otherwise?: TokenReply | undefined;
  };
}

type Wanted = Pending['pending'];

type DecisionParts = Pick<Broker, 'config' | 'touches' | 'clock' | 'now'>;
export type BindingParts = DecisionParts & Pick<Broker, 'apis' | 'store' | 'log'>;

/**
 * @returns refused where the session is not allowed it any more
 * @throws CurfewError `api_server` or `service_account` when the cluster gives no token; `busy` when it was overtaken
 */
export async function bindToken(broker: BindingParts, { pending }: Pending): Promise<Granted | Refused> {
  const { log, store } = broker;
  try {
    return await obtain(broker, pending);
  } catch (error) {
    if (!(error instanceof CurfewError)) throw error;
    log.warn({ cluster: pending.cluster.name, code: error.code, reason: error.message }, 'no token from the cluster');
    const { otherwise } = pending;
    if (!otherwise || error.code === 'store') throw error;
    // Not the handle of a session that ended while the cluster was asked.
    const standing = await store.transaction((transaction) => permitAgain(transaction, broker, pending, broker.now()));
    return 'refused' in standing ? standing : { reply: otherwise };
  }
}

async function obtain(broker: BindingParts, wanted: Wanted): Promise<Granted | Refused> {
  const { apis, store, now } = broker;
  const api = apis.of(wanted.cluster);
  for (let { secret } = wanted, first = true; ; first = false) {
    const since = now();
    const { name, namespace, service_account } = secret;
    const uid = secret.uid ?? (await makeOnce(broker, wanted, secret));
    const token = uid === undefined ? undefined : await api.requestToken(service_account, { namespace, name, uid });
    const bound = uid !== undefined && token && { secret: { ...secret, uid }, token, since };
    const next = await store.transaction((transaction) =>
      bound ? conclude(transaction, broker, wanted, bound) : holdAnother(transaction, broker, wanted, secret),
    );
    if (next === 'another_account') throw new CurfewError('busy', 'whom the session acts as changed meanwhile');
    if (!('held' in next)) return next;
    if (!first) throw new CurfewError('busy', 'the Secret of the session goes away again and again');
    secret = next.held;
  }
}

/**
 * Secrets that this process makes just now: of many that want the first token of a session here, one asks for its Secret. Another
 * process may ask as well: the API server makes one of a name.
 */
const making = new Map<string, Promise<string | undefined>>();

/** Whether a Secret is being made this very moment: who deletes it now may come too early. */
export function isBeingMade({ name }: BoundSecret): boolean {
  return making.has(name);
}

/**
 * Many may want the first token of a session at once: one makes the Secret.
 *
 * @returns its `uid`, once the store knows it; `undefined` when it is to go already, or has gone
 */
function makeOnce(
  broker: Pick<Broker, 'apis' | 'config' | 'store' | 'now'>,
  wanted: Wanted,
  secret: BoundSecret,
): Promise<string | undefined> {
  const { name, namespace } = secret;
  const under_way = making.get(name);
  if (under_way) return under_way;
  const { apis, config, store, now } = broker;
  const api = apis.of(wanted.cluster);
  const [labels, annotations] = [labelsOf(config), annotationsOf(config, wanted.session)];
  const made = (async () => {
    // There already: it was made, and the answer or this process got lost. The name is nobody else's.
    const uid =
      (await api.createSecret({ namespace, name, labels, annotations })) ?? (await api.findSecret(namespace, name));
    if (uid === undefined) return undefined;
    const kept = await store.transaction((transaction) => keepUid(transaction, { ...secret, uid }, now()));
    return kept ? uid : undefined;
  })().finally(() => making.delete(name));
  making.set(name, made);
  return made;
}

interface Bound {
  readonly secret: BoundSecret;
  readonly token: ServiceAccountToken;
  /** When the cluster was asked, at the earliest: its clock may differ from the broker's. */
  readonly since: Seconds;
}

/** What a transaction after the cluster's answer makes of it; `held`: the Secret to try once more with. */
type Next = Granted | Refused | 'another_account' | { readonly held: BoundSecret };

/** The token is there: whether it may be handed out is decided only now. */
async function conclude(transaction: Transaction, broker: DecisionParts, wanted: Wanted, bound: Bound): Promise<Next> {
  const now = broker.now();
  const { secret, token, since } = bound;
  const standing = await permitAgain(transaction, broker, wanted, now);
  if ('refused' in standing) return standing;
  const { session, asked, verdict, account } = standing;
  if (!account || !isOf(wanted, secret, standing)) return letGo(transaction, secret, now);
  if (!(await isHeld(transaction, secret, session))) {
    return { held: await holdSecret(transaction, session, asked.cluster, account, verdict.session_end, now) };
  }
  const { limits, cluster } = asked;
  const { session_end } = verdict;
  const { sid, iss, sub, username, jkt } = session;
  const exp = earliest(verdict.exp, plus(since, between(token.iat, token.exp)));
  await transaction.audit({
    ...{ event: 'mint', at: now, address: wanted.caller.address, sid, iss, sub, username, jkt },
    ...{ cluster: cluster.name, jti: token.jti, exp, session_end },
    ...{ segment: limits.segment, rules: rulesOf(asked), limits: limits.target },
    ...{ service_account: `${secret.namespace}/${secret.service_account}`, secret: secret.name },
  });
  // Until then it may be taken, should its Secret outlive it: it was signed after the cluster was asked, and by now at the latest.
  await bearName(transaction, session, plus(now, between(token.iat, token.exp)));
  const handle = wanted.otherwise?.refresh_token;
  return {
    reply: {
      access_token: token.token,
      issued_token_type: TOKEN_TYPE.jwt,
      token_type: 'N_A',
      expires_in: between(now, exp),
      ...(handle !== undefined && { refresh_token: handle }),
      session: wireSession(session, limits, session_end, now),
      ...notAdmitted(broker.config, session.idp_groups),
    },
  };
}

/** The Secret is gone, and all that was bound to it with it: a session that is still active gets another. */
async function holdAnother(
  transaction: Transaction,
  broker: DecisionParts,
  wanted: Wanted,
  secret: BoundSecret,
): Promise<Next> {
  const now = broker.now();
  await deleteSecretSoon(transaction, secret.name, now);
  const standing = await permitAgain(transaction, broker, wanted, now);
  if ('refused' in standing) return standing;
  const { session, asked, verdict, account } = standing;
  if (!account || !isOf(wanted, secret, standing)) return letGo(transaction, secret, now);
  return { held: await holdSecret(transaction, session, asked.cluster, account, verdict.session_end, now) };
}

/** Decides once more, on the session as it is now and by the configuration in force now. */
async function permitAgain(
  transaction: Transaction,
  { config, touches, clock }: DecisionParts,
  { grant, session: { sid, iss, sub, username, jkt }, wish, caller, cluster, secret }: Wanted,
  now: Seconds,
): Promise<(PermittedCluster & { readonly session: Session }) | Refused> {
  requireClock({ clock });
  const about = { grant, at: now, sid, iss, sub, username, jkt, address: caller.address, cluster: cluster.name };
  const found = await findBySid(transaction.db, sid);
  if (!found) return refuse(transaction, about, 'unknown_session', 'there is no such session');
  const session = await currentSession(transaction, { touches }, found, now);
  const standing = await permit(transaction, config, session, wish, caller, about, now);
  if (!('refused' in standing)) {
    // By a configuration that came into force meanwhile the audience is a target's.
    const { asked, verdict, account } = standing;
    if (asked.target) throw new CurfewError('busy', 'what is asked for changed meanwhile');
    return { asked, verdict, account, session };
  }
  // It may be that this cluster does not admit them any more, while the session is active.
  await reviewSoon(transaction, secret, now);
  return standing;
}

/** Whether the Secret is that of whom the session acts as now, at the API server that was asked. */
function isOf({ cluster }: Wanted, secret: BoundSecret, { asked, account }: PermittedCluster): boolean {
  if (asked.cluster.server !== cluster.server) return false;
  return secret.namespace === account?.namespace && secret.service_account === account.name;
}

async function letGo(transaction: Transaction, { name }: BoundSecret, now: Seconds): Promise<'another_account'> {
  await deleteSecretSoon(transaction, name, now);
  return 'another_account';
}
