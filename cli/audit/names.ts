// What `audit kubeconfig` can find: each with a name that stays, how bad it is, and what to do instead. Words only.

/** As SARIF 2.1.0 has them (3.27.10). */
export type Level = 'error' | 'warning' | 'note';

interface Meaning {
  readonly level: Level;
  /** What it is. */
  readonly says: string;
  readonly instead: string;
}

const OURS = 'use a session that ends: kubectl curfew setup, or audit kubeconfig --fix';
const MODE = 'chmod 600 FILE, and replace the secret: others may have read it';

export const FINDINGS = {
  static_token: { level: 'error', says: 'a bearer token', instead: OURS },
  token_file: { level: 'warning', says: 'a bearer token in a file beside kubeconfig', instead: OURS },
  service_account_token: {
    level: 'warning',
    says: 'a ServiceAccount token that ends',
    instead: 'people: a session of their own (kubectl curfew setup); machines: a new token for each run',
  },
  service_account_token_without_end: {
    level: 'error',
    says: 'a ServiceAccount token without an end',
    instead: 'delete its Secret in the cluster; people: kubectl curfew setup; machines: a token for each run',
  },
  client_certificate: {
    level: 'error',
    says: 'a client certificate: the API server cannot take it back before its end',
    instead: OURS,
  },
  client_certificate_expired: {
    level: 'note',
    says: 'a client certificate that is over, or not readable',
    instead: 'remove it: kubectl config delete-user NAME',
  },
  cluster_admin_certificate: {
    level: 'error',
    says: 'a client certificate of system:masters: no RBAC rule restricts it',
    instead: 'keep it offline for emergencies alone; if it was copied, replace the cluster CA',
  },
  password: { level: 'error', says: 'a user name and password', instead: OURS },
  auth_provider: {
    level: 'error',
    says: 'an auth provider, which kubectl 1.26 and later do not have',
    instead: OURS,
  },
  exec_not_allowlisted: {
    level: 'warning',
    says: 'an exec plugin that kuberc does not allow by name',
    instead:
      'use kubectl curfew setup; for plugins you keep: credentialPluginAllowlist in kuberc (kubectl 1.35 and later)',
  },
  exec_relative_path: {
    level: 'error',
    says: 'an exec plugin by a relative path: whoever sends a kubeconfig with a program beside it runs that program',
    instead: 'name it by an absolute path',
  },
  exec_by_name: {
    level: 'note',
    says: 'an exec plugin by its name alone: what runs is what PATH has first',
    instead: 'name it by an absolute path',
  },
  exec_writable: {
    level: 'error',
    says: 'an exec plugin that others can exchange',
    instead: 'take it from them: chmod go-w, or install it where only root can write',
  },
  exec_secret: {
    level: 'error',
    says: 'a secret among the arguments or variables of an exec plugin',
    instead: 'let the plugin log a person in, or read the secret from a file of mode 0600; replace the secret',
  },
  insecure_skip_tls_verify: {
    level: 'error',
    says: 'the API server certificate is not verified: anybody on the way gets the credential',
    instead: 'set certificate-authority-data, and remove insecure-skip-tls-verify',
  },
  plain_http: {
    level: 'error',
    says: 'plain http: anybody on the way gets the credential',
    instead: 'use the https address of the API server',
  },
  url_credentials: {
    level: 'error',
    says: 'a user name or password in an address',
    instead: 'remove it from the address, and replace the password',
  },
  impersonation: {
    level: 'note',
    says: 'acts as somebody else with each request',
    instead: 'remove as, as-groups, as-uid and as-user-extra; name it for one call: kubectl --as',
  },
  secret_elsewhere: {
    level: 'error',
    says: 'what looks like a secret, where kubectl reads none',
    instead: 'remove it, and replace the secret',
  },
  secret_in_comment: {
    level: 'error',
    says: 'what looks like a secret, in a comment',
    instead: 'remove the line, and replace the secret',
  },
  world_readable: { level: 'error', says: 'others can read a file with a secret', instead: MODE },
  group_readable: { level: 'warning', says: 'a group can read a file with a secret', instead: MODE },
  writable_by_others: {
    level: 'error',
    says: 'others can write this file: they choose what kubectl runs, and whom it trusts',
    instead: 'chmod go-w FILE, and look what they changed',
  },
  copied_secret: {
    level: 'warning',
    says: 'the same secret as in another file',
    instead: 'remove one of them: each copy must be found when the secret is replaced',
  },
  shadowed_entry: {
    level: 'warning',
    says: 'an entry that an earlier file of KUBECONFIG hides, with a secret',
    instead: 'remove it, or give it a name of its own',
  },
  backup_beside: {
    level: 'warning',
    says: 'a kubeconfig with a secret beside the files that kubectl reads',
    instead: 'look at it by name (audit kubeconfig FILE), then remove it',
  },
  unreadable: {
    level: 'error',
    says: 'a file that could not be looked at',
    instead: 'correct it, or say which files are meant: audit kubeconfig FILE...',
  },
} as const satisfies Readonly<Record<string, Meaning>>;

export type FindingName = keyof typeof FINDINGS;

/** What a machine uses instead of a secret that lies there. */
export const MACHINES =
  'a machine uses it: left as it is; instead give it a token for each run (kubectl create token NAME --duration 10m), or let the API server trust the tokens of the CI (AuthenticationConfiguration)';
