// What RBAC gives those that people act as, where that reaches beyond their sessions: acting as others, and pods beside ServiceAccounts
// that may do more. Only reads what it is given.

import { isObject } from '../../shared/wire.ts';
import type { Bindings } from '../api_servers/objects.ts';

export interface Account {
  readonly namespace: string;
  readonly name: string;
}

/** Rules that somebody has by one binding. */
interface Grant {
  /** As kubectl names it. */
  readonly binding: string;
  /** `undefined` for all. */
  readonly namespace: string | undefined;
  readonly subjects: readonly Subject[];
  readonly rules: readonly Rule[];
}

interface Subject {
  readonly kind: string;
  readonly name: string;
  readonly namespace: string;
}

interface Rule {
  readonly groups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
  /** Only of these names; none for all. */
  readonly names: readonly string[];
}

/** @returns the bindings that let one of these act as somebody else */
export function impersonators(bindings: Bindings, accounts: readonly Account[]): readonly string[] {
  const grants = grantsIn(bindings).filter((grant) => accounts.some((account) => isFor(grant, account)));
  return [...new Set(grants.filter(({ rules }) => rules.some(impersonates)).map(({ binding }) => binding))];
}

/** @returns ServiceAccounts that may do more than this one, in namespaces where this one may start pods that run as them */
export function strongerBeside(bindings: Bindings, account: Account): readonly Account[] {
  const grants = grantsIn(bindings);
  const own = grants.filter((grant) => isFor(grant, account));
  const starts = own.filter(({ rules }) => rules.some(startsPods));
  const known = new Map(
    grants
      .flatMap(({ subjects }) => subjects)
      .filter(({ kind }) => kind === 'ServiceAccount')
      .map(({ namespace, name }) => [`${namespace}/${name}`, { namespace, name }]),
  );
  return [...known.values()].filter((other) => {
    if (other.namespace === account.namespace) return false;
    if (!starts.some(({ namespace }) => namespace === undefined || namespace === other.namespace)) return false;
    return grants.some((grant) => isFor(grant, other) && !grant.rules.every((rule) => isCovered(rule, grant, own)));
  });
}

function isFor({ subjects }: Grant, { namespace, name }: Account): boolean {
  const groups = ['system:authenticated', 'system:serviceaccounts', `system:serviceaccounts:${namespace}`];
  return subjects.some((subject) => {
    if (subject.kind === 'ServiceAccount') return subject.namespace === namespace && subject.name === name;
    if (subject.kind === 'User') return subject.name === `system:serviceaccount:${namespace}:${name}`;
    return subject.kind === 'Group' && groups.includes(subject.name);
  });
}

const ACTED_AS = ['users', 'groups', 'serviceaccounts', 'uids', 'nodes'];

function impersonates({ groups, resources, verbs }: Rule): boolean {
  return (
    verbs.some((verb) => verb === '*' || verb === 'impersonate' || verb.startsWith('impersonate:')) &&
    groups.some((group) => ['*', '', 'authentication.k8s.io'].includes(group)) &&
    resources.some((resource) => resource === '*' || ACTED_AS.includes(resource) || resource.startsWith('userextras'))
  );
}

/** What becomes pods, by API group. */
const WORKLOADS: Readonly<Record<string, readonly string[]>> = {
  '': ['pods', 'replicationcontrollers', 'podtemplates'],
  apps: ['deployments', 'statefulsets', 'daemonsets', 'replicasets'],
  batch: ['jobs', 'cronjobs'],
};

function startsPods({ groups, resources, verbs }: Rule): boolean {
  if (!verbs.some((verb) => ['*', 'create', 'update', 'patch'].includes(verb))) return false;
  return Object.entries(WORKLOADS).some(
    ([group, kinds]) =>
      includes(groups, group) && (resources.includes('*') || kinds.some((kind) => resources.includes(kind))),
  );
}

/** Whether all that a rule allows is allowed by others as well, one by one. */
function isCovered(rule: Rule, { namespace }: Grant, by: readonly Grant[]): boolean {
  const reaching = by.filter((grant) => grant.namespace === undefined || grant.namespace === namespace);
  const others = reaching.flatMap(({ rules }) => rules);
  return rule.groups.every((group) =>
    rule.resources.every((resource) =>
      rule.verbs.every((verb) =>
        others.some(
          (other) =>
            includes(other.groups, group) &&
            includes(other.resources, resource) &&
            includes(other.verbs, verb) &&
            (other.names.length === 0 ||
              (rule.names.length > 0 && rule.names.every((name) => other.names.includes(name)))),
        ),
      ),
    ),
  );
}

function includes(list: readonly string[], wanted: string): boolean {
  return list.includes('*') || list.includes(wanted);
}

function grantsIn({ clusterrolebindings, rolebindings, clusterroles, roles }: Bindings): readonly Grant[] {
  const rules = new Map<string, readonly Rule[]>([
    ...clusterroles.map((role) => [keyOf('ClusterRole', '', nameOf(role)), rulesOf(role)] as const),
    ...roles.map((role) => [keyOf('Role', namespaceOf(role), nameOf(role)), rulesOf(role)] as const),
  ]);
  const grant = (object: unknown, kind: string, namespace: string | undefined): Grant => {
    const ref = isObject(object) && isObject(object.roleRef) ? object.roleRef : {};
    const within = ref.kind === 'Role' ? (namespace ?? '') : '';
    return {
      binding: `${kind} ${namespace === undefined ? '' : `${namespace}/`}${nameOf(object)}`,
      namespace,
      subjects: listOf(object, 'subjects').map((subject) => ({
        ...{ kind: textOf(subject, 'kind'), name: textOf(subject, 'name') },
        namespace: textOf(subject, 'namespace') || (namespace ?? ''),
      })),
      rules: rules.get(keyOf(String(ref.kind), within, String(ref.name))) ?? [],
    };
  };
  return [
    ...clusterrolebindings.map((object) => grant(object, 'clusterrolebinding', undefined)),
    ...rolebindings.map((object) => grant(object, 'rolebinding', namespaceOf(object))),
  ];
}

function keyOf(...parts: readonly string[]): string {
  return parts.join('/');
}

/** Rules about paths lead to nothing that is asked here. */
function rulesOf(role: unknown): readonly Rule[] {
  return listOf(role, 'rules').map((rule) => ({
    ...{ groups: textsOf(rule, 'apiGroups'), resources: textsOf(rule, 'resources') },
    ...{ verbs: textsOf(rule, 'verbs'), names: textsOf(rule, 'resourceNames') },
  }));
}

function metadataOf(object: unknown): unknown {
  return isObject(object) ? object.metadata : undefined;
}

function nameOf(object: unknown): string {
  return textOf(metadataOf(object), 'name');
}

function namespaceOf(object: unknown): string {
  return textOf(metadataOf(object), 'namespace');
}

function textOf(object: unknown, key: string): string {
  const value = isObject(object) ? object[key] : undefined;
  return typeof value === 'string' ? value : '';
}

function listOf(object: unknown, key: string): readonly unknown[] {
  const value = isObject(object) ? object[key] : undefined;
  return Array.isArray(value) ? value : [];
}

function textsOf(object: unknown, key: string): readonly string[] {
  return listOf(object, key).filter((text): text is string => typeof text === 'string');
}
