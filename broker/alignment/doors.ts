// Ways to the pods behind a host that do not lead through the ingress: Services and ports that are open beside it, and networks that admit
// everybody.

import type { KubeObject } from '../manifests/objects.ts';
import { fieldsAt, listAt, type Path, textAt } from '../manifests/values.ts';
import {
  type Estate,
  hasAll,
  isService,
  type Labels,
  podLabels,
  podSpecPath,
  selectorOf,
  serviceOfUrl,
} from './estate.ts';
import { type Report, subjectOf } from './finding.ts';
import type { LoginProxy } from './oauth2_proxy.ts';
import type { Backend, Route } from './route.ts';

/** Services that a host leads to, also by way of a login proxy. */
export function servicesBehind(
  routes: readonly Route[],
  proxies: readonly LoginProxy[],
  estate: Estate,
): ReadonlySet<KubeObject> {
  const find = ({ name, namespace }: Backend) => estate.find('Service', namespace, name);
  const found = new Set(routes.flatMap(({ backends }) => backends.flatMap((one) => find(one) ?? [])));
  for (const { settings, namespace } of proxies)
    for (const { value } of [...(settings.get('upstream') ?? []), ...(settings.get('upstreams') ?? [])]) {
      const service = serviceOfUrl(estate, value, namespace);
      if (service) found.add(service);
    }
  return found;
}

export function judgeDoors(behind: ReadonlySet<KubeObject>, estate: Estate, report: Report): void {
  const told = new Set<KubeObject>();
  const once = (object: KubeObject, path: Path, detail: string) => {
    if (told.has(object)) return;
    told.add(object);
    report('side_door', subjectOf(object), path, detail);
  };
  const known = new Map<string | undefined, readonly Opened[]>();
  // Few are, and each is asked of whatever is in its namespace.
  const doorsIn = (namespace: string | undefined): readonly Opened[] => {
    const before = known.get(namespace);
    if (before) return before;
    const all = estate.inNamespace('Service', namespace).flatMap((service): Opened[] => {
      const door = doorOf(service);
      return door ? [{ service, door }] : [];
    });
    known.set(namespace, all);
    return all;
  };
  for (const service of behind) {
    const selector = selectorOf(service);
    const pods = estate.workloads(service.namespace, selector);
    for (const { service: one, door } of doorsIn(service.namespace))
      if (one === service || isBeside(one, selector, pods)) once(one, door.path, door.detail);
    for (const workload of pods) {
      const spec = podSpecPath(workload);
      if (fieldsAt(workload.value, ...spec).hostNetwork === true)
        once(workload, [...spec, 'hostNetwork'], 'hostNetwork: every port of it is one of the node');
      for (const [i, container] of listAt(workload.value, ...spec, 'containers').entries())
        for (const [j, port] of listAt(container, 'ports').entries())
          if (textAt(port, 'hostPort') !== undefined)
            once(
              workload,
              [...spec, 'containers', i, 'ports', j, 'hostPort'],
              'hostPort: a port of the node leads to it',
            );
    }
  }
}

/** Whether another Service leads to the same pods. */
function isBeside(one: KubeObject, selector: Labels, pods: readonly KubeObject[]): boolean {
  const own = selectorOf(one);
  if (Object.keys(own).length === 0 || Object.keys(selector).length === 0) return false;
  return hasAll(selector, own) || pods.some((workload) => hasAll(podLabels(workload), own));
}

interface Door {
  readonly path: Path;
  readonly detail: string;
}

interface Opened {
  readonly service: KubeObject;
  readonly door: Door;
}

function doorOf(service: KubeObject): Door | undefined {
  for (const type of ['NodePort', 'LoadBalancer'])
    if (isService(service, type)) return { path: ['spec', 'type'], detail: `type ${type}` };
  if (listAt(service.value, 'spec', 'externalIPs').length > 0)
    return { path: ['spec', 'externalIPs'], detail: 'externalIPs' };
  return undefined;
}
