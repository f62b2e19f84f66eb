// Signs Kubernetes tokens, and tokens for targets. Their claims come from these allowlists and nowhere else.

import { signEs256 } from '../../serving/jws/es256.ts';
import { LONGEST_JWS } from '../../serving/jws/jws.ts';
import type { Seconds } from '../../shared/time.ts';
import { TARGET_TOKEN_TYP, TOKEN_TYP, type TokenTyp } from '../../shared/token_typ.ts';
import type { SigningKey } from './keys.ts';

/** What signs. */
export interface Signer {
  readonly signing: Pick<SigningKey, 'kid' | 'key'>;
}

export interface TokenClaims {
  readonly iss: string;
  readonly aud: string;
  readonly sub: string;
  readonly username: string;
  readonly groups: readonly string[];
  readonly sid: string;
  readonly jti: string;
  readonly iat: Seconds;
  readonly nbf: Seconds;
  readonly exp: Seconds;
  readonly auth_time: Seconds;
  readonly acr?: string;
}

/** A token for the gateway of targets. It says nothing to an API server: another `typ`, and no groups. */
export interface TargetTokenClaims {
  readonly iss: string;
  readonly aud: string;
  readonly sub: string;
  readonly username: string;
  readonly sid: string;
  readonly jti: string;
  readonly iat: Seconds;
  readonly nbf: Seconds;
  readonly exp: Seconds;
  /** The thumbprint of the key that must be proved with it (RFC 7800 3.1, RFC 9449 6.1). */
  readonly cnf: { readonly jkt: string };
  readonly target: string;
  readonly account?: string | undefined;
}

export function signToken(signer: Signer, claims: TokenClaims, typ: TokenTyp = TOKEN_TYP): string {
  return sign(signer, signingInput(payloadOf(claims), signer.signing.kid, typ));
}

export function signTargetToken(signer: Signer, claims: TargetTokenClaims): string {
  return sign(signer, signingInput(payloadOfTarget(claims), signer.signing.kid, TARGET_TOKEN_TYP));
}

function sign({ signing }: Signer, input: string): string {
  return `${input}.${signEs256(input, signing.key).toString('base64url')}`;
}

/** Whether a token with these claims would be larger than any that we read. Every signing key and signature has one length. */
export function isTooLong(claims: TokenClaims, typ: TokenTyp = TOKEN_TYP): boolean {
  return isLong(signingInput(payloadOf(claims), KID, typ));
}

export function isTargetTokenTooLong(claims: TargetTokenClaims): boolean {
  return isLong(signingInput(payloadOfTarget(claims), KID, TARGET_TOKEN_TYP));
}

function isLong({ length }: string): boolean {
  return length + 1 + SIGNATURE_LENGTH > LONGEST_JWS;
}

/** As long as each `kid` is: SHA-256 in base64url. */
const KID = 'k'.repeat(43);
/** 64 bytes in base64url. */
const SIGNATURE_LENGTH = 86;

function payloadOf({ iss, aud, sub, username, groups, sid, jti, iat, nbf, exp, auth_time, acr }: TokenClaims): object {
  return { iss, aud, sub, username, groups, sid, jti, iat, nbf, exp, auth_time, ...(acr && { acr }) };
}

function payloadOfTarget(claims: TargetTokenClaims): object {
  const { iss, aud, sub, username, sid, jti, iat, nbf, exp, cnf, target, account } = claims;
  const as = account === undefined ? {} : { account };
  return { iss, aud, sub, username, sid, jti, iat, nbf, exp, cnf: { jkt: cnf.jkt }, target, ...as };
}

function signingInput(payload: object, kid: string, typ: TokenTyp | typeof TARGET_TOKEN_TYP): string {
  return `${encode({ alg: 'ES256', typ, kid })}.${encode(payload)}`;
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
