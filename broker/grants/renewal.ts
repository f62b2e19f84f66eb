// Renewal (refresh_token, DPoP-bound): a session handle in, a Kubernetes token out. Verify, decide, consume, sign.

import { decide } from '../../shared/decide.ts';
import type { Seconds } from '../../shared/time.ts';
import type { Broker } from '../broker.ts';
import { requireClock } from '../clock/clock.ts';
import { permit } from '../judgement/permit.ts';
import type { Granted } from '../outcome/granted.ts';
import { type Refused, refuse } from '../outcome/refused.ts';
import { findHeld, refuseStranger, UNKNOWN } from '../outcome/strangers.ts';
import { isTooLarge, TOO_LARGE } from '../outcome/token_size.ts';
import type { Caller } from '../policy/caller.ts';
import { currentSession } from '../sessions/current.ts';
import { factsOf } from '../sessions/limits.ts';
import { touch } from '../sessions/use.ts';
import type { Transaction } from '../store/store.ts';
import { consumeProof } from '../tokens/proof_use.ts';
import type { IdTokenClaims } from '../upstream/id_token.ts';
import { type Decided, deliver, entitle } from './credential.ts';
import { revalidate } from './revalidation.ts';

export interface RenewalRequest {
  /** The session handle. */
  readonly refresh_token: string;
  readonly audience: string;
  readonly max_age?: Seconds | undefined;
  /** A newer ID token of the same login, by which the identity provider vouches for the account again. */
  readonly id_token?: string | undefined;
}

type DecisionParts = Pick<Broker, 'config' | 'tokenIds' | 'touches' | 'holders'>;
export type RenewalParts = DecisionParts &
  Parameters<typeof deliver>[0] &
  Pick<Broker, 'identityProvider' | 'refusals' | 'clock' | 'now'>;

/** @throws CurfewError with the code of what is wrong with the ID token; and where a cluster gives no token, why */
export async function renew(broker: RenewalParts, caller: Caller, request: RenewalRequest): Promise<Granted | Refused> {
  const { store, identityProvider, now } = broker;
  const { id_token, refresh_token } = request;
  const stranger = await refuseStranger(broker, 'renewal', caller, refresh_token);
  if (stranger) return stranger;
  const idToken = id_token === undefined ? undefined : await identityProvider.verifyIdToken(id_token);
  const outcome = await store.transaction((transaction) => {
    requireClock(broker);
    return renewOrRefuse(transaction, broker, caller, { ...request, idToken }, now());
  });
  return deliver(broker, outcome);
}

async function renewOrRefuse(
  transaction: Transaction,
  { config, tokenIds, touches, holders }: DecisionParts,
  caller: Caller,
  request: RenewalRequest & { readonly idToken?: IdTokenClaims | undefined },
  now: Seconds,
): Promise<Decided> {
  const { proof, address } = caller;
  const event = { grant: 'renewal', at: now, jkt: proof.jkt, address } as const;
  const found = await findHeld(transaction, { holders }, caller, request.refresh_token);
  // Forgotten since it was looked for.
  if (!found) return UNKNOWN;
  const { sid, iss, sub, username } = found;
  const about = { ...event, sid, iss, sub, username };
  if (!(await consumeProof(transaction, proof))) {
    return refuse(transaction, about, 'proof_replayed', 'the DPoP proof was used before');
  }
  const current = await currentSession(transaction, { touches }, found, now);
  const session = request.idToken
    ? await revalidate(transaction, current, request.idToken, { config, touches }, { now, address })
    : current;
  if ('fault' in session) return refuse(transaction, about, session.fault.code, session.fault.message);
  const permitted = await permit(transaction, config, session, request, caller, about, now);
  if ('refused' in permitted) return permitted;
  const { asked, account } = permitted;
  const person = { sub, username, groups: session.groups, acr: session.acr ?? undefined };
  if (isTooLarge(config, asked.cluster, person, session.idp_groups, now)) {
    return refuse(transaction, { ...about, cluster: asked.cluster.name }, 'identity_too_large', TOO_LARGE);
  }
  // The renewal is a use: what it mints is judged as used now.
  const verdict = decide(asked.limits, { ...factsOf(session), last_used: now, idle_end: undefined }, now);
  const token_exp = verdict.allow && !account ? verdict.exp : undefined;
  if (!verdict.allow || !(await touch(transaction, session, asked.limits.session, now, token_exp))) {
    throw new TypeError('a session that is allowed could not be touched');
  }
  const { max_age } = request;
  return entitle(
    transaction,
    { config, tokenIds },
    { grant: 'renewal', session, asked, verdict, account, caller, max_age },
    now,
  );
}
