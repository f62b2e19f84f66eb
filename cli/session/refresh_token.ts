// Refresh tokens that nobody here uses any more are revoked at the identity provider (RFC 7009): with `offline_access` each is
// a session there that outlives the person's own. At best: nothing fails or waits for long where that cannot be done.

import { parseJson } from '../../shared/json.ts';
import type { Metadata } from '../../shared/metadata.ts';
import { isObject } from '../../shared/wire.ts';
import { deadlineWithin } from '../host/countdown.ts';
import type { Secret } from '../secrets/secret.ts';
import type { HttpRequest } from '../wire/http.ts';
import type { IdentityProvider } from '../wire/identity_provider.ts';
import { CALL_PATIENCE_MS, Patience, sendPatiently } from '../wire/patience.ts';
import type { Client } from './client.ts';

export type RefreshToken = NonNullable<Secret['refresh']>;

/** For all that it takes. */
const REVOKING_MS = 3_000;

/** What a login brought, with the session at the identity provider that it belongs to, where the ID token names one. */
export function refreshTokenOf(
  { issuer }: Metadata['identity_provider'],
  { id_token, refresh_token }: { readonly id_token: string; readonly refresh_token: string | undefined },
): RefreshToken | undefined {
  if (refresh_token === undefined) return undefined;
  const sid = sidOf(id_token);
  return { issuer, refresh_token, ...(sid !== undefined && { sid }) };
}

/** Not verified: what it says is only compared with what it said before. */
function sidOf(id_token: string): string | undefined {
  const claims = parseJson(Buffer.from(id_token.split('.')[1] ?? '', 'base64url').toString());
  return isObject(claims) && typeof claims.sid === 'string' && claims.sid.length <= 256 ? claims.sid : undefined;
}

/**
 * Whether revoking one would take the other along: Keycloak revokes what all logins of a session share, for online and
 * offline tokens alike.
 */
export function shareSession(one: RefreshToken, other: RefreshToken | undefined): boolean {
  return one.refresh_token === other?.refresh_token || (one.sid !== undefined && one.sid === other?.sid);
}

/**
 * Whether a token that is not kept is worth a revocation: it is of a session of its own (OpenID Connect Core 1.0 section 11). Revoking
 * another would have Keycloak forget that this client is part of the person's session, and tell it of no logout.
 */
export function isOffline({ scopes }: Pick<Metadata['identity_provider'], 'scopes'>): boolean {
  return scopes.includes('offline_access');
}

/**
 * The identity provider of the broker, if it is the one that gave a token: what one gave is shown to no other, whatever the
 * metadata says now.
 *
 * @param whole milliseconds for finding it, and all that it is asked then
 * @throws CurfewError `identity_provider`, `broker_unreachable`
 */
export async function discoverOnly(
  { broker, host, send }: Pick<Client, 'broker' | 'host' | 'send'>,
  issuer: string,
  whole: number,
): Promise<IdentityProvider | undefined> {
  const deadline = deadlineWithin(whole, host);
  const { identity_provider } = await broker.metadata(deadline());
  if (identity_provider.issuer !== issuer) return undefined;
  const { discover } = await import('../wire/identity_provider.ts');
  const within = (url: string, request: HttpRequest) => send(url, { ...request, deadline: deadline() });
  return await discover(identity_provider, sendPatiently(within, new Patience(CALL_PATIENCE_MS, host), deadline));
}

/**
 * Token revocation (RFC 7009 section 2.1), at the identity provider that gave it, and no other. Whatever comes of it is told to
 * nobody: a person can do nothing about it.
 */
export async function revokeRefreshToken(
  client: Pick<Client, 'broker' | 'host' | 'send'>,
  token: RefreshToken | undefined,
): Promise<void> {
  if (!token) return;
  try {
    const provider = await discoverOnly(client, token.issuer, REVOKING_MS);
    await provider?.revoke(token.refresh_token);
  } catch {
    // It is over by itself when its own time has come.
  }
}
