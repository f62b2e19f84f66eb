// What keeps a session from making itself a credential that outlives it: ValidatingAdmissionPolicies for a cluster, whatever RBAC gives
// its people. Kubernetes' own role `edit` holds `serviceaccounts/token`, and a token made with it is nobody's to take back.

import { stringify } from 'yaml';
import type { AdmissionObject } from '../api_servers/objects.ts';
import { clusterNamed } from '../config/clusters.ts';
import type { Cluster, Config } from '../config/settings.ts';
import { SESSION_ID_KEY } from '../tokens/user_extra.ts';
import { BROKER, namespacesOf } from './manifests.ts';

/** Of the policy and of its binding. */
export const NO_CREDENTIALS = 'curfew-no-credentials';
const SESSION_NAMESPACES = 'curfew-session-namespaces';

const LABELS = { 'app.kubernetes.io/part-of': 'curfew' } as const;
/** Of Secrets that are credentials, or make somebody one. */
const TOKEN_SECRETS = ['kubernetes.io/service-account-token', 'bootstrap.kubernetes.io/token'] as const;
/** What empties a namespace that is deleted. */
const CLEANERS = ['system:serviceaccount:kube-system:namespace-controller', 'system:kube-controller-manager'] as const;

/**
 * @returns YAML of admissionregistration.k8s.io/v1 (Kubernetes 1.30): policies with their bindings
 * @throws CurfewError `usage` when there is no such cluster
 */
export function printAdmissionPolicy(config: Config, clusterName: string): string {
  const cluster = clusterNamed(config, clusterName);
  const head = [
    `# What sessions cannot make in cluster ${cluster.name}: credentials that outlive them. Printed by: curfew-broker print admission-policy`,
    '# Apply it before anything is bound to people. Whoever may change ValidatingAdmissionPolicies can take it away.',
  ];
  const documents = policiesOf(cluster).map((object) =>
    stringify(object, { lineWidth: 0, aliasDuplicateObjects: false }),
  );
  return `${head.join('\n')}\n${documents.join('---\n')}`;
}

/** What a cluster needs. */
export function policiesOf(cluster: Pick<Cluster, 'service_accounts'>): readonly AdmissionObject[] {
  const { service_accounts } = cluster;
  if (!service_accounts) return withBinding(NO_CREDENTIALS, noCredentials(BY_EXTRA));
  const users = service_accounts.map(({ namespace, name }) => `system:serviceaccount:${namespace}:${name}`);
  return [
    ...withBinding(NO_CREDENTIALS, noCredentials(`request.userInfo.username in ${list(users)}`)),
    ...withBinding(SESSION_NAMESPACES, sessionNamespaces(namespacesOf(service_accounts))),
  ];
}

/** Tokens of ours carry the session's id. An error refuses the request of whoever it is, so nothing is asked of what may be absent. */
const BY_EXTRA = `has(request.userInfo.extra) && '${SESSION_ID_KEY}' in request.userInfo.extra`;

/** In all namespaces, by whatever version of the API. */
function noCredentials(isSession: string) {
  return {
    matchConstraints: {
      resourceRules: [
        rule('', ['serviceaccounts/token'], ['CREATE']),
        rule('', ['secrets'], ['CREATE', 'UPDATE']),
        rule('certificates.k8s.io', ['certificatesigningrequests', 'podcertificaterequests'], ['CREATE', 'UPDATE']),
        rule(
          'certificates.k8s.io',
          ['certificatesigningrequests/approval', 'certificatesigningrequests/status'],
          ['UPDATE'],
        ),
        rule('certificates.k8s.io', ['podcertificaterequests/status'], ['UPDATE']),
      ],
    },
    matchConditions: [{ name: 'is-a-session', expression: isSession }],
    validations: [
      {
        expression: "request.resource.resource != 'serviceaccounts'",
        reason: 'Forbidden',
        message: 'curfew: a session cannot make tokens of ServiceAccounts: they would outlive it',
      },
      {
        // An update too: the type never changes, but the ServiceAccount that such a Secret names may.
        expression: `request.resource.resource != 'secrets' || !(${[
          `(has(object.type) && object.type in ${list(TOKEN_SECRETS)})`,
          `(request.operation == 'UPDATE' && has(oldObject.type) && oldObject.type in ${list(TOKEN_SECRETS)})`,
        ].join(' || ')})`,
        reason: 'Forbidden',
        message: 'curfew: a session cannot make or change token Secrets: their tokens would outlive it',
      },
      {
        expression: "request.resource.group != 'certificates.k8s.io'",
        reason: 'Forbidden',
        message: 'curfew: a session cannot ask for, approve or sign certificates: they would outlive it',
      },
    ],
  };
}

/** What tokens of sessions hang on is the broker's alone, and no pod is there to run as one of the ServiceAccounts. */
function sessionNamespaces(namespaces: readonly string[]) {
  const broker = `request.userInfo.username == 'system:serviceaccount:${BROKER.namespace}:${BROKER.name}'`;
  const cleaning = `request.operation == 'DELETE' && request.userInfo.username in ${list(CLEANERS)}`;
  const values = [...namespaces];
  return {
    matchConstraints: {
      namespaceSelector: { matchExpressions: [{ key: 'kubernetes.io/metadata.name', operator: 'In', values }] },
      resourceRules: [
        rule('', ['secrets'], ['CREATE', 'UPDATE', 'DELETE']),
        rule('', ['serviceaccounts/token'], ['CREATE']),
        rule('', ['pods'], ['CREATE']),
      ],
    },
    validations: [
      {
        expression: "request.resource.resource != 'pods'",
        reason: 'Forbidden',
        message: 'curfew: this namespace is for sessions, no pod runs in it',
      },
      {
        expression: `request.resource.resource == 'pods' || (${broker}) || (${cleaning})`,
        reason: 'Forbidden',
        message: 'curfew: Secrets and tokens in this namespace are of sessions: only the broker makes and deletes them',
      },
    ],
  };
}

function rule(group: string, resources: readonly string[], operations: readonly string[]) {
  return { apiGroups: [group], apiVersions: ['*'], operations: [...operations], resources: [...resources], scope: '*' };
}

/** Failing closed: where an expression cannot be evaluated, the request is refused. */
function withBinding(name: string, spec: object): readonly AdmissionObject[] {
  const api = { apiVersion: 'admissionregistration.k8s.io/v1' };
  const metadata = { name, labels: LABELS };
  return [
    { ...api, kind: 'ValidatingAdmissionPolicy', metadata, spec: { failurePolicy: 'Fail', ...spec } },
    {
      ...{ ...api, kind: 'ValidatingAdmissionPolicyBinding', metadata },
      spec: { policyName: name, validationActions: ['Deny'] },
    },
  ];
}

/** A list of texts in CEL; names of Kubernetes have no quotes. */
function list(texts: readonly string[]): string {
  return `[${texts.map((text) => `'${text}'`).join(', ')}]`;
}
