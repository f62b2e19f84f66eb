// What `check --kubeconfig` can find at a cluster: each with a name that stays. Words only.

export const AROUND = {
  foreign_subject: 'a binding gives rights to people who do not come by way of the broker',
  anonymous_rights: 'a binding gives rights to whoever does not authenticate',
  cluster_admin_service_account: 'a ServiceAccount may do everything: whoever gets its token needs no session',
  token_secret: 'a Secret holds a ServiceAccount token without an end',
  bootstrap_token: 'a Secret holds a token by which anybody can join as a node',
  anonymous_requests: 'requests without a credential get as far as authorization',
  token_auth_file: 'kube-apiserver has a file of static tokens (--token-auth-file)',
  basic_auth_file: 'kube-apiserver has a file of passwords (--basic-auth-file)',
  client_certificates: 'kube-apiserver takes client certificates (--client-ca-file), which end only by themselves',
  always_allow: 'kube-apiserver allows everything (--authorization-mode)',
  no_webhook: 'the API server does not ask the broker before RBAC: an end takes effect when the token does',
  no_gateway: 'there is no gateway: what is open when a session ends stays open',
  not_seen: 'something could not be looked at',
} as const;

export type AroundName = keyof typeof AROUND;

export interface Around {
  readonly name: AroundName;
  /** What it is of, in this cluster. */
  readonly detail: string;
}
