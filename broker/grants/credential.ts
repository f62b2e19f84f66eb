// What a session is given: for a cluster a Kubernetes token of the broker, or one of the cluster itself; for a target a token. In the transaction it is
// written down what is to be given; it is made after the commit.

import type { Verdict } from '../../shared/decide.ts';
import { CurfewError } from '../../shared/errors.ts';
import type { Seconds } from '../../shared/time.ts';
import type { TokenReply } from '../../shared/wire.ts';
import { bindToken, type Pending } from '../bound_tokens/bound_token.ts';
import type { Broker } from '../broker.ts';
import { personsAudience } from '../config/clusters.ts';
import type { ServiceAccountMapping } from '../config/settings.ts';
import { type Granted, mintOf, recordMint, signReply, type ToSign } from '../outcome/granted.ts';
import type { Refused } from '../outcome/refused.ts';
import { signTargetReply, type TargetToSign } from '../outcome/target_token.ts';
import { wireSession } from '../outcome/wire_session.ts';
import type { Caller } from '../policy/caller.ts';
import { notAdmitted } from '../policy/not_admitted.ts';
import type { AskedAudience, AskedCluster } from '../policy/target.ts';
import { allowRole, obtainRole, type PendingRole, type RoleParts } from '../roles/pending_role.ts';
import { holdSecret } from '../sessions/bound_secrets.ts';
import type { Session } from '../sessions/session.ts';
import type { Transaction } from '../store/store.ts';
import { entitleTarget } from '../targets/entitle.ts';

/** What it takes to write down what is granted. */
export type MintParts = Pick<Broker, 'config' | 'tokenIds' | 'keys' | 'databases'>;
export type DeliveryParts = Parameters<typeof bindToken>[0] & RoleParts;

/** A session that may have a token. */
export interface Entitled {
  readonly grant: 'exchange' | 'renewal';
  readonly session: Session;
  readonly asked: AskedAudience;
  readonly verdict: Verdict & { readonly allow: true };
  /** As whom the person acts, where the cluster's own tokens are used. */
  readonly account: ServiceAccountMapping | undefined;
  readonly caller: Caller;
  /** The caller's own limit. */
  readonly max_age?: Seconds | undefined;
  /** Of whoever is to log in at an SSH server. */
  readonly ssh_public_key?: string | undefined;
  /** Whether nothing is wanted that is presented at the target itself. */
  readonly way_alone?: boolean | undefined;
  /** After a login: the reply that carries the session handle alone. */
  readonly otherwise?: (TokenReply & { readonly refresh_token: string }) | undefined;
}

/** What a transaction decided: refused, granted as it is, or granted and to be made after its commit. */
export type Decided = Refused | Granted | ToSign | Pending | TargetToSign | PendingRole;

export async function entitle(
  transaction: Transaction,
  { config, tokenIds, keys, databases }: MintParts,
  { grant, session, asked, verdict, account, caller, max_age, ssh_public_key, way_alone, otherwise }: Entitled,
  now: Seconds,
): Promise<ToSign | Pending | TargetToSign | PendingRole> {
  if (asked.target) {
    const { target, account: as_whom } = asked;
    if (target.kind === 'postgres' && as_whom !== undefined && !way_alone) {
      const wish = { audience: target.audience, account: as_whom, max_age };
      const wanted = { grant, session, target, account: as_whom, wish, caller, otherwise };
      return allowRole(transaction, { databases }, { ...wanted, session_end: verdict.session_end }, now);
    }
    const handle = otherwise?.refresh_token;
    const entitled = { session, asked, verdict, caller, ssh_public_key, way_alone, handle };
    return entitleTarget(transaction, { config, tokenIds, keys }, entitled, now);
  }
  const { cluster } = asked;
  const { session_end } = verdict;
  if (account) {
    const secret = await holdSecret(transaction, session, cluster, account, session_end, now);
    const wish = { audience: cluster.audience, max_age };
    return { pending: { grant, session, wish, caller, cluster, secret, otherwise } };
  }
  const at = { now, address: caller.address };
  const { kid } = keys.signing;
  const claims = await recordMint(transaction, kid, mintOf({ config, tokenIds }, session, asked, verdict, at));
  return toSign(config, { claims, session, asked, verdict, kid, handle: otherwise?.refresh_token }, now);
}

/** What is recorded, with what goes beside it in the answer. */
export function toSign(
  config: Broker['config'],
  minted: Pick<Entitled, 'session' | 'verdict'> & { readonly asked: AskedCluster } & Pick<
      ToSign['to_sign'],
      'claims' | 'kid' | 'handle'
    >,
  now: Seconds,
): ToSign {
  const { claims, session, asked, verdict, kid, handle } = minted;
  const wire = wireSession(session, asked.limits, verdict.session_end, now);
  const { typ } = personsAudience(asked.cluster);
  return { to_sign: { claims, typ, session: wire, handle, kid, ...notAdmitted(config, session.idp_groups) } };
}

/** Longer than this after the decision nothing is signed, in seconds: who stood still meanwhile may have missed an end. */
const LONGEST_TO_SIGN = 2;

/** @param decided when it was, by the stopwatch @throws CurfewError `busy` where that is too long ago */
export function requireRecent({ stopwatch }: Pick<Broker, 'stopwatch'>, decided: number): void {
  if (stopwatch() - decided > LONGEST_TO_SIGN)
    throw new CurfewError('busy', 'what was decided is too old to be signed', { retry_after: 1 });
}

/**
 * What was decided becomes an answer. Only after the commit.
 *
 * @param decided when it was, by the stopwatch
 * @throws CurfewError `api_server`, `service_account`, `busy` where a cluster gives no token; `busy` where it was decided too long ago
 */
export async function deliver(broker: DeliveryParts, outcome: Decided, decided: number): Promise<Granted | Refused> {
  if ('pending' in outcome) return await bindToken(broker, outcome);
  if ('pending_role' in outcome) {
    const given = await obtainRole(broker, outcome);
    return await deliver(broker, given.outcome, given.decided);
  }
  if ('target_to_sign' in outcome) {
    requireRecent(broker, decided);
    return signTargetReply(broker.keys, outcome);
  }
  if (!('to_sign' in outcome)) return outcome;
  requireRecent(broker, decided);
  return signReply(broker.keys, outcome);
}
