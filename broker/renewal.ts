// Renewal (refresh_token, DPoP-bound): a session handle in, a Kubernetes token out. Verify, decide, consume, sign.

import { decide } from '../shared/decide.ts';
import type { Seconds } from '../shared/time.ts';
import {
  type Broker,
  type Caller,
  consumeProof,
  type Granted,
  mayLogIn,
  type Refused,
  recordMint,
  refuse,
  refuseByVerdict,
  refuseUnresolved,
  resolveTarget,
  subjectOf,
  tokenReply,
  wireSession,
} from './broker.ts';
import { endSession, factsOf, findByHandle, keepYields, touch } from './sessions.ts';
import type { Transaction } from './store/store.ts';

export interface RenewalRequest {
  /** The session handle. */
  readonly refresh_token: string;
  readonly audience: string;
  readonly max_age?: Seconds | undefined;
}

export function renew(broker: Broker, caller: Caller, request: RenewalRequest): Promise<Granted | Refused> {
  return broker.store.transaction((transaction) => renewOrRefuse(transaction, broker, caller, request, broker.now()));
}

async function renewOrRefuse(
  transaction: Transaction,
  { config, keys, touches }: Broker,
  caller: Caller,
  request: RenewalRequest,
  now: Seconds,
): Promise<Granted | Refused> {
  const { proof, address } = caller;
  const event = { grant: 'renewal', at: now, jkt: proof.jkt, address } as const;
  if (!(await consumeProof(transaction, proof))) {
    return refuse(transaction, event, 'proof_replayed', 'the DPoP proof was used before');
  }
  const found = await findByHandle(transaction, request.refresh_token);
  const [session] = found ? await touches.apply(transaction, [found]) : [];
  // A handle in the hands of another key is told no more than one that never was.
  if (!session || session.jkt !== proof.jkt) {
    const facts = session && { sid: session.sid, iss: session.iss, sub: session.sub, username: session.username };
    return refuse(transaction, { ...event, ...facts }, 'unknown_session', 'there is no such session');
  }
  const { sid, iss, sub, username } = session;
  const about = { ...event, sid, iss, sub, username };

  const { identity_provider } = config;
  if (session.ended_at === null && !mayLogIn(config, session)) {
    await endSession(transaction, session, { reason: 'policy', since: now, now, address });
    return refuse(transaction, about, 'not_admitted', `${username} may not log in any more`);
  }
  const asked = resolveTarget(config, request, subjectOf(session, identity_provider), caller, now);
  if ('refused' in asked) return refuseUnresolved(transaction, about, asked);

  // Also when this is denied: what was found out now holds for tokens that are out.
  if (session.ended_at === null) await keepYields(transaction, session, asked.yields);
  const denied = decide(asked.limits, factsOf(session), now);
  if (!denied.allow) {
    if (denied.ends) await endSession(transaction, session, { reason: denied.ends, since: denied.since, now, address });
    const wire = wireSession(session, asked.limits, denied.since, now);
    return refuseByVerdict(transaction, { ...about, cluster: asked.cluster.name }, denied, asked, wire);
  }
  // The renewal is a use: what it mints is judged as used now.
  const verdict = decide(asked.limits, { ...factsOf(session), last_used: now, idle_end: undefined }, now);
  if (!verdict.allow || !(await touch(transaction, session, asked.limits.session, now))) {
    throw new TypeError('a session that is allowed could not be touched');
  }
  const claims = await recordMint(transaction, config.issuer, session, asked, verdict, { now, address });
  return { reply: tokenReply(keys, claims, wireSession(session, asked.limits, verdict.session_end, now)) };
}
