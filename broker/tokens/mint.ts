// Signs Kubernetes tokens. Their claims come from this allowlist and nowhere else.

import { signEs256 } from '../../serving/jws/es256.ts';
import { LONGEST_JWS } from '../../serving/jws/jws.ts';
import type { Seconds } from '../../shared/time.ts';
import { TOKEN_TYP, type TokenTyp } from '../../shared/token_typ.ts';
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

export function signToken({ signing }: Signer, claims: TokenClaims, typ: TokenTyp = TOKEN_TYP): string {
  const input = signingInput(claims, signing.kid, typ);
  return `${input}.${signEs256(input, signing.key).toString('base64url')}`;
}

/** Whether a token with these claims would be larger than any that we read. Every signing key and signature has one length. */
export function isTooLong(claims: TokenClaims, typ: TokenTyp = TOKEN_TYP): boolean {
  return signingInput(claims, KID, typ).length + 1 + SIGNATURE_LENGTH > LONGEST_JWS;
}

/** As long as each `kid` is: SHA-256 in base64url. */
const KID = 'k'.repeat(43);
/** 64 bytes in base64url. */
const SIGNATURE_LENGTH = 86;

function signingInput(claims: TokenClaims, kid: string, typ: TokenTyp): string {
  const { iss, aud, sub, username, groups, sid, jti, iat, nbf, exp, auth_time, acr } = claims;
  const header = encode({ alg: 'ES256', typ, kid });
  const payload = encode({ iss, aud, sub, username, groups, sid, jti, iat, nbf, exp, auth_time, ...(acr && { acr }) });
  return `${header}.${payload}`;
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
