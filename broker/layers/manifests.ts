// What a cluster with `credential: service-account` needs: the broker's identity with the rights for its work and none beyond, and
// the ServiceAccounts that people act as.

import { stringify } from 'yaml';
import { CurfewError } from '../../shared/errors.ts';
import type { Right } from '../api_servers/objects.ts';
import { clusterNamed } from '../config/clusters.ts';
import type { Cluster, Config, ServiceAccountMapping } from '../config/settings.ts';

/** The broker's ServiceAccount, and the namespace of its own in which it lives. */
export const BROKER = { name: 'curfew-broker', namespace: 'curfew-broker' } as const;
const LABELS = { 'app.kubernetes.io/name': 'curfew-broker', 'app.kubernetes.io/part-of': 'curfew' } as const;
const RBAC = 'rbac.authorization.k8s.io';

/**
 * @returns YAML: the broker's ServiceAccount, and a Role with its binding for each namespace of the cluster's `service_accounts`
 * @throws CurfewError `usage` when there is no such cluster, `configuration` when it has another credential
 */
export function printRbac(config: Config, clusterName: string): string {
  const { cluster, accounts } = withServiceAccounts(config, clusterName);
  const head = [
    `# What curfew-broker may do in cluster ${cluster.name}. Printed by: curfew-broker print rbac`,
    '# Apply it after what print sa-manifests prints. A token for broker_token_file, to be replaced before its end:',
    `#   kubectl create token ${BROKER.name} --namespace ${BROKER.namespace} --duration 24h`,
  ];
  const objects = namespacesOf(accounts).flatMap((namespace) => {
    const names = accounts.filter((account) => account.namespace === namespace).map(({ name }) => name);
    return roleIn(namespace, [...new Set(names)]);
  });
  return print(head, [namespaceNamed(BROKER.namespace), serviceAccount(BROKER), ...objects, ...reading()]);
}

/**
 * @returns YAML: the namespaces and ServiceAccounts of the cluster's `service_accounts`. What people may do with them is bound by
 *   whoever administers the cluster
 * @throws CurfewError likewise
 */
export function printServiceAccounts(config: Config, clusterName: string): string {
  const { cluster, accounts } = withServiceAccounts(config, clusterName);
  const head = [
    `# Whom people act as in cluster ${cluster.name}. Printed by: curfew-broker print sa-manifests`,
    '# Keep these namespaces for nothing else: the broker may list and delete all Secrets in them, and each is empty.',
    '# What people may do is yours to say, such as:',
    ...accounts.slice(0, 1).map(({ namespace, name }) => {
      const account = `--serviceaccount ${namespace}:${name}`;
      return `#   kubectl create clusterrolebinding ${name} --clusterrole view ${account}`;
    }),
  ];
  const unique = new Map(accounts.map((account) => [`${account.namespace}/${account.name}`, account]));
  const objects = [...namespacesOf(accounts).map(namespaceNamed), ...[...unique.values()].map(serviceAccount)];
  return print(head, objects);
}

/** For `check`: whether what keeps sessions from making credentials is there, and what bindings give to people. Changes nothing. */
function reading(): object[] {
  const metadata = { name: `${BROKER.name}-check`, labels: LABELS };
  const policies = ['validatingadmissionpolicies', 'validatingadmissionpolicybindings'];
  const rules = [
    { apiGroups: ['admissionregistration.k8s.io'], resources: policies, verbs: ['get'] },
    { apiGroups: [RBAC], resources: ['clusterrolebindings', 'rolebindings', 'clusterroles', 'roles'], verbs: ['list'] },
  ];
  const roleRef = { apiGroup: RBAC, kind: 'ClusterRole', name: metadata.name };
  const subjects = [{ kind: 'ServiceAccount', ...BROKER }];
  return [
    { apiVersion: `${RBAC}/v1`, kind: 'ClusterRole', metadata, rules },
    { apiVersion: `${RBAC}/v1`, kind: 'ClusterRoleBinding', metadata, roleRef, subjects },
  ];
}

function withServiceAccounts(
  config: Config,
  clusterName: string,
): { readonly cluster: Cluster; readonly accounts: readonly ServiceAccountMapping[] } {
  const cluster = clusterNamed(config, clusterName);
  if (cluster.service_accounts) return { cluster, accounts: cluster.service_accounts };
  throw new CurfewError('configuration', `the cluster ${cluster.name} does not have credential: service-account`, {
    hint: 'where kube-apiserver takes flags, use: curfew-broker print authn-config',
  });
}

const SECRET_VERBS = ['create', 'list', 'delete'] as const;

/** The same, one by one. */
export function rightsOf(accounts: readonly ServiceAccountMapping[]): Right[] {
  return [
    ...namespacesOf(accounts).flatMap((namespace) =>
      SECRET_VERBS.map((verb) => ({ namespace, verb, resource: 'secrets' })),
    ),
    ...accounts.map(({ namespace, name }) => {
      const token = { resource: 'serviceaccounts', subresource: 'token' } as const;
      return { namespace, verb: 'create', ...token, name };
    }),
  ];
}

/** A Secret for each session: made, found by name or label, deleted; and tokens of these ServiceAccounts alone. */
function roleIn(namespace: string, names: readonly string[]): object[] {
  const metadata = { name: BROKER.name, namespace, labels: LABELS };
  const rules = [
    { apiGroups: [''], resources: ['secrets'], verbs: SECRET_VERBS },
    { apiGroups: [''], resources: ['serviceaccounts/token'], resourceNames: names, verbs: ['create'] },
  ];
  const roleRef = { apiGroup: RBAC, kind: 'Role', name: BROKER.name };
  const subjects = [{ kind: 'ServiceAccount', ...BROKER }];
  return [
    { apiVersion: `${RBAC}/v1`, kind: 'Role', metadata, rules },
    { apiVersion: `${RBAC}/v1`, kind: 'RoleBinding', metadata, roleRef, subjects },
  ];
}

export function namespacesOf(accounts: readonly ServiceAccountMapping[]): string[] {
  return [...new Set(accounts.map(({ namespace }) => namespace))];
}

function namespaceNamed(name: string): object {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels: LABELS } };
}

/** No pod gets a token of one by itself. */
function serviceAccount({ name, namespace }: { readonly name: string; readonly namespace: string }): object {
  const metadata = { name, namespace, labels: LABELS };
  return { apiVersion: 'v1', kind: 'ServiceAccount', metadata, automountServiceAccountToken: false };
}

function print(head: readonly string[], objects: readonly object[]): string {
  const documents = objects.map((object) => stringify(object, { lineWidth: 0, aliasDuplicateObjects: false }));
  return `${head.join('\n')}\n${documents.join('---\n')}`;
}
