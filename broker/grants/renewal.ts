// Renewal (refresh_token, DPoP-bound): a session handle in, a Kubernetes token out. Verify, decide, consume, sign.

import { decide } from '../../shared/decide.ts';
import type { Seconds } from '../../shared/time.ts';
import { bindToken, type Pending } from '../bound_tokens/bound_token.ts';
import type { Broker } from '../broker.ts';
import { requireClock } from '../clock/clock.ts';
import { permit } from '../judgement/permit.ts';
import { type Granted, recordMint, signReply, type ToSign } from '../outcome/granted.ts';
import { type Refused, refuse } from '../outcome/refused.ts';
import { findHeld, refuseStranger, UNKNOWN } from '../outcome/strangers.ts';
import { isTooLarge, TOO_LARGE } from '../outcome/token_size.ts';
import { wireSession } from '../outcome/wire_session.ts';
import type { Caller } from '../policy/caller.ts';
import { groupsOf } from '../policy/groups.ts';
import { notAdmitted } from '../policy/not_admitted.ts';
import { holdSecret } from '../sessions/bound_secrets.ts';
import { endIfDue } from '../sessions/ending.ts';
import { factsOf, touch } from '../sessions/sessions.ts';
import type { Transaction } from '../store/store.ts';
import { consumeProof } from '../tokens/proof_use.ts';
import type { IdTokenClaims } from '../upstream/id_token.ts';
import { revalidate } from './revalidation.ts';

export interface RenewalRequest {
  /** The session handle. */
  readonly refresh_token: string;
  readonly audience: string;
  readonly max_age?: Seconds | undefined;
  /** A newer ID token of the same login, by which the identity provider vouches for the account again. */
  readonly id_token?: string | undefined;
}

/** @throws CurfewError with the code of what is wrong with the ID token; and where a cluster gives no token, why */
export async function renew(broker: Broker, caller: Caller, request: RenewalRequest): Promise<Granted | Refused> {
  const { store, identityProvider, now } = broker;
  const { id_token, refresh_token } = request;
  const stranger = await refuseStranger(broker, 'renewal', caller, refresh_token);
  if (stranger) return stranger;
  const idToken = id_token === undefined ? undefined : await identityProvider.verifyIdToken(id_token);
  const outcome = await store.transaction((transaction) => {
    requireClock(broker);
    return renewOrRefuse(transaction, broker, caller, { ...request, idToken }, now());
  });
  if ('pending' in outcome) return bindToken(broker, outcome);
  return 'to_sign' in outcome ? signReply(broker.keys, outcome) : outcome;
}

async function renewOrRefuse(
  transaction: Transaction,
  { config, tokenIds, touches, holders }: Pick<Broker, 'config' | 'tokenIds' | 'touches' | 'holders'>,
  caller: Caller,
  request: RenewalRequest & { readonly idToken?: IdTokenClaims | undefined },
  now: Seconds,
): Promise<ToSign | Refused | Pending> {
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
  const [current = found] = await touches.apply(transaction, [found]);

  const living = await endIfDue(transaction, current, now);
  const vouched = request.idToken
    ? await revalidate(transaction, living, request.idToken, { config, touches }, { now, address })
    : living;
  if ('fault' in vouched) return refuse(transaction, about, vouched.fault.code, vouched.fault.message);
  const session = vouched;
  const permitted = await permit(transaction, config, session, request, caller, about, now);
  if ('refused' in permitted) return permitted;
  const { asked, account } = permitted;
  const person = { sub, username, groups: JSON.parse(session.groups) as string[], acr: session.acr ?? undefined };
  if (isTooLarge(config, asked.cluster, person, groupsOf(session), now)) {
    return refuse(transaction, { ...about, cluster: asked.cluster.name }, 'identity_too_large', TOO_LARGE);
  }
  // The renewal is a use: what it mints is judged as used now.
  const verdict = decide(asked.limits, { ...factsOf(session), last_used: now, idle_end: undefined }, now);
  const token_exp = verdict.allow && !account ? verdict.exp : undefined;
  if (!verdict.allow || !(await touch(transaction, session, asked.limits.session, now, token_exp))) {
    throw new TypeError('a session that is allowed could not be touched');
  }
  if (account) {
    const secret = await holdSecret(transaction, session, asked.cluster, account, verdict.session_end, now);
    const wish = { audience: request.audience, max_age: request.max_age };
    return { pending: { grant: 'renewal', session, wish, caller, cluster: asked.cluster, secret } };
  }
  const claims = await recordMint(transaction, { config, tokenIds }, session, asked, verdict, { now, address });
  const wire = wireSession(session, asked.limits, verdict.session_end, now);
  return { to_sign: { claims, session: wire, ...notAdmitted(config, session.idp_groups) } };
}
