// What a session is given for a cluster: a Kubernetes token of the broker, or one of the cluster itself. In the transaction it is
// written down what is to be given; it is made after the commit.

import type { Verdict } from '../../shared/decide.ts';
import type { Seconds } from '../../shared/time.ts';
import type { TokenReply } from '../../shared/wire.ts';
import { bindToken, type Pending } from '../bound_tokens/bound_token.ts';
import type { Broker } from '../broker.ts';
import type { ServiceAccountMapping } from '../config/settings.ts';
import { type Granted, recordMint, signReply, type ToSign } from '../outcome/granted.ts';
import type { Refused } from '../outcome/refused.ts';
import { wireSession } from '../outcome/wire_session.ts';
import type { Caller } from '../policy/caller.ts';
import { notAdmitted } from '../policy/not_admitted.ts';
import type { AskedCluster } from '../policy/target.ts';
import { holdSecret } from '../sessions/bound_secrets.ts';
import type { Session } from '../sessions/session.ts';
import type { Transaction } from '../store/store.ts';

/** A session that may have a token. */
export interface Entitled {
  readonly grant: 'exchange' | 'renewal';
  readonly session: Session;
  readonly asked: AskedCluster;
  readonly verdict: Verdict & { readonly allow: true };
  /** As whom the person acts, where the cluster's own tokens are used. */
  readonly account: ServiceAccountMapping | undefined;
  readonly caller: Caller;
  /** The caller's own limit. */
  readonly max_age?: Seconds | undefined;
  /** After a login: the reply that carries the session handle alone. */
  readonly otherwise?: (TokenReply & { readonly refresh_token: string }) | undefined;
}

/** What a transaction decided: refused, granted as it is, or granted and to be made after its commit. */
export type Decided = Refused | Granted | ToSign | Pending;

export async function entitle(
  transaction: Transaction,
  { config, tokenIds }: Pick<Broker, 'config' | 'tokenIds'>,
  { grant, session, asked, verdict, account, caller, max_age, otherwise }: Entitled,
  now: Seconds,
): Promise<ToSign | Pending> {
  const { cluster, limits } = asked;
  const { session_end } = verdict;
  if (account) {
    const secret = await holdSecret(transaction, session, cluster, account, session_end, now);
    const wish = { audience: cluster.audience, max_age };
    return { pending: { grant, session, wish, caller, cluster, secret, otherwise } };
  }
  const at = { now, address: caller.address };
  const claims = await recordMint(transaction, { config, tokenIds }, session, asked, verdict, at);
  const wire = wireSession(session, limits, session_end, now);
  const not_admitted = notAdmitted(config, session.idp_groups);
  return { to_sign: { claims, session: wire, handle: otherwise?.refresh_token, ...not_admitted } };
}

/**
 * What was decided becomes an answer. Only after the commit.
 *
 * @throws CurfewError `api_server`, `service_account`, `busy` where a cluster gives no token
 */
export async function deliver(
  broker: Pick<Broker, 'keys'> & Parameters<typeof bindToken>[0],
  decided: Decided,
): Promise<Granted | Refused> {
  if ('pending' in decided) return await bindToken(broker, decided);
  return 'to_sign' in decided ? signReply(broker.keys, decided) : decided;
}
