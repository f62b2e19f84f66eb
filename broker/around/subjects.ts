// Who has rights in a cluster without coming by way of the broker, by RBAC's bindings. Pure.

import { isObject } from '../../shared/wire.ts';
import type { Around } from './names.ts';

/** How the broker's people are named there. */
export interface Prefixes {
  readonly username_prefix: string;
  readonly groups_prefix: string;
}

export interface RbacLists {
  readonly clusterrolebindings: readonly unknown[];
  readonly rolebindings: readonly unknown[];
  readonly clusterroles: readonly unknown[];
}

interface Binding {
  /** As kubectl names it. */
  readonly said: string;
  readonly namespace: string | undefined;
  readonly role: { readonly kind: string; readonly name: string };
  readonly subjects: readonly { readonly kind: string; readonly name: string; readonly namespace: string }[];
  /** Whether kube-apiserver itself makes it, at each start. */
  readonly own: boolean;
}

export function judgeSubjects(lists: RbacLists, prefixes: Prefixes): Around[] {
  const all = unrestricted(lists.clusterroles);
  const bindings = [
    ...lists.clusterrolebindings.map((object) => bindingOf(object, 'clusterrolebinding')),
    ...lists.rolebindings.map((object) => bindingOf(object, 'rolebinding')),
  ];
  return bindings.flatMap((binding) =>
    binding.subjects.flatMap((subject): Around[] => {
      const what = `${binding.said} (${binding.role.name})`;
      if (subject.kind === 'ServiceAccount' || accountOf(subject) !== undefined) {
        const account = accountOf(subject) ?? `${subject.namespace || binding.namespace}/${subject.name}`;
        return reachesAll(binding, all)
          ? [{ name: 'cluster_admin_service_account', detail: `${account} by ${what}` }]
          : [];
      }
      if (isAnonymous(subject.name)) {
        return binding.own ? [] : [{ name: 'anonymous_rights', detail: `${subject.name} by ${what}` }];
      }
      if (isServiceAccounts(subject) && reachesAll(binding, all))
        return [{ name: 'cluster_admin_service_account', detail: `all of ${subject.name} by ${what}` }];
      if (isServiceAccounts(subject) || isOurs(subject, prefixes) || isOfSystem(subject, binding)) return [];
      return [{ name: 'foreign_subject', detail: `${subject.kind.toLowerCase()} ${subject.name} by ${what}` }];
    }),
  );
}

/** A right in kube-system is a right to everything that runs there. */
function reachesAll({ namespace, role }: Binding, all: ReadonlySet<string>): boolean {
  return role.kind === 'ClusterRole' && all.has(role.name) && (namespace === undefined || namespace === 'kube-system');
}

/** ClusterRoles that are `cluster-admin` but for the name. */
function unrestricted(clusterroles: readonly unknown[]): ReadonlySet<string> {
  const found = clusterroles.filter((role) =>
    listOf(role, 'rules').some((rule) =>
      ['apiGroups', 'resources', 'verbs'].every((key) => listOf(rule, key).includes('*')),
    ),
  );
  return new Set(['cluster-admin', ...found.map((role) => textOf(metadataOf(role), 'name'))]);
}

function isOurs({ kind, name }: Binding['subjects'][number], { username_prefix, groups_prefix }: Prefixes): boolean {
  const prefix = kind === 'User' ? username_prefix : groups_prefix;
  // Without a prefix nobody can tell whose a name is; those of Kubernetes are not the broker's.
  return name.startsWith(prefix) && !name.startsWith('system:');
}

function isAnonymous(name: string): boolean {
  return name === 'system:anonymous' || name === 'system:unauthenticated';
}

function isServiceAccounts({ kind, name }: Binding['subjects'][number]): boolean {
  return kind === 'Group' && /^system:serviceaccounts(?::|$)/.test(name);
}

/** What kube-apiserver binds by itself, and parts of a cluster; others give `system:` names to people. */
function isOfSystem({ kind, name }: Binding['subjects'][number], { own }: Binding): boolean {
  if (own) return true;
  return kind === 'User'
    ? /^system:(?:kube-|node:|apiserver)/.test(name)
    : /^system:(?:nodes|bootstrappers)(?::|$)/.test(name);
}

function accountOf({ kind, name }: Binding['subjects'][number]): string | undefined {
  const [, namespace, account] = /^system:serviceaccount:([^:]+):(.+)$/.exec(kind === 'User' ? name : '') ?? [];
  return namespace === undefined ? undefined : `${namespace}/${account}`;
}

function bindingOf(object: unknown, kind: string): Binding {
  const metadata = metadataOf(object);
  const namespace = textOf(metadata, 'namespace') || undefined;
  const role = isObject(object) ? object.roleRef : undefined;
  const labels = isObject(metadata) ? metadata.labels : undefined;
  return {
    said: `${kind} ${namespace === undefined ? '' : `${namespace}/`}${textOf(metadata, 'name')}`,
    namespace,
    role: { kind: textOf(role, 'kind'), name: textOf(role, 'name') },
    subjects: listOf(object, 'subjects').map((subject) => ({
      ...{ kind: textOf(subject, 'kind'), name: textOf(subject, 'name'), namespace: textOf(subject, 'namespace') },
    })),
    own: textOf(labels, 'kubernetes.io/bootstrapping') === 'rbac-defaults',
  };
}

function metadataOf(object: unknown): unknown {
  return isObject(object) ? object.metadata : undefined;
}

function textOf(object: unknown, key: string): string {
  const value = isObject(object) ? object[key] : undefined;
  return typeof value === 'string' ? value : '';
}

function listOf(object: unknown, key: string): readonly unknown[] {
  const value = isObject(object) ? object[key] : undefined;
  return Array.isArray(value) ? value : [];
}
