// A token for a target: allowed and recorded in a transaction, signed after its commit.

import type { Verdict } from '../../shared/decide.ts';
import { LONGEST_TARGET_TOKEN, type TargetCredential, type TargetTokenReply } from '../../shared/targets.ts';
import { between, earliest, plus, type Seconds, seconds } from '../../shared/time.ts';
import { TOKEN_TYPE, type TokenReply, type WireSession } from '../../shared/wire.ts';
import type { MintEvent } from '../audit_log/events.ts';
import type { Broker } from '../broker.ts';
import { type AskedTarget, namesOf, rulesOf } from '../policy/target.ts';
import type { Session } from '../sessions/session.ts';
import type { Transaction } from '../store/store.ts';
import { type Keys, keyRevoked, requireKey } from '../tokens/keys.ts';
import { isTargetTokenTooLong, signTargetToken, type TargetTokenClaims } from '../tokens/mint.ts';
import { ID_LENGTH } from '../tokens/random.ts';
import { tokenIdLength } from '../tokens/token_id.ts';

/** What is allowed and recorded. */
export interface TargetToSign {
  readonly target_to_sign: {
    readonly claims: TargetTokenClaims;
    readonly session: WireSession;
    /** Of the key that signed as it was decided: no other does. */
    readonly kid: string;
    /** The session handle, after a login. */
    readonly handle?: string | undefined;
    /** Made at the time when this is signed. */
    readonly credential?: (() => TargetCredential) | undefined;
  } & Pick<TokenReply, 'not_admitted'>;
}

export interface TargetGranted {
  readonly reply: TargetTokenReply;
}

/** When a token that is minted now is over: it opens a connection at once, and a connection is judged by its session. */
export function targetTokenEnd({ exp }: { readonly exp: Seconds }, now: Seconds): Seconds {
  return earliest(exp, plus(now, seconds(LONGEST_TARGET_TOKEN)));
}

/**
 * Writes the row of a token, where the key that is to sign it is still one of this issuer's. @returns what it is to say
 *
 * @throws CurfewError `busy` where the key was revoked
 */
export async function recordTargetMint(
  transaction: Transaction,
  { config, tokenIds, keys }: Pick<Broker, 'config' | 'tokenIds' | 'keys'>,
  session: Session,
  asked: AskedTarget,
  verdict: Verdict & { readonly allow: true },
  { now, address }: { readonly now: Seconds; readonly address: string },
): Promise<{ readonly claims: TargetTokenClaims; readonly kid: string }> {
  const { kid } = keys.signing;
  const { sid, iss, sub, username, jkt } = session;
  const { target, account, limits } = asked;
  const exp = targetTokenEnd(verdict, now);
  const jti = tokenIds.make({ sid, audience: target.audience }, exp);
  const event: MintEvent = {
    ...{ event: 'mint', at: now, address, sid, iss, sub, username, jkt },
    ...{ ...namesOf(asked), jti, exp, session_end: verdict.session_end },
    ...{ segment: limits.segment, rules: rulesOf(asked), limits: limits.target },
  };
  await requireKey(transaction, kid);
  await transaction.audit(event);
  const who = { iss: config.issuer, aud: target.audience, sub, username, sid, jti };
  const what = { cnf: { jkt }, target: target.name, ...(account !== undefined && { account }) };
  return { claims: { ...who, iat: now, nbf: now, exp, ...what }, kid };
}

/**
 * The reply that carries it, with what is presented at the target. Signs: only to be called after all that allows it is on disk.
 *
 * @throws CurfewError `busy` where the key that signed when it was decided was revoked since
 */
export function signTargetReply(keys: Pick<Keys, 'signer'>, { target_to_sign }: TargetToSign): TargetGranted {
  const { claims, session, kid, handle, credential, not_admitted } = target_to_sign;
  const signing = keys.signer(kid);
  if (!signing) throw keyRevoked();
  const { account } = claims;
  return {
    reply: {
      access_token: signTargetToken({ signing }, claims),
      issued_token_type: TOKEN_TYPE.jwt,
      token_type: 'DPoP',
      expires_in: between(claims.iat, claims.exp),
      ...(handle !== undefined && { refresh_token: handle }),
      session,
      ...(not_admitted && { not_admitted }),
      ...(account !== undefined && { account }),
      ...(credential && { credential: credential() }),
    },
  };
}

/** Whether a token for this person would be larger than any that we read. */
export function isTargetTokenTooLarge(
  { issuer: iss }: Pick<Broker['config'], 'issuer'>,
  { target: { name, audience }, account }: Pick<AskedTarget, 'target' | 'account'>,
  { sub, username, jkt }: Pick<Session, 'sub' | 'username' | 'jkt'>,
  now: Seconds,
): boolean {
  const ids = { sid: '0'.repeat(ID_LENGTH), jti: '0'.repeat(tokenIdLength(now)) };
  const what = { cnf: { jkt }, target: name, account };
  return isTargetTokenTooLong({ iss, aud: audience, sub, username, ...ids, iat: now, nbf: now, exp: now, ...what });
}
