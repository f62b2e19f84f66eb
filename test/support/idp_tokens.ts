// The ID tokens of the test IdP: what oidc-provider issued, with the claims of this IdP, and as wrong as a test wants it.
import { claimsOf, type Json, type KeyRing, type SigningKey, signJws } from './idp_keys.ts';
import { profile, type Users } from './idp_users.ts';

export type Claims = Record<string, unknown>;
/** Gives other claims, or the payload's text as it shall stand in the token (`{"auth_time": 1e400}`). */
export type ClaimsRewrite = (claims: Claims) => Claims | string;
/** Gives another token, or none at all. */
export type TokenRewrite = (claims: Claims, token: string) => string | undefined;

export interface SignOptions {
  readonly header?: Json;
  /** `stranger`: a key that the JWKS never showed; `impostor`: the same, under the real key's `kid`. */
  readonly key?: 'own' | 'stranger' | 'impostor' | SigningKey;
}

/** What one login was like, from the authorization code or the refresh token that came of it. */
export interface LoginFacts {
  readonly grantId?: string | undefined;
  readonly refreshed?: boolean | undefined;
  readonly acr?: string | undefined;
  readonly amr?: readonly string[] | undefined;
  readonly sid?: string | undefined;
}

export interface TokenDesk {
  /** Seconds by which `auth_time` is earlier than it was; the key null stands for everybody. */
  readonly offsets: Map<string | null, number>;
  rewriteClaims: ClaimsRewrite | null;
  rewriteToken: TokenRewrite | null;
  sign(payload: Json | string, options?: SignOptions): string;
  /** A good ID token of that person, logged in just now; `undefined` in `overrides` takes a claim out. */
  issue(username: string, overrides?: Json): string;
  /** What leaves the token endpoint instead of `token`. */
  finish(token: string, facts: LoginFacts, fault: string | undefined): string | undefined;
}

export interface TokenParts {
  readonly issuer: string;
  readonly clientId: string;
  readonly keys: KeyRing;
  readonly users: Users;
  readonly withSid: boolean;
}

export function createTokenDesk({ issuer, clientId, keys, users, withSid }: TokenParts): TokenDesk {
  function chooseKey(choice: SignOptions['key'] = 'own'): SigningKey {
    if (choice === 'own') return keys.signing();
    if (choice === 'stranger') return keys.stranger;
    if (choice === 'impostor') return { ...keys.stranger, kid: keys.signing().kid };
    return choice;
  }

  const desk: TokenDesk = {
    offsets: new Map(),
    rewriteClaims: null,
    rewriteToken: null,
    sign: (payload, { header, key } = {}) => signJws(chooseKey(key), payload, header),
    issue(username, overrides = {}) {
      const account = users.get(username);
      if (!account) throw new TypeError(`the IdP knows no ${username}`);
      const now = Math.floor(Date.now() / 1000);
      const login = { acr: account.acr ?? 'pwd', amr: account.amr ?? ['pwd'], auth_time: now - offsetOf(account.sub) };
      const own = { iss: issuer, aud: clientId, iat: now, exp: now + 3600 };
      return desk.sign({ ...profile(account), ...login, ...own, ...overrides });
    },
    finish(token, { grantId = '', refreshed = false, ...facts }, fault) {
      const claims: Claims = { ...claimsOf(token), ...facts };
      const { amr } = users.bySub(String(claims.sub)) ?? {};
      if (typeof amr === 'string') claims.amr = amr;
      if (!withSid) delete claims.sid;
      if (typeof claims.auth_time === 'number') claims.auth_time -= offsetOfLogin(grantId, refreshed, claims);
      if (fault === 'wrong_issuer') claims.iss = `${issuer}/other`;
      const payload = desk.rewriteClaims?.(claims) ?? claims;
      const signed = desk.sign(payload, { key: fault === 'other_keys' ? 'stranger' : 'own' });
      return desk.rewriteToken ? desk.rewriteToken(claims, signed) : signed;
    },
  };

  /** As at the login: whatever it is now for others, a refreshed token says the same `auth_time`. */
  const logins = new Map<string, number>();
  function offsetOfLogin(grantId: string, refreshed: boolean, { sub, auth_time }: Claims): number {
    const key = `${grantId} ${String(auth_time)}`;
    if (!refreshed) logins.set(key, offsetOf(String(sub)));
    return logins.get(key) ?? 0;
  }

  function offsetOf(sub: string): number {
    const username = users.bySub(sub)?.username ?? null;
    return desk.offsets.get(username) ?? desk.offsets.get(null) ?? 0;
  }
  return desk;
}
