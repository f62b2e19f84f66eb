// Signs Kubernetes tokens. Their claims come from this allowlist and nowhere else.

import { sign } from 'node:crypto';
import type { Seconds } from '../shared/time.ts';
import type { Keys } from './keys.ts';

/** A `typ` of their own (RFC 8725 3.11), so that no other verifier takes them for what they are not. */
export const TOKEN_TYP = 'curfew+jwt';

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

export function signToken({ signing }: Pick<Keys, 'signing'>, claims: TokenClaims): string {
  const { iss, aud, sub, username, groups, sid, jti, iat, nbf, exp, auth_time, acr } = claims;
  const header = encode({ alg: 'ES256', typ: TOKEN_TYP, kid: signing.kid });
  const payload = encode({ iss, aud, sub, username, groups, sid, jti, iat, nbf, exp, auth_time, ...(acr && { acr }) });
  const signature = sign('sha256', Buffer.from(`${header}.${payload}`), {
    key: signing.key,
    dsaEncoding: 'ieee-p1363',
  });
  return `${header}.${payload}.${signature.toString('base64url')}`;
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
