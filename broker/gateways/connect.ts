// A connection to a target, which the gateway asks for with what a person showed it: verified, the proof consumed, decided on the session as
// it is now, and in the audit log on disk before the answer. It is a use.

import type { ConnectionReply, ConnectionRequest } from '../../shared/connection_wire.ts';
import { decide } from '../../shared/decide.ts';
import { sayDenial } from '../../shared/messages.ts';
import type { ResolvedLimits } from '../../shared/policy.ts';
import type { SessionFacts } from '../../shared/session.ts';
import { over, type Seconds } from '../../shared/time.ts';
import type { Broker } from '../broker.ts';
import { requireClock } from '../clock/clock.ts';
import type { Config } from '../config/settings.ts';
import type { TargetSettings } from '../config/target_settings.ts';
import { countRefusal, type Refused, refuse } from '../outcome/refused.ts';
import { mayReachAs } from '../policy/accounts.ts';
import { mayLogIn } from '../policy/admission.ts';
import { openConnection } from '../sessions/connections.ts';
import { currentSession } from '../sessions/current.ts';
import { endByVerdict } from '../sessions/ending.ts';
import { findBySid, findJudged } from '../sessions/find.ts';
import { factsOf } from '../sessions/limits.ts';
import type { Session } from '../sessions/session.ts';
import { touch } from '../sessions/use.ts';
import type { Transaction } from '../store/store.ts';
import { type Proof, proofOf } from '../tokens/dpop.ts';
import { requireKey } from '../tokens/keys.ts';
import type { TargetTokenClaims } from '../tokens/mint.ts';
import { consumeProof } from '../tokens/proof_use.ts';
import { randomId } from '../tokens/random.ts';
import { verifyTargetToken } from '../tokens/verify.ts';
import { leasedLimits, targetCalled } from './target_leases.ts';

export type ConnectParts = Pick<Broker, 'config' | 'store' | 'touches' | 'keys' | 'clock' | 'refusals' | 'now'>;

/** What was shown, verified. Nothing is decided by it yet. */
interface Shown {
  readonly claims: TargetTokenClaims;
  /** Of the key that signed the token. */
  readonly kid: string;
  readonly proof: Proof;
  /** The client's. */
  readonly address: string;
}

export class Connections {
  /** Of each session the one that is decided last, settled. */
  readonly #last = new Map<string, Promise<void>>();

  /**
   * @returns the connection, or why there is none
   * @throws CurfewError `clock` while the broker's own clock is not believed; `busy` where the key of the token was revoked just now; `store`
   */
  async connect(broker: ConnectParts, request: ConnectionRequest): Promise<ConnectionReply | Refused> {
    requireClock(broker);
    const shown = verifyShown(broker, request, broker.now());
    if ('refused' in shown) {
      const { address } = request;
      await countRefusal(broker, { grant: 'connection', at: broker.now(), address, reason: shown.refused });
      return shown;
    }
    const decide = () =>
      broker.store.transaction((transaction) => {
        requireClock(broker);
        return decideConnection(transaction, broker, shown, broker.now());
      });
    const outcome = await this.#inTurn(shown.claims.sid, decide);
    return 'refused' in outcome ? outcome : { ...outcome, broker_time: broker.now() };
  }

