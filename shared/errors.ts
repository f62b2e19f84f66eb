// Every failure that a person or a program meets: one table from code to exit status, HTTP status, OAuth error and hint.

/** sysexits(3), as far as we use them. */
export const EXIT = {
  done: 0,
  /** Not of sysexits: something was looked for, and found. */
  findings: 1,
  usage: 64,
  unavailable: 69,
  software: 70,
  try_again: 75,
  login_required: 77,
  configuration: 78,
} as const;

/** `error` of RFC 6749 5.2, 8693 2.2.2, 9449 5 and 8, 9470 3, as the broker answers them. */
export type OAuthError =
  | 'invalid_request'
  | 'unsupported_grant_type'
  | 'invalid_grant'
  | 'login_required'
  | 'insufficient_user_authentication'
  | 'invalid_target'
  | 'invalid_dpop_proof'
  | 'use_dpop_nonce'
  | 'temporarily_unavailable'
  | 'server_error'
  // RFC 6750 3.1, RFC 6749 4.1.2.1: of our own API and the webhooks
  | 'invalid_token'
  | 'access_denied';

interface Meaning {
  readonly exit: number;
  readonly status: number;
  readonly error: OAuthError;
  readonly hint: string;
}

const LOGIN = 'run: kubectl curfew login';
const DENIED = { exit: EXIT.login_required, status: 400, error: 'login_required', hint: LOGIN } as const;
const ID_TOKEN = { exit: EXIT.login_required, status: 400, error: 'invalid_grant', hint: LOGIN } as const;
const PROOF = {
  exit: EXIT.try_again,
  status: 400,
  error: 'invalid_dpop_proof',
  hint: 'try again; if it happens again, run: kubectl curfew login',
} as const;
const IDENTITY = {
  exit: EXIT.login_required,
  status: 400,
  error: 'invalid_grant',
  hint: 'ask who runs curfew-broker and the identity provider',
} as const;
const SIGNAL = {
  exit: EXIT.usage,
  status: 400,
  error: 'invalid_request',
  hint: 'ask who runs the identity provider: the audit log of curfew-broker says what came',
} as const;
const AWAY = {
  exit: EXIT.unavailable,
  status: 503,
  error: 'temporarily_unavailable',
  hint: 'check the network and that the host is up, then try again',
} as const;
const CONFIGURATION = {
  exit: EXIT.configuration,
  status: 500,
  error: 'server_error',
  hint: 'correct the setting that is named',
} as const;

