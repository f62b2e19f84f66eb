// What the identity provider says of itself against what curfew needs of it. Its silence is a warning at most: many
// support more than they list.

import { revalidates } from '../config/clusters.ts';
import type { Config } from '../config/settings.ts';
import { SIGNING_ALGS } from '../config/values.ts';
import { isName } from '../text/names.ts';
import type { Discovery } from '../upstream/discovery.ts';
import { error, type Finding, ok, warning } from './finding.ts';

type Check = (config: Config, discovery: Discovery) => Finding[];

export const checkDiscovery: Check = (config, discovery) => [
  ok(`identity provider ${new URL(discovery.issuer).host}: metadata and keys read`),
  ...CHECKS.flatMap((check) => check(config, discovery)),
];

const authTime: Check = (_, { claims_supported }) => {
  const todo =
    'register the client with require_auth_time or a default_max_age, or see docs/identity-providers.md for this provider';
  if (claims_supported === undefined) {
    return [
      warning(
        `the identity provider does not list its claims: without auth_time in the ID token no login is possible; ${todo}`,
      ),
    ];
  }
  if (claims_supported.includes('auth_time')) return [ok('the identity provider lists auth_time')];
  return [
    warning(
      `the identity provider does not list auth_time, and without it in the ID token no login is possible: ${todo}`,
    ),
  ];
};

const identityClaims: Check = ({ identity_provider: { username_claim, groups_claim } }, { claims_supported }) => {
  const needed = new Set([username_claim, ...(username_claim === 'email' ? ['email_verified'] : []), groups_claim]);
  return [...needed]
    .filter((claim) => claims_supported && !claims_supported.includes(claim))
    .map((claim) =>
      warning(`the identity provider does not list the claim ${claim}: make sure that it is in the ID token`),
    );
};

const scopes: Check = ({ identity_provider }, { scopes_supported }) => [
  ...identity_provider.scopes
    .filter((scope) => scopes_supported && !scopes_supported.includes(scope))
    .map((scope) =>
      error(
        `the identity provider does not list the scope ${scope}, and most refuse each login that asks for one that they do not know (invalid_scope): create it there and give it to the client, or take it out of identity_provider.scopes`,
      ),
    ),
];

const PRICE =
  'at Keycloak each login is then an offline session, which its back-channel logout does not end, and which stays until it is revoked';

/** Whether the plugin gets what it proves with that an account is still in order, and only then: it has a price. */
const refreshTokens: Check = ({ identity_provider, policy }) => {
  const asked = identity_provider.scopes.includes('offline_access');
  const needed = revalidates(policy);
  if (asked && !needed) {
    return [
      warning(
        `identity_provider.scopes: offline_access brings a refresh token that nobody uses (${PRICE}): leave it out`,
      ),
    ];
  }
  if (asked) return [ok(`identity_provider.scopes: offline_access, for revalidate; ${PRICE}`)];
  if (!needed) return [];
  return [
    warning(
      `revalidate without the scope offline_access: unless the identity provider gives refresh tokens all the same, it takes a login each time. With the scope, ${PRICE}`,
    ),
  ];
};

const codeFlow: Check = (_, { response_types_supported, authorization_endpoint, token_endpoint }) => [
  ...(response_types_supported && !response_types_supported.includes('code')
    ? [error('the identity provider does not support the authorization code flow (response type code)')]
    : []),
  ...(authorization_endpoint === undefined ? [error('the identity provider has no authorization_endpoint')] : []),
  ...(token_endpoint === undefined ? [error('the identity provider has no token_endpoint')] : []),
];

const pkce: Check = (_, { code_challenge_methods_supported }) =>
  code_challenge_methods_supported?.includes('S256')
    ? []
    : [warning('the identity provider does not list PKCE with S256: see that it takes it')];

const algorithms: Check = ({ identity_provider }, { id_token_signing_alg_values_supported: theirs }) => {
  const ours = identity_provider.id_token_signing_algs;
  if (!theirs || theirs.some((alg) => ours.includes(alg))) return [];
  const possible = theirs.filter((alg) => SIGNING_ALGS.includes(alg));
  const todo =
    possible.length > 0
      ? `allow ${possible.join(' or ')} in identity_provider.id_token_signing_algs`
      : `let it sign with one of them: others, such as ${theirs.filter((alg) => isName(alg, 20)).join(', ') || 'none'}, are not supported`;
  return [error(`the identity provider signs ID tokens with none of ${ours.join(', ')}: ${todo}`)];
};

const acrs: Check = ({ policy }, { acr_values_supported }) => {
  const wanted = new Set(
    [policy.limits, ...policy.segments.map(({ limits }) => limits)].flatMap(({ acr }) => acr ?? []),
  );
  return [...wanted]
    .filter((acr) => acr_values_supported && !acr_values_supported.includes(acr))
    .map((acr) => warning(`the identity provider does not list the acr ${acr}, which the policy requires`));
};

const risks: Check = ({ identity_provider: { issuer, device_grant } }) => [
  ...(issuer.startsWith('http:')
    ? [warning('identity_provider.issuer: plain HTTP, for trying out on one machine only')]
    : []),
  ...(device_grant
    ? [warning('identity_provider.device_grant: ID tokens without nonce are taken within 60s, from whoever holds them')]
    : []),
];

const CHECKS: readonly Check[] = [
  authTime,
  identityClaims,
  scopes,
  refreshTokens,
  codeFlow,
  pkce,
  algorithms,
  acrs,
  risks,
];
