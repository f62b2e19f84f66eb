// What is granted: a Kubernetes token, allowed and recorded in a transaction, signed after its commit.

import type { Verdict } from '../../shared/decide.ts';
import type { TargetTokenReply } from '../../shared/targets.ts';
import type { Seconds } from '../../shared/time.ts';
import type { TokenTyp } from '../../shared/token_typ.ts';
import { TOKEN_TYPE, type TokenReply, type WireSession } from '../../shared/wire.ts';
import type { MintEvent } from '../audit_log/events.ts';
import type { Broker } from '../broker.ts';
import { personsAudience } from '../config/clusters.ts';
import { type AskedCluster, rulesOf } from '../policy/target.ts';
import type { Session } from '../sessions/session.ts';
import type { Transaction } from '../store/store.ts';
import { type Keys, keyRevoked, requireKey } from '../tokens/keys.ts';
import { signToken, type TokenClaims } from '../tokens/mint.ts';

export interface Granted {
  readonly reply: TokenReply | TargetTokenReply;
}

/** A Kubernetes token that is allowed and recorded, and that is signed once that is on disk. */
export interface ToSign {
  readonly to_sign: {
    readonly claims: TokenClaims;
    readonly typ: TokenTyp;
    readonly session: WireSession;
    /** The session handle, after a login. */
    readonly handle?: string | undefined;
    /** Of the key that signed as it was decided: no other does. */
    readonly kid: string;
  } & Pick<TokenReply, 'not_admitted'>;
}

/** What a Kubernetes token is to say, and its row in the audit log. */
export interface Mint {
  readonly claims: TokenClaims;
  readonly event: MintEvent;
}

export function mintOf(
  { config, tokenIds }: Pick<Broker, 'config' | 'tokenIds'>,
  session: Session,
  asked: AskedCluster,
  verdict: Verdict & { readonly allow: true },
  at: { readonly now: Seconds; readonly address: string },
): Mint {
  const { sid, iss, sub, username, jkt, auth_time, acr } = session;
  const { cluster, limits } = asked;
  const { exp, session_end } = verdict;
  const { audience } = personsAudience(cluster);
  const jti = tokenIds.make({ sid, audience }, exp);
  const applied = { segment: limits.segment, rules: rulesOf(asked), limits: limits.target };
  const mint = { cluster: cluster.name, jti, exp, session_end, ...applied };
  const claims = {
    ...{ iss: config.issuer, aud: audience, sub, username, sid, jti },
    groups: session.groups,
    ...{ iat: at.now, nbf: at.now, exp, auth_time, ...(acr !== null && { acr }) },
  };
  return {
    claims,
    event: { event: 'mint', at: at.now, address: at.address, sid, iss, sub, username, jkt, ...mint },
  };
}

/**
 * Writes the row of a token, where the key that is to sign it is still one of this issuer's. @returns what it is to say
 *
 * @throws CurfewError `busy` where the key was revoked
 */
export async function recordMint(transaction: Transaction, kid: string, { claims, event }: Mint): Promise<TokenClaims> {
  await requireKey(transaction, kid);
  await transaction.audit(event);
  return claims;
}

/**
 * The reply that carries a Kubernetes token. Signs: only to be called after all that allows it is on disk.
 *
 * @throws CurfewError `busy` where the key that signed when it was decided was revoked since
 */
export function signReply(keys: Keys, { to_sign }: ToSign): Granted {
  const { claims, typ, session, handle, kid, not_admitted } = to_sign;
  const signing = keys.signer(kid);
  if (!signing) throw keyRevoked();
  return {
    reply: {
      access_token: signToken({ signing }, claims, typ),
      issued_token_type: TOKEN_TYPE.jwt,
      token_type: 'N_A',
      expires_in: (claims.exp - claims.iat) as Seconds,
      ...(handle !== undefined && { refresh_token: handle }),
      session,
      ...(not_admitted && { not_admitted }),
    },
  };
}
