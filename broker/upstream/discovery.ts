// The identity provider's metadata (OpenID Connect Discovery 1.0), as far as the broker uses it.

import { CurfewError } from '../../shared/errors.ts';
import { isLoopback } from '../../shared/origin.ts';
import type { FetchJson } from '../net/fetch_json.ts';
import { visibleJson } from '../text/names.ts';

export interface Discovery {
  readonly issuer: string;
  readonly jwks_uri: string;
  readonly authorization_endpoint?: string | undefined;
  readonly token_endpoint?: string | undefined;
  /** What it says of itself; absent where it does not. Only `check` reads these. */
  readonly claims_supported?: readonly string[] | undefined;
  readonly scopes_supported?: readonly string[] | undefined;
  readonly response_types_supported?: readonly string[] | undefined;
  readonly code_challenge_methods_supported?: readonly string[] | undefined;
  readonly id_token_signing_alg_values_supported?: readonly string[] | undefined;
  readonly acr_values_supported?: readonly string[] | undefined;
}

/**
 * @throws CurfewError `identity_provider` when it is away or is not who it should be
 */
export async function fetchDiscovery(issuer: string, fetchJson: FetchJson, signal?: AbortSignal): Promise<Discovery> {
  const document = await fetchJson.get(discoveryUrl(issuer), signal);
  const { host } = new URL(issuer);
  if (document.issuer !== issuer) {
    const said =
      typeof document.issuer === 'string' ? visibleJson(JSON.stringify(document.issuer.slice(0, 200))) : 'none';
    const message = `identity provider ${host} names another issuer in its discovery: ${said} instead of "${issuer}"`;
    throw new CurfewError('identity_provider', message, { hint: hintOfIssuer(document.issuer, issuer) });
  }
  const { jwks_uri } = document;
  if (typeof jwks_uri !== 'string' || !isAsSafe(jwks_uri, issuer)) {
    throw new CurfewError(
      'identity_provider',
      `identity provider ${host} has no jwks_uri that is a safe URL in its discovery`,
      { hint: 'ask who runs it: is identity_provider.issuer an OpenID Connect provider?' },
    );
  }
  return Object.freeze({
    issuer,
    jwks_uri,
    authorization_endpoint: textOf(document.authorization_endpoint),
    token_endpoint: textOf(document.token_endpoint),
    claims_supported: textsOf(document.claims_supported),
    scopes_supported: textsOf(document.scopes_supported),
    response_types_supported: textsOf(document.response_types_supported),
    code_challenge_methods_supported: textsOf(document.code_challenge_methods_supported),
    id_token_signing_alg_values_supported: textsOf(document.id_token_signing_alg_values_supported),
    acr_values_supported: textsOf(document.acr_values_supported),
  });
}

/** What the provider says is worth copying only where it is an issuer, and of the host that was meant. */
function hintOfIssuer(said: unknown, issuer: string): string {
  if (typeof said === 'string' && /[{}]/.test(said)) {
    return 'what is there is a placeholder, not an issuer: write identity_provider.issuer with the id of your own tenant (directory) in its place';
  }
  const same = typeof said === 'string' && URL.canParse(said) && new URL(said).origin === new URL(issuer).origin;
  return same
    ? 'write identity_provider.issuer exactly as it is there'
    : 'identity_provider.issuer must be what the provider calls itself: ask who runs it';
}

/** Discovery 1.0, 4: a final slash of the issuer is removed before the well-known path is added. */
export function discoveryUrl(issuer: string): string {
  return `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
}

/** Keys must not come over plain HTTP where the issuer itself is spoken to by https. A query is allowed: some IdPs have one. */
export function isAsSafe(text: string, issuer: string): boolean {
  if (!URL.canParse(text)) return false;
  const url = new URL(text);
  if (url.username || url.password) return false;
  if (url.protocol === 'https:') return true;
  return url.protocol === 'http:' && isLoopback(url.hostname) && new URL(issuer).protocol === 'http:';
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function textsOf(value: unknown): readonly string[] | undefined {
  if (!Array.isArray(value)) return undefined;
  return Object.freeze(value.filter((inner): inner is string => typeof inner === 'string'));
}
