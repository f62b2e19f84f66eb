// Whether somebody is connected: what was presented is verified here, and the broker decides, once for each connection.

import type { ProofReader } from '../../serving/jws/dpop.ts';
import { type ConnectionReply, type ConnectionRequest, isConnectionReply } from '../../shared/connection_wire.ts';
import { CurfewError } from '../../shared/errors.ts';
import { GATEWAY_PATHS } from '../../shared/gateway_wire.ts';
import { isObject, isText } from '../../shared/wire.ts';
import { isRefusal } from '../admit.ts';
import type { Broker } from '../authority/ask.ts';
import type { Authority } from '../authority/authority.ts';
import { Turns } from '../authority/turns.ts';
import { BUSY, LOST_BROKER, type Refusal } from '../words.ts';
import { type ConnectHead, presentedIn } from './presented.ts';
import { type TargetToken, verifyProof, verifyTargetToken } from './token.ts';

/** Connections that the broker is asked about at a time; and milliseconds that one waits for its turn. */
const MOST_ASKED = 32;
const TURN_MS = 5_000;

export interface AdmitParts {
  readonly authority: Authority;
  readonly broker: Pick<Broker, 'post'>;
  readonly proofs: ProofReader;
  readonly issuer: string;
  /** `https://HOST[:PORT]` */
  readonly public_url: string;
  readonly elapsed: () => number;
}

/** What the broker has written down that it is there: whoever has it says how it ended. */
export interface Admitted {
  readonly reply: ConnectionReply;
  readonly kid: string;
}

export class Admission {
  readonly #parts: AdmitParts;
  readonly #turns = new Turns(MOST_ASKED);

  constructor(parts: AdmitParts) {
    this.#parts = parts;
  }

  /** @param address the client's @param isGone whether nobody waits for it any more */
  async admit(head: ConnectHead, address: string, isGone: () => boolean): Promise<Admitted | Refusal> {
    const { authority, issuer, public_url, proofs } = this.#parts;
    const presented = presentedIn(head);
    if (isRefusal(presented)) return presented;
    if (authority.lost()) return LOST_BROKER;
    const { clock, keys } = authority;
    const now = () => clock.now();
    const token = await verifyTargetToken({ issuer, keys, now }, presented);
    if (isRefusal(token)) return token;
    const proof = verifyProof(proofs, presented, token, public_url + presented.path, now());
    if (isRefusal(proof)) return proof;
    const { jti, jkt, iat } = proof;
    return this.#ask(
      { token: presented.token, target: presented.target, address, proof: { jti, jkt, iat } },
      token,
      isGone,
    );
  }

  async #ask(request: ConnectionRequest, token: TargetToken, isGone: () => boolean): Promise<Admitted | Refusal> {
    const { broker, elapsed } = this.#parts;
    const came_at = elapsed();
    return this.#turns.take(async () => {
      if (isGone() || elapsed() - came_at > TURN_MS) return BUSY;
      const sent_at = elapsed();
      try {
        const { status, body } = await broker.post(GATEWAY_PATHS.connections, request);
        if (status === 200 && isConnectionReply(body)) return this.#take(body, request, token, sent_at);
        return status === 403 && isDenial(body) ? refused(body) : LOST_BROKER;
      } catch (error) {
        if (error instanceof CurfewError) return LOST_BROKER;
        throw error;
      }
    });
  }

  /** It is of what was asked for, or it is nothing. */
  #take(
    reply: ConnectionReply,
    { target }: ConnectionRequest,
    token: TargetToken,
    sent_at: number,
  ): Admitted | Refusal {
    if (reply.target !== target || reply.sid !== token.sid || reply.username !== token.username) return LOST_BROKER;
    const { sid, judged_sid, username, groups, facts, limits, account, broker_time } = reply;
    const lease = { sid, judged_sid, username, groups, facts, limits: [limits] };
    this.#parts.authority.leases.learn(lease, { target, account }, limits, broker_time, sent_at);
    return { reply, kid: token.kid };
  }
}

interface Denial {
  readonly code: string;
  readonly message: string;
}

function isDenial(value: unknown): value is Denial {
  return isObject(value) && isText(value.code) && isText(value.message);
}

function refused({ code, message }: Denial): Refusal {
  return { status: 403, code, message: `curfew: ${message}` };
}