  /** Those of one session one after the other: each holds its row, and would wait for it with a connection to the database in its hands. */
  #inTurn<T>(sid: string, story: () => Promise<T>): Promise<T> {
    const own = (this.#last.get(sid) ?? Promise.resolve()).then(story);
    const settled = own
      .then(
        () => undefined,
        () => undefined,
      )
      .then(() => {
        if (this.#last.get(sid) === settled) this.#last.delete(sid);
      });
    this.#last.set(sid, settled);
    return own;
  }
}

/** Anybody may show anything: what is not a token of ours for this very target, with a proof by its key, is refused without a transaction. */
function verifyShown(
  broker: ConnectParts,
  { token, target: name, address, proof: shown }: ConnectionRequest,
  now: Seconds,
): Shown | Refused {
  if (!targetCalled(broker.config, name)) return NO_SUCH_TARGET;
  const verified = verifyTargetToken(broker, token, now);
  if (!verified) return NOT_GOOD;
  const { claims, kid } = verified;
  if (claims.target !== name) return { refused: 'target_token', message: `the token is not for ${name}` };
  if (claims.cnf.jkt !== shown.jkt)
    return { refused: 'proof_invalid', message: 'the DPoP proof is not by the key of the token' };
  const proof = proofOf(shown, now);
  return proof
    ? { claims, kid, proof, address }
    : { refused: 'proof_invalid', message: 'the DPoP proof is not of now' };
}

const NO_SUCH_TARGET: Refused = {
  refused: 'invalid_target',
  message: 'no such target, or you have no access to it',
};

const NOT_GOOD: Refused = {
  refused: 'target_token',
  message: 'the token is not one for a target that is good now',
};

/** By the session and the configuration as they are in this transaction. */
async function decideConnection(
  transaction: Transaction,
  { config, touches }: ConnectParts,
  { claims, kid, proof, address }: Shown,
  now: Seconds,
): Promise<Omit<ConnectionReply, 'broker_time'> | Refused> {
  await requireKey(transaction, kid);
  const { sid, target: name, account } = claims;
  const found = await findJudged(transaction.db, sid);
  const session = found && (await currentSession(transaction, { touches }, found, now));
  const { iss, sub, username, jkt } = session ?? {};
  const common = { at: now, address, sid: session?.sid ?? sid, iss, sub, username, jkt, target: name, account };
  const about = { grant: 'connection', ...common } as const;
  if (!(await consumeProof(transaction, proof)))
    return refuse(transaction, about, 'proof_replayed', 'the DPoP proof was used before');
  // It may have waited since it was looked at.
  if (over(claims.exp, now)) return refuse(transaction, about, NOT_GOOD.refused, NOT_GOOD.message);
  if (!session) return refuse(transaction, about, 'unknown_session', 'there is no such session');
  const target = targetFor(config, session, claims);
  if ('refused' in target) return refuse(transaction, about, target.refused, target.message);
  const limits = leasedLimits(config, target, account, session);
  const verdict = decide(limits, factsOf(session), now);
  if (!verdict.allow) {
    await endByVerdict(transaction, session, verdict, { now, address });
    const why = { segment: limits.segment, limits: limits.target, end_reason: verdict.end_reason };
    return refuse(transaction, { ...about, ...why }, verdict.reason, sayDenial(verdict));
  }
  const used = await useNow(transaction, session, limits, now);
  const connection = randomId();
  const { kind } = target;
  await openConnection(transaction, {
    ...{ id: connection, sid, judged_sid: session.sid, target: name, kind, account: account ?? null },
    ...{ address, since: now, seen: now },
  });
  await transaction.audit({
    event: 'connect',
    ...common,
    ...{ sid, connection, target: name, kind, account, jti: claims.jti },
    segment: limits.segment,
    session_end: used.session_end,
  });
  return {
    ...{ connection, sid, judged_sid: session.sid, username: session.username, groups: session.groups },
    ...{ facts: used.facts, limits, target: name, kind, ...(account !== undefined && { account }) },
    address: target.address,
  };
}

/** @returns what the gateway judges by from here on */
async function useNow(
  transaction: Transaction,
  session: Session,
  limits: ResolvedLimits,
  now: Seconds,
): Promise<{ readonly facts: SessionFacts; readonly session_end: Seconds }> {
  const touched = await touch(transaction, session, limits.session, now);
  const used = touched ? await findBySid(transaction.db, session.sid) : undefined;
  const verdict = used && decide(limits, factsOf(used), now);
  if (!used || !verdict?.allow) throw new TypeError('a session that is allowed could not be touched');
  return { facts: factsOf(used), session_end: verdict.session_end };
}

/** The target of the token, where the session is that of the token, and its person may still go there as that account. */
function targetFor(
  config: Config,
  session: Session,
  { target: name, account, sub, username, cnf }: TargetTokenClaims,
): TargetSettings | Refused {
  if (session.sub !== sub || session.username !== username || session.jkt !== cnf.jkt)
    return { refused: 'another_user', message: 'the session belongs to another user' };
  const target = targetCalled(config, name);
  if (!target) return NO_SUCH_TARGET;
  if (session.ended_at !== null || (mayLogIn(config, session) && mayReachAs(target, session.idp_groups, account)))
    return target;
  const as = account === undefined ? '' : ` as ${account}`;
  return { refused: 'not_admitted', message: `you are not admitted to ${name}${as} any more` };
}
