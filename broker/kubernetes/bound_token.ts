// A token of the cluster itself, for a session: bound to a Secret, so that it dies with it. Between two transactions, as nothing
// but the store may be awaited in one: the first allows it and writes down the Secret, the second sees that all still holds.

import { decide, type Verdict } from '../../shared/decide.ts';
import { CurfewError } from '../../shared/errors.ts';
import { between, earliest, plus, type Seconds } from '../../shared/time.ts';
import { TOKEN_TYPE, type TokenReply } from '../../shared/wire.ts';
import {
  type AskedCluster,
  type Broker,
  type Granted,
  type Refused,
  refuseByVerdict,
  rulesOf,
  wireSession,
} from '../broker.ts';
import type { ServiceAccountMapping } from '../config.ts';
import { factsOf, findBySid, type Session } from '../sessions.ts';
import type { Transaction } from '../store/store.ts';
import type { ServiceAccountToken } from './api.ts';
import { annotationsOf, type BoundSecret, condemn, doomSecret, holdSecret, labelsOf } from './bound_secrets.ts';

/** A token that is allowed, and that the cluster has yet to give. */
export interface Pending {
  readonly pending: {
    readonly grant: 'exchange' | 'renewal';
    readonly session: Session;
    readonly asked: AskedCluster;
    readonly verdict: Verdict & { readonly allow: true };
    readonly account: ServiceAccountMapping;
    readonly secret: BoundSecret;
    readonly now: Seconds;
    readonly address: string;
    /** After a login: what is answered when the cluster gives none. The session is open all the same. */
    readonly otherwise?: TokenReply | undefined;
  };
}

/**
 * @returns refused where the session ended meanwhile
 * @throws CurfewError `api_server` or `service_account` when the cluster gives no token; `busy` when it was overtaken
 */
export async function bindToken(broker: Broker, { pending }: Pending): Promise<Granted | Refused> {
  const { log } = broker;
  try {
    return await obtain(broker, pending);
  } catch (error) {
    if (!(error instanceof CurfewError)) throw error;
    log.warn(
      { cluster: pending.asked.cluster.name, code: error.code, reason: error.message },
      'no token from the cluster',
    );
    if (pending.otherwise && error.code !== 'store') return { reply: pending.otherwise };
    throw error;
  }
}

type Wanted = Pending['pending'];

async function obtain(broker: Broker, wanted: Wanted): Promise<Granted | Refused> {
  const { asked, account } = wanted;
  const api = broker.apis.of(asked.cluster);
  for (let { secret } = wanted, first = true; ; first = false) {
    const uid = secret.uid ?? (await makeOnce(broker, wanted, secret));
    const token = await api.requestToken(account.name, { namespace: secret.namespace, name: secret.name, uid });
    if (token) return conclude(broker, wanted, { ...secret, uid }, token, secret.uid === null);
    if (!first) throw new CurfewError('busy', 'the Secret of the session goes away again and again');
    // Somebody took the Secret away, and all tokens of before with it: the session lives, and gets another.
    secret = await broker.store.transaction(async (transaction) => {
      await doomSecret(transaction, secret.name, broker.now());
      const { session, verdict } = wanted;
      return holdSecret(transaction, session, asked.cluster, account, verdict.session_end, broker.now());
    });
  }
}

const making = new Map<string, Promise<string>>();

/** Whether a Secret is being made this very moment: who deletes it now may come too early. */
export function isBeingMade({ name }: BoundSecret): boolean {
  return making.has(name);
}

/** Many may want the first token of a session at once: one makes the Secret. */
function makeOnce(broker: Broker, wanted: Wanted, secret: BoundSecret): Promise<string> {
  const { name, namespace } = secret;
  const under_way = making.get(name);
  if (under_way) return under_way;
  const api = broker.apis.of(wanted.asked.cluster);
  const [labels, annotations] = [labelsOf(broker.config), annotationsOf(broker.config, wanted.session)];
  const made = (async () => {
    const uid = await api.createSecret({ namespace, name, labels, annotations });
    // There already: it was made, and the answer or this process got lost. The name is nobody else's.
    const known = uid ?? (await api.findSecret(namespace, name));
    if (known === undefined) throw new CurfewError('busy', 'the Secret of the session went away');
    return known;
  })().finally(() => making.delete(name));
  making.set(name, made);
  return made;
}

async function conclude(
  { store, now: clock }: Broker,
  { grant, session, asked, verdict, now, address, account, otherwise }: Wanted,
  secret: BoundSecret,
  token: ServiceAccountToken,
  made: boolean,
): Promise<Granted | Refused> {
  const { sid, iss, sub, username, jkt } = session;
  const handle = otherwise?.refresh_token;
  const about = { at: clock(), sid, iss, sub, username, jkt, address, cluster: asked.cluster.name };
  // By the broker's clock; the API server's may differ.
  const exp = earliest(verdict.exp, plus(now, between(token.iat, token.exp)));
  const outcome = await store.transaction(async (transaction) => {
    if (!(await keepUid(transaction, secret))) {
      // It was taken away since this was allowed. If it was made only after that, it goes once more.
      if (made) await condemn(transaction, secret, clock());
      const current = await findBySid(transaction.db, sid);
      const verdict = current && decide(asked.limits, factsOf(current), clock());
      if (!verdict || verdict.allow) return undefined;
      return refuseByVerdict(transaction, { ...about, grant }, verdict, asked);
    }
    const { limits } = asked;
    await transaction.audit({
      ...{ event: 'mint', ...about, segment: limits.segment, rules: rulesOf(asked), limits: limits.target },
      ...{ jti: token.jti, exp, session_end: verdict.session_end },
      ...{ service_account: `${account.namespace}/${account.name}`, secret: secret.name },
    });
    const reply: TokenReply = {
      access_token: token.token,
      issued_token_type: TOKEN_TYPE.jwt,
      token_type: 'N_A',
      expires_in: between(now, exp),
      ...(handle !== undefined && { refresh_token: handle }),
      session: wireSession(session, limits, verdict.session_end, now),
    };
    return { reply };
  });
  if (outcome) return outcome;
  throw new CurfewError('busy', 'whom the session acts as changed meanwhile');
}

/** @returns false when the Secret is to go: then nothing that is bound to it is handed out */
async function keepUid({ db }: Transaction, { name, uid }: BoundSecret): Promise<boolean> {
  const kept = db.updateTable('bound_secret').set({ uid }).where('name', '=', name).where('doomed', '=', 0);
  const { numUpdatedRows } = await kept.executeTakeFirst();
  return numUpdatedRows === 1n;
}
