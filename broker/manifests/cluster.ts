// The same objects out of a live cluster: lists alone, of the kinds that are looked at, and never a Secret.

import { stringify } from 'yaml';
import { isObject } from '../../shared/wire.ts';
import type { ClusterReader } from '../around/reader.ts';
import type { Collected } from './collect.ts';
import { makeCollector } from './collect.ts';
import { KINDS } from './objects.ts';

/** Which version of a group an API server is asked for: the first that it has. */
const VERSIONS: Readonly<Record<string, readonly string[]>> = {
  '': ['v1'],
  apps: ['v1'],
  'networking.k8s.io': ['v1'],
  'gateway.networking.k8s.io': ['v1', 'v1beta1'],
  'networking.istio.io': ['v1', 'v1beta1', 'v1alpha3'],
  'security.istio.io': ['v1', 'v1beta1'],
  'traefik.io': ['v1alpha1'],
  'k8s.nginx.org': ['v1'],
  'projectcontour.io': ['v1', 'v1alpha1'],
  'gateway.envoyproxy.io': ['v1alpha1'],
  'linkerd.io': ['v1alpha2'],
  'cilium.io': ['v2'],
};

export interface Asked {
  readonly collected: Collected;
  /** What could not be listed, and why. */
  readonly refused: readonly string[];
}

/** Each resource of each group. */
function resources(): readonly { readonly kind: string; readonly group: string; readonly name: string }[] {
  return Object.entries(KINDS).flatMap(([kind, groups]) =>
    Object.entries(groups).flatMap(([group, name]) => (name === '' ? [] : [{ kind, group, name }])),
  );
}

/**
 * @param server its address, by which findings name it
 * @throws CurfewError `api_server` when it is away
 */
export async function collectCluster(reader: ClusterReader, server: string): Promise<Asked> {
  const collector = makeCollector();
  const refused: string[] = [];
  for (const { kind, group, name } of resources()) {
    const answer = await listOf(reader, group, name);
    if ('refused' in answer) {
      // What the cluster does not have is no loss.
      if (answer.refused !== 'HTTP 404') refused.push(`${name}${group === '' ? '' : `.${group}`}: ${answer.refused}`);
      continue;
    }
    for (const item of answer.items)
      if (isObject(item)) {
        const metadata = isObject(item.metadata) ? item.metadata : {};
        const place = `${server}/${name}${group === '' ? '' : `.${group}`}/${String(metadata.namespace ?? '')}/${String(metadata.name)}`;
        collector.addObject({ ...item, kind, apiVersion: group === '' ? 'v1' : `${group}/v1` }, place);
      }
  }
  return { collected: { ...collector.all, sources: 1 }, refused };
}

async function listOf(reader: ClusterReader, group: string, name: string) {
  const versions = VERSIONS[group] ?? [];
  for (const [i, version] of versions.entries()) {
    const path = group === '' ? `/api/${version}/${name}` : `/apis/${group}/${version}/${name}`;
    const answer = await reader.list(path);
    if (!('refused' in answer) || answer.refused !== 'HTTP 404' || i === versions.length - 1) return answer;
  }
  return { refused: 'HTTP 404' };
}

const NAME = 'curfew-layers-audit';
const RBAC = 'rbac.authorization.k8s.io';

/** YAML: a ServiceAccount that may list what is looked at, and nothing else. */
export function printLayersRbac(): string {
  const labels = { 'app.kubernetes.io/name': NAME, 'app.kubernetes.io/part-of': 'curfew' };
  const groups = new Map<string, string[]>();
  for (const { group, name } of resources()) groups.set(group, [...(groups.get(group) ?? []), name]);
  const rules = [...groups].map(([group, names]) => ({ apiGroups: [group], resources: names, verbs: ['list'] }));
  const objects = [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAME, labels } },
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: NAME, namespace: NAME, labels } },
    { apiVersion: `${RBAC}/v1`, kind: 'ClusterRole', metadata: { name: NAME, labels }, rules },
    {
      ...{ apiVersion: `${RBAC}/v1`, kind: 'ClusterRoleBinding', metadata: { name: NAME, labels } },
      roleRef: { apiGroup: RBAC, kind: 'ClusterRole', name: NAME },
      subjects: [{ kind: 'ServiceAccount', name: NAME, namespace: NAME }],
    },
  ];
  return `${HEAD}${objects.map((object) => stringify(object)).join('---\n')}`;
}

const HEAD = `# What curfew-broker layers audit --kubeconfig may do in a cluster: list, and no Secrets. Printed by: curfew-broker layers audit --print-rbac
# ConfigMaps and pods may hold what somebody should not have put there: whoever has its token reads it. Give it one that ends soon:
#   kubectl create token ${NAME} --namespace ${NAME} --duration 10m
`;
