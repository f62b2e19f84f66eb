// Renewal (refresh_token, DPoP-bound): a session handle in, a token for a cluster or a target out. Verify, decide, consume, sign.

import { decide, type Verdict } from '../../shared/decide.ts';
import type { Seconds } from '../../shared/time.ts';
import type { Broker } from '../broker.ts';
import { requireClock } from '../clock/clock.ts';
import type { Config } from '../config/settings.ts';
import { judgeWish, permit } from '../judgement/permit.ts';
import { type Granted, mintOf, type ToSign } from '../outcome/granted.ts';
import { type Refused, refuse } from '../outcome/refused.ts';
import { findHeld, refuseStranger, UNKNOWN } from '../outcome/strangers.ts';
import { isTargetTokenTooLarge, targetTokenEnd } from '../outcome/target_token.ts';
import { isTooLarge, TOO_LARGE } from '../outcome/token_size.ts';
import type { Caller } from '../policy/caller.ts';
import { type AskedAudience, namesOf } from '../policy/target.ts';
import { currentSession } from '../sessions/current.ts';
import { renewDirectly } from '../sessions/direct_renewal.ts';
import { factsOf } from '../sessions/limits.ts';
import type { Session } from '../sessions/session.ts';
import { hasYields, touch, useOf } from '../sessions/use.ts';
import type { RenewalCommit } from '../store/renewals.ts';
import type { Transaction } from '../store/store.ts';
import { consumeProof } from '../tokens/proof_use.ts';
import type { IdTokenClaims } from '../upstream/id_token.ts';
import { type Decided, type DeliveryParts, deliver, entitle, toSign } from './credential.ts';
import { revalidate } from './revalidation.ts';

export interface RenewalRequest {
  /** The session handle. */
  readonly refresh_token: string;
  readonly audience: string;
  /** At a target. */
  readonly account?: string | undefined;
  /** Of whoever is to log in at an SSH server, well formed. */
  readonly ssh_public_key?: string | undefined;
  /** Whether nothing is wanted that is presented at the target itself. */
  readonly way_alone?: boolean | undefined;
  readonly max_age?: Seconds | undefined;
  /** A newer ID token of the same login, by which the identity provider confirms the account again. */
  readonly id_token?: string | undefined;
}

type DecisionParts = Pick<Broker, 'config' | 'tokenIds' | 'keys' | 'databases' | 'touches' | 'holders'>;
export type RenewalParts = DecisionParts &
  DeliveryParts &
  Pick<Broker, 'identityProvider' | 'refusals' | 'clock' | 'now'>;

/** A renewal whose ID token, where it has one, is verified. */
type Verified = RenewalRequest & { readonly idToken?: IdTokenClaims | undefined };

/** @throws CurfewError with the code of what is wrong with the ID token; and where a cluster gives no token, why */
export async function renew(broker: RenewalParts, caller: Caller, request: RenewalRequest): Promise<Granted | Refused> {
  const { store, identityProvider, stopwatch, now } = broker;
  const { id_token, refresh_token } = request;
  let decided = 0;
  if (id_token === undefined) {
    const granted = await renewDirectly(store, refresh_token, (session) => {
      requireClock(broker);
      decided = stopwatch();
      return grantPlain(broker, session, caller, request, now());
    });
    if (granted) return deliver(broker, granted, decided);
  }
  const stranger = await refuseStranger(broker, 'renewal', caller, refresh_token);
  if (stranger) return stranger;
  const idToken = id_token === undefined ? undefined : await identityProvider.verifyIdToken(id_token, now);
  const outcome = await store.transaction((transaction) => {
    requireClock(broker);
    decided = stopwatch();
    return renewOrRefuse(transaction, broker, caller, { ...request, idToken }, now());
  });
  return deliver(broker, outcome, decided);
}

/**
 * The plain case, which needs no transaction to be decided: the session continues, a token of the broker is minted, and nothing else is
 * changed by it. Decides on what was committed; all that it returns is written only while that is still so.
 *
 * @returns `undefined` for whatever is to be refused, ended, done in a cluster, or reached as a target: a transaction decides that
 */
function grantPlain(
  broker: DecisionParts,
  session: Session,
  caller: Caller,
  request: RenewalRequest,
  now: Seconds,
): RenewalCommit<ToSign> | undefined {
  const { config, keys, touches } = broker;
  const { proof, address } = caller;
  if (session.jkt !== proof.jkt) return undefined;
  if (session.ended_at !== null || session.end_at_renewal !== null || touches.hasUnwritten(session)) return undefined;
  const judged = judgeWish(config, session, request, caller, now);
  if (judged.says !== 'permitted' || judged.account) return undefined;
  const { asked } = judged;
  if (asked.target) return undefined;
  // What rules yield otherwise than before is stored, and gateways are told.
  if (!hasYields(session, asked.yields) || isTooLargeFor(config, asked, session, now)) return undefined;
  const verdict = judgeUsed(asked, session, now);
  if (!verdict.allow) return undefined;
  const { claims, event } = mintOf(broker, session, asked, verdict, { now, address });
  return {
    ...{ proof, event, kid: keys.signing.kid },
    change: useOf(session, asked.limits.session, now, verdict.exp),
    result: toSign(config, { claims, session, asked, verdict, kid: keys.signing.kid }, now),
  };
}

async function renewOrRefuse(
  transaction: Transaction,
  { config, tokenIds, keys, databases, touches, holders }: DecisionParts,
  caller: Caller,
  request: Verified,
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
  if (isTooLargeFor(config, asked, session, now)) {
    return refuse(transaction, { ...about, ...namesOf(asked) }, 'identity_too_large', TOO_LARGE);
  }
  const verdict = judgeUsed(asked, session, now);
  const token_exp = verdict.allow && !account ? tokenEnd(asked, verdict, now) : undefined;
  if (!verdict.allow || !(await touch(transaction, session, asked.limits.session, now, token_exp))) {
    throw new TypeError('a session that is allowed could not be touched');
  }
  const { max_age, ssh_public_key, way_alone } = request;
  return entitle(
    transaction,
    { config, tokenIds, keys, databases },
    { grant: 'renewal', session, asked, verdict, account, caller, max_age, ssh_public_key, way_alone },
    now,
  );
}

/** The renewal is a use: what it mints is judged as used now. */
function judgeUsed({ limits }: AskedAudience, session: Session, now: Seconds): Verdict {
  return decide(limits, { ...factsOf(session), last_used: now, idle_end: undefined }, now);
}

function tokenEnd({ target }: AskedAudience, verdict: { readonly exp: Seconds }, now: Seconds): Seconds {
  return target ? targetTokenEnd(verdict, now) : verdict.exp;
}

function isTooLargeFor(config: Config, asked: AskedAudience, session: Session, now: Seconds): boolean {
  if (asked.target) return isTargetTokenTooLarge(config, asked, session, now);
  const { sub, username, groups, acr } = session;
  return isTooLarge(config, asked.cluster, { sub, username, groups, acr: acr ?? undefined }, session.idp_groups, now);
}