/** What each code means at every edge. A code is the `reason` on the wire, in audit rows and in metrics. */
export const CODES = {
  // the engine's denials
  session_ended: DENIED,
  login_too_old: DENIED,
  idle_too_long: DENIED,
  revalidation_due: DENIED,
  acr_too_low: { ...DENIED, error: 'insufficient_user_authentication' },
  // a login that cannot open a session
  login_after: { ...DENIED, hint: 'log in again at the identity provider: kubectl curfew login' },
  clock: { ...ID_TOKEN, hint: 'the clocks of identity provider and broker differ: correct them' },
  id_token_invalid: ID_TOKEN,
  id_token_signature: ID_TOKEN,
  id_token_key: {
    ...ID_TOKEN,
    exit: EXIT.try_again,
    hint: 'the identity provider has new keys: try again in half a minute',
  },
  id_token_issuer: ID_TOKEN,
  id_token_audience: ID_TOKEN,
  id_token_azp: ID_TOKEN,
  id_token_expired: ID_TOKEN,
  id_token_nonce: ID_TOKEN,
  id_token_used: ID_TOKEN,
  id_token_other_login: ID_TOKEN,
  auth_time: { ...ID_TOKEN, hint: 'the identity provider must put auth_time into the ID token: see the README' },
  acr: IDENTITY,
  amr: IDENTITY,
  username: IDENTITY,
  username_taken: { ...IDENTITY, hint: 'ask an administrator of curfew-broker, who can free the name' },
  groups: IDENTITY,
  identity_too_large: { ...IDENTITY, hint: 'ask who runs the identity provider for fewer groups, or shorter names' },
  not_admitted: IDENTITY,
  too_many_sessions: {
    ...IDENTITY,
    hint: 'end one where you are logged in: kubectl curfew logout, or kubectl curfew sessions list and sessions end',
  },
  too_many_failures: {
    exit: EXIT.try_again,
    status: 429,
    error: 'temporarily_unavailable',
    hint: 'wait as long as it says, then run: kubectl curfew login',
  },
  rule_error: { ...IDENTITY, hint: 'ask who runs curfew-broker: a rule of the policy could not be evaluated' },
  // handles, proofs, targets
  unknown_session: { ...ID_TOKEN, error: 'invalid_grant' },
  unknown_broker: {
    exit: EXIT.login_required,
    status: 403,
    error: 'access_denied',
    hint: 'ask who gave you this kubeconfig for the setup command',
  },
  proof_invalid: PROOF,
  proof_replayed: PROOF,
  proof_nonce: { ...PROOF, error: 'use_dpop_nonce' },
  invalid_target: {
    exit: EXIT.configuration,
    status: 400,
    error: 'invalid_target',
    hint: 'ask who runs curfew-broker for access to this cluster, and whether its name is right',
  },
  // clusters whose API server takes no flags
  api_server: AWAY,
  service_account: {
    ...AWAY,
    hint: 'ask who runs curfew-broker: curfew-broker check says what is missing at this cluster',
  },
  // databases in which sessions have roles
  database: {
    ...AWAY,
    hint: 'ask who runs curfew-broker: curfew-broker check --live says what is wrong at this database',
  },
  // the identity provider's signals: OpenID Connect Back-Channel Logout 1.0, RFC 8935
  logout_token_invalid: SIGNAL,
  logout_token_replayed: SIGNAL,
  logout_token_unmatched: SIGNAL,
  set_invalid: SIGNAL,
  set_key: SIGNAL,
  set_issuer: SIGNAL,
  set_audience: SIGNAL,
  set_subject: SIGNAL,
  set_not_allowed: SIGNAL,
  set_authentication: { ...SIGNAL, status: 401, error: 'invalid_token' },
  // our own API and the webhooks
  not_administrator: {
    exit: EXIT.login_required,
    status: 403,
    error: 'access_denied',
    hint: 'own sessions need no right: kubectl curfew sessions list',
  },
  no_such_session: {
    exit: EXIT.usage,
    status: 404,
    error: 'invalid_request',
    hint: 'run: kubectl curfew sessions list, to see the active ones',
  },
  token_id: { exit: EXIT.login_required, status: 403, error: 'access_denied', hint: LOGIN },
  impersonation: {
    exit: EXIT.login_required,
    status: 403,
    error: 'access_denied',
    hint: 'ask who runs curfew-broker: impersonate_service_accounts in a segment of the policy',
  },
  another_user: { exit: EXIT.login_required, status: 403, error: 'access_denied', hint: LOGIN },
  webhook_token: {
    exit: EXIT.configuration,
    status: 401,
    error: 'invalid_token',
    hint: 'give kube-apiserver what curfew-broker print webhook-kubeconfig prints for this cluster',
  },
  client_certificate: {
    exit: EXIT.configuration,
    status: 401,
    error: 'invalid_token',
    hint: 'give kube-apiserver a certificate of an authority in listen.tls.client_ca_file, where the printed webhook-kubeconfig names it',
  },
  gateway_token: {
    exit: EXIT.configuration,
    status: 401,
    error: 'invalid_token',
    hint: 'give the gateway the token file that curfew-broker has for it: clusters[].gateway.token_file',
  },
  target_token: {
    exit: EXIT.try_again,
    status: 403,
    error: 'access_denied',
    hint: 'try again: each connection takes a token of its own, which is good for a minute',
  },
  // requests
  request_invalid: { exit: EXIT.usage, status: 400, error: 'invalid_request', hint: 'correct the request' },
  grant_type: {
    exit: EXIT.usage,
    status: 400,
    error: 'unsupported_grant_type',
    hint: 'use a grant type of the metadata',
  },
  usage: { exit: EXIT.usage, status: 400, error: 'invalid_request', hint: 'see --help' },
  // the world
  unavailable: AWAY,
  identity_provider: AWAY,
  broker_unreachable: AWAY,
  store: { ...AWAY, hint: 'ask who runs curfew-broker: its store cannot be used' },
  draining: { ...AWAY, hint: 'try again: another broker, or this one once it has started again, will answer' },
  too_many_requests: {
    exit: EXIT.try_again,
    status: 429,
    error: 'temporarily_unavailable',
    hint: 'wait as long as it says, then try again',
  },
  busy: { exit: EXIT.try_again, status: 503, error: 'temporarily_unavailable', hint: 'try again' },
  login_failed: { exit: EXIT.login_required, status: 400, error: 'invalid_grant', hint: LOGIN },
  insecure: { ...CONFIGURATION, hint: 'use https, or a loopback address' },
  configuration: CONFIGURATION,
  internal: { exit: EXIT.software, status: 500, error: 'server_error', hint: 'this is our bug: please report it' },
} as const satisfies Record<string, Meaning>;

export type Code = keyof typeof CODES;

export function isCode(text: unknown): text is Code {
  return typeof text === 'string' && Object.hasOwn(CODES, text);
}

export function meaning(code: Code): Meaning {
  return CODES[code];
}

/**
 * A failure with a stable code. `message` is for a person: what happened and to what, never a secret.
 * `cause` is for a debugger alone: it is never printed, as errors of OIDC clients carry tokens.
 */
export class CurfewError extends Error {
  readonly code: Code;
  readonly hint: string;
  /** After how many seconds the same may be tried again. */
  readonly retry_after: number | undefined;
  /** Whether it is answered as something that is away, whatever the code says otherwise. */
  readonly unavailable: boolean;
  constructor(
    code: Code,
    message: string,
    options: {
      readonly cause?: unknown;
      readonly hint?: string;
      readonly retry_after?: number;
      readonly unavailable?: boolean;
    } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'CurfewError';
    this.code = code;
    this.hint = options.hint ?? meaning(code).hint;
    this.retry_after = options.retry_after;
    this.unavailable = options.unavailable ?? false;
  }
}

/** HTTP status and OAuth error of a failure. */
export function answerOf({ code, unavailable }: CurfewError): Pick<Meaning, 'status' | 'error'> {
  return meaning(unavailable ? 'unavailable' : code);
}
