// The least that `check --kubeconfig` must be allowed, for whoever gives it a token of its own.

import { stringify } from 'yaml';

const NAME = 'curfew-check';
const NAMESPACE = 'curfew-check';
const RBAC = 'rbac.authorization.k8s.io';

/**
 * @param secrets whether it may list Secrets
 * @returns YAML: a ServiceAccount that may read what is looked at, and nothing else
 */
export function printCheckRbac(secrets: boolean): string {
  const labels = { 'app.kubernetes.io/name': NAME, 'app.kubernetes.io/part-of': 'curfew' };
  const bind = (kind: string, metadata: object, role: string) => ({
    ...{ apiVersion: `${RBAC}/v1`, kind, metadata },
    roleRef: { apiGroup: RBAC, kind: role, name: NAME },
    subjects: [{ kind: 'ServiceAccount', name: NAME, namespace: NAMESPACE }],
  });
  const system = { name: NAME, namespace: 'kube-system', labels };
  const rules = [
    { apiGroups: [RBAC], resources: ['clusterrolebindings', 'rolebindings', 'clusterroles'], verbs: ['list'] },
    ...(secrets ? [{ apiGroups: [''], resources: ['secrets'], verbs: ['list'] }] : []),
    { nonResourceURLs: ['/flagz'], verbs: ['get'] },
  ];
  const objects = [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE, labels } },
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: NAME, namespace: NAMESPACE, labels } },
    { apiVersion: `${RBAC}/v1`, kind: 'ClusterRole', metadata: { name: NAME, labels }, rules },
    bind('ClusterRoleBinding', { name: NAME, labels }, 'ClusterRole'),
    {
      ...{ apiVersion: `${RBAC}/v1`, kind: 'Role', metadata: system },
      rules: [{ apiGroups: [''], resources: ['pods'], verbs: ['list'] }],
    },
    bind('RoleBinding', system, 'Role'),
  ];
  return `${HEAD}${objects.map((object) => stringify(object)).join('---\n')}`;
}

const HEAD = `# What curfew-broker check --kubeconfig may do in a cluster. Printed by: curfew-broker print check-rbac
# Kubernetes has no right to list Secrets without their content: the check asks for names alone, but whoever has its token can ask
# for more. Give it one that ends soon:
#   kubectl create token ${NAME} --namespace ${NAMESPACE} --duration 10m
# With --without-secrets it has no such right, and the check says that it did not see them.
`;
