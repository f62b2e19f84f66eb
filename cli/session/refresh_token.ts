// Refresh tokens that nobody here uses any more are revoked at the identity provider (RFC 7009): with `offline_access` each is
// a session there that outlives the person's own. At best: nothing fails or waits for long where that cannot be done.

import { isObject, type Metadata } from '../../shared/wire.ts';
import { deadlineWithin } from '../host/countdown.ts';
import type { Secret } from '../secrets/secret.ts';
import type { Client } from './client.ts';

export type RefreshToken = NonNullable<Secret['refresh']>;

/** Milliseconds for all that it takes. */
const REVOKING = 3_000;

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
  try {
    const claims: unknown = JSON.parse(Buffer.from(id_token.split('.')[1] ?? '', 'base64url').toString());
    return isObject(claims) && typeof claims.sid === 'string' && claims.sid.length <= 256 ? claims.sid : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Whether revoking one would take the other along: Keycloak revokes what all logins of a session share, for online and
 * offline tokens alike.
 */
export function shareSession(one: RefreshToken, other: RefreshToken | undefined): boolean {
  return one.refresh_token === other?.refresh_token || (one.sid !== undefined && one.sid === other?.sid);
}

/**
 * Whether a token that is not kept is worth a revocation: it is of a session of its own (OpenID Connect Core 11). Revoking
 * another would have Keycloak forget that this client is part of the person's session, and tell it of no logout.
 */
export function isOffline({ scopes }: Pick<Metadata['identity_provider'], 'scopes'>): boolean {
  return scopes.includes('offline_access');
}

/** Asks the identity provider that gave it, and no other. Whatever comes of it is told to nobody: a person cannot mend it. */
export async function revokeRefreshToken(
  client: Pick<Client, 'broker' | 'host' | 'send'>,
  token: RefreshToken | undefined,
): Promise<void> {
  if (!token) return;
  const deadline = deadlineWithin(REVOKING, client.host);
  try {
    const { identity_provider } = await client.broker.metadata(deadline());
    if (identity_provider.issuer !== token.issuer) return;
    const { discover } = await import('../wire/identity_provider.ts');
    const send: Client['send'] = (url, request) => client.send(url, { ...request, deadline: deadline() });
    const provider = await discover(identity_provider, send);
    await provider.revoke(token.refresh_token);
  } catch {
    // It is over by itself when its own time has come.
  }
}
