// oidc-provider configured as the test IdP: one public native client, claims in the ID token, no consent page.
import { randomBytes } from 'node:crypto';
import Provider, { type Configuration, interactionPolicy, type KoaContextWithOIDC } from 'oidc-provider';
import type { DeviceGrant } from './idp_device.ts';
import type { KeyRing } from './idp_keys.ts';
import type { Backchannel } from './idp_logout.ts';
import type { IdpStore } from './idp_store.ts';
import { profile, type Users } from './idp_users.ts';

export interface ClientOptions {
  readonly clientId: string;
  /** For IdPs that give native apps a secret; sent in the body (client_secret_post). */
  readonly client_secret?: string | undefined;
  readonly redirect_uris?: readonly string[] | undefined;
  /** Whether the client gets refresh tokens; they are rotated with each use. */
  readonly refreshTokens?: boolean | undefined;
  /** Whether it has the device grant (RFC 8628), and what is peculiar to it. */
  readonly device_grant?: boolean | DeviceGrant | undefined;
  /** Whether each code is held to its request by PKCE. */
  readonly pkce?: boolean | undefined;
  /** Where logouts are told. */
  readonly backchannel?: Backchannel | undefined;
}

export interface ProviderParts {
  readonly issuer: string;
  readonly client: ClientOptions;
  readonly keys: KeyRing;
  readonly users: Users;
  readonly store: IdpStore;
  readonly fetch?: typeof fetch | undefined;
}

const { Check } = interactionPolicy;
const hour = 3600;
const day = 24 * hour;
/** RFC 8252 7.3: of a loopback redirect any port is allowed, so none is written here. */
const loopback = ['http://127.0.0.1/callback', 'http://[::1]/callback', 'http://localhost/callback'];

/** acr_values is a wish to oidc-provider; most IdPs ask for the second factor then, and so does this one. */
function stepUp(): InstanceType<typeof Check> {
  return new Check('acr_values', 'a stronger login is requested', ({ oidc }: KoaContextWithOIDC) => {
    const wanted = oidc.params?.acr_values;
    if (typeof wanted !== 'string' || oidc.result?.login) return Check.NO_NEED_TO_PROMPT;
    return wanted.split(' ').includes(oidc.acr) ? Check.NO_NEED_TO_PROMPT : Check.REQUEST_PROMPT;
  });
}

function policy(): interactionPolicy.DefaultPolicy {
  const prompts = interactionPolicy.base();
  prompts.get('login')?.checks.add(stepUp());
  // it would ask native clients each time
  prompts.remove('consent');
  return prompts;
}

/** Grants what is asked for, without a page, and goes on using the session's grant. */
const loadExistingGrant: Configuration['loadExistingGrant'] = async ({ oidc }) => {
  const { client, session, provider, params } = oidc;
  if (!client || !session?.accountId) return undefined;
  const known = session.grantIdFor(client.clientId);
  const grant =
    (known && (await provider.Grant.find(known))) ||
    new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
  grant.addOIDCScope(typeof params?.scope === 'string' ? params.scope : 'openid');
  await grant.save();
  return grant;
};

/** Two forms without a script: the code, and whether it is the person's own. */
const devicePages: NonNullable<Configuration['features']>['deviceFlow'] = {
  enabled: true,
  userCodeInputSource(ctx, form, _out, error) {
    ctx.body = `<!doctype html><title>Code</title>${error ? '<p>That code is wrong.</p>' : ''}${form}<button form="op.deviceInputForm">Go on</button>`;
  },
  userCodeConfirmSource(ctx, form, _client, _device, code) {
    ctx.body = `<!doctype html><title>Is it yours?</title><p>${code}</p>${form}<button form="op.deviceConfirmForm">Yes</button>`;
  },
  successSource(ctx) {
    ctx.body = '<!doctype html><title>Done</title><p>You are logged in.</p>';
  },
};

export function createProvider({ issuer, client, keys, users, store, fetch }: ProviderParts): Provider {
  const key = keys.signing();
  const provider = new Provider(issuer, {
    adapter: store.adapter,
    clients: [
      {
        client_id: client.clientId,
        application_type: 'native',
        token_endpoint_auth_method: client.client_secret === undefined ? 'none' : 'client_secret_post',
        ...(client.client_secret === undefined ? {} : { client_secret: client.client_secret }),
        redirect_uris: client.redirect_uris ?? loopback,
        response_types: ['code'],
        grant_types: [
          'authorization_code',
          ...(client.refreshTokens ? ['refresh_token'] : []),
          ...(client.device_grant ? ['urn:ietf:params:oauth:grant-type:device_code'] : []),
        ],
        ...(client.backchannel && {
          backchannel_logout_uri: client.backchannel.uri,
          backchannel_logout_session_required: client.backchannel.session_required ?? false,
        }),
        require_auth_time: true,
        id_token_signed_response_alg: key.alg,
      },
    ],
    jwks: { keys: [{ ...key.privateKey.export({ format: 'jwk' }), kid: key.kid, alg: key.alg, use: 'sig' }] },
    cookies: { keys: [randomBytes(32).toString('hex')] },
    async findAccount(_, sub) {
      const account = users.bySub(sub);
      if (account?.disabled) return undefined;
      return account && { accountId: sub, claims: async () => ({ ...profile(account), sub }) };
    },
    loadExistingGrant,
    interactions: { policy: policy(), url: (_, { uid }) => `/interaction/${uid}` },
    acrValues: ['pwd', 'mfa'],
    scopes: client.refreshTokens ? ['openid', 'offline_access'] : ['openid'],
    // oidc-provider wants a consent page for offline_access; this IdP has none, as for native apps of one's own
    issueRefreshToken: async () => client.refreshTokens === true,
    expiresWithSession: async () => false,
    ...(fetch && { fetch }),
    claims: {
      openid: ['sub'],
      email: ['email', 'email_verified'],
      profile: ['name', 'preferred_username'],
      groups: ['groups'],
      acr: null,
      amr: null,
      auth_time: null,
      sid: null,
      iss: null,
    },
    conformIdTokenClaims: false,
    responseTypes: ['code'],
    pkce: { required: () => client.pkce !== false },
    clientBasedCORS: () => false,
    features: {
      devInteractions: { enabled: false },
      deviceFlow: client.device_grant ? devicePages : { enabled: false },
      rpInitiatedLogout: { enabled: false },
      backchannelLogout: { enabled: client.backchannel !== undefined },
    },
    ttl: {
      AccessToken: hour,
      AuthorizationCode: 60,
      DeviceCode: 600,
      Grant: 14 * day,
      IdToken: hour,
      Interaction: hour,
      RefreshToken: 14 * day,
      Session: 14 * day,
    },
    async renderError(ctx, { error, error_description }) {
      ctx.type = 'text/plain';
      ctx.body = `the IdP refuses: ${error}: ${error_description ?? ''}\n`;
    },
  });
  // koa prints errors when nobody listens; tests look at answers instead
  provider.silent = true;
  return provider;
}
