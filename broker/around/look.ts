// `check --kubeconfig`: all that is looked at in one cluster, and what is said of it. What could not be looked at is said as well.

import { isObject } from '../../shared/wire.ts';
import type { Cluster, Config } from '../config/settings.ts';
import type { Access } from './access.ts';
import { flagsOfPage, flagsOfPods, judgeFlags } from './flags.ts';
import type { Around } from './names.ts';
import type { ClusterReader, Listed } from './reader.ts';
import { judgeSubjects, type Prefixes } from './subjects.ts';

const RBAC = '/apis/rbac.authorization.k8s.io/v1';

/**
 * @param cluster as the broker knows it; `undefined` where it does not
 * @throws CurfewError `api_server` when it is away
 */
export async function lookAround(
  reader: ClusterReader,
  prefixes: Prefixes,
  cluster: Cluster | undefined,
): Promise<readonly Around[]> {
  return [
    ...(await subjects(reader, prefixes)),
    ...(await secrets(reader)),
    ...(await flags(reader, cluster?.webhook !== undefined)),
    ...(await anonymous(reader)),
    ...layers(cluster),
  ];
}

/** The cluster that a kubeconfig leads to, by its address or that of one of its API servers. */
export function clusterAt({ clusters }: Pick<Config, 'clusters'>, { server }: Access): Cluster | undefined {
  const wanted = new URL(server).href;
  return clusters.find((one) => [one.server, ...(one.api_servers ?? [])].some((url) => new URL(url).href === wanted));
}

async function subjects(reader: ClusterReader, prefixes: Prefixes): Promise<Around[]> {
  const names = ['clusterrolebindings', 'rolebindings', 'clusterroles'] as const;
  const found: Around[] = [];
  const lists: Record<(typeof names)[number], readonly unknown[]> = {
    ...{ clusterrolebindings: [], rolebindings: [], clusterroles: [] },
  };
  for (const name of names) {
    const listed = await reader.list(`${RBAC}/${name}`);
    if ('items' in listed) lists[name] = listed.items;
    else found.push(notSeen(name, listed));
  }
  // Without a prefix every name may be the broker's: then nobody can tell.
  for (const key of ['username_prefix', 'groups_prefix'] as const)
    if (prefixes[key] === '')
      found.push({ name: 'not_seen', detail: `whose names bindings have: identity_provider.${key} is empty` });
  return [...judgeSubjects(lists, prefixes), ...found];
}

async function secrets(reader: ClusterReader): Promise<Around[]> {
  const kinds = [
    ['kubernetes.io/service-account-token', 'token_secret', 'token Secrets'],
    ['bootstrap.kubernetes.io/token', 'bootstrap_token', 'bootstrap tokens'],
  ] as const;
  const found: Around[] = [];
  for (const [type, name, what] of kinds) {
    // Names and annotations alone: no secret comes here.
    const listed = await reader.list('/api/v1/secrets', { fieldSelector: `type=${type}` }, true);
    if ('refused' in listed) found.push(notSeen(what, listed));
    else found.push(...listed.items.map((item) => ({ name, detail: saySecret(item) })));
  }
  return found;
}

function saySecret(item: unknown): string {
  const metadata = isObject(item) && isObject(item.metadata) ? item.metadata : {};
  const annotations = isObject(metadata.annotations) ? metadata.annotations : {};
  const account = annotations['kubernetes.io/service-account.name'];
  const of = typeof account === 'string' ? ` of ServiceAccount ${account}` : '';
  return `${String(metadata.namespace)}/${String(metadata.name)}${of}`;
}

async function flags(reader: ClusterReader, asked: boolean): Promise<Around[]> {
  const page = await reader.text('/flagz');
  const shown = 'text' in page ? flagsOfPage(page.text) : undefined;
  if (shown) return judgeFlags(shown, asked);
  const query = { labelSelector: 'component=kube-apiserver' };
  const pods = await reader.list('/api/v1/namespaces/kube-system/pods', query);
  const all = 'items' in pods ? flagsOfPods(pods.items) : [];
  if (all.length > 0) {
    const found = all.flatMap((one) => judgeFlags(one, asked));
    return [...new Map(found.map((one) => [one.name, one])).values()];
  }
  const why = 'refused' in pods ? `its pods: ${pods.refused}` : 'it runs in no pod that is seen here';
  const detail = `flags of kube-apiserver (/flagz: ${'refused' in page ? page.refused : 'not understood'}; ${why}): look at its command line`;
  return [{ name: 'not_seen', detail }];
}

async function anonymous(reader: ClusterReader): Promise<Around[]> {
  const status = await reader.statusWithout('/api/v1/namespaces');
  if (status === 401) return [];
  const detail =
    status === 403
      ? 'as system:anonymous, which RBAC must refuse each time: --anonymous-auth=false, or anonymous.conditions in the AuthenticationConfiguration'
      : `even namespaces are answered (HTTP ${status})`;
  return [{ name: 'anonymous_requests', detail }];
}

function layers(cluster: Cluster | undefined): Around[] {
  if (!cluster)
    return [
      { name: 'not_seen', detail: 'no cluster of the configuration has this address: whether it asks the broker' },
    ];
  const found: Around[] = [];
  if (!cluster.webhook && cluster.credential === 'token')
    found.push({ name: 'no_webhook', detail: 'clusters[].webhook is not set: see print authz-config' });
  if (!cluster.gateway)
    found.push({ name: 'no_gateway', detail: 'clusters[].gateway is not set: see print gateway-config' });
  return found;
}

function notSeen(what: string, listed: Extract<Listed, { refused: string }>): Around {
  return { name: 'not_seen', detail: `${what}: ${listed.refused}: see curfew-broker print check-rbac` };
}
