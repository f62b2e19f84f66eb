// AL7: of two idle timeouts on one way the outer one is the shorter. Ways that are known: from a host to a Service of a mesh, and within
// Envoy Gateway.

import type { KubeObject } from '../manifests/objects.ts';
import type { Estate } from './estate.ts';
import { type Report, subjectOf } from './finding.ts';
import { sayLength } from './lengths.ts';
import type { Route } from './route.ts';
import { attachedTo, gatewaysOf } from './routes_gateway_api.ts';
import { type Measured, measure } from './timings.ts';

interface Idle {
  readonly object: KubeObject;
  readonly measured: Measured;
  readonly ms: number;
}

export function judgeOrder(
  routes: readonly Route[],
  estate: Estate,
  isMeant: (object: KubeObject) => boolean,
  report: Report,
): void {
  const rules = byHost(estate);
  const told = new Set<string>();
  for (const route of routes) {
    if (!isMeant(route.object)) continue;
    const outer = outerOf(route.object, estate);
    if (outer === undefined) continue;
    const inner = innerOf(route, rules, estate);
    const shortest = inner.toSorted((a, b) => a.ms - b.ms)[0];
    if (!shortest || outer.ms <= shortest.ms) continue;
    const key = `${outer.object.kind} ${outer.object.namespace} ${outer.object.name}`;
    if (told.has(key)) continue;
    told.add(key);
    const behind = `${shortest.object.kind} ${shortest.object.name}`;
    const detail = `${sayLength(outer.ms)} here, ${sayLength(shortest.ms)} at ${behind} behind it`;
    report('idle_order', subjectOf(outer.object), outer.measured.path, detail);
  }
}

/** What the outermost object sets, or has by default. */
function outerOf(object: KubeObject, estate: Estate): Idle | undefined {
  if (object.kind === 'HTTPRoute' || object.kind === 'GRPCRoute') {
    const policies = gatewaysOf(object, estate).flatMap((one) => attachedTo('ClientTrafficPolicy', one, estate));
    return policies.flatMap((one) => idlesOf(one, true))[0];
  }
  return idlesOf(object, false).toSorted((a, b) => a.ms - b.ms)[0];
}

function innerOf(
  { object, backends }: Route,
  rules: ReadonlyMap<string, readonly KubeObject[]>,
  estate: Estate,
): readonly Idle[] {
  const own = object.kind.endsWith('Route') ? attachedTo('BackendTrafficPolicy', object, estate) : [];
  const behind = backends.flatMap(({ name, namespace }) => {
    const service = estate.find('Service', namespace, name);
    return [...(service ? [service] : []), ...(rules.get(`${namespace ?? ''}/${name}`) ?? [])];
  });
  return [...own, ...behind].filter((one) => one !== object).flatMap((one) => idlesOf(one, true));
}

function idlesOf(object: KubeObject, written: boolean): readonly Idle[] {
  return measure(object).flatMap((measured): Idle[] => {
    const { row, effect, present } = measured;
    const idle = row.bounds === 'idle' && row.of.some((of) => of === 'stream' || of === 'tcp');
    return idle && effect.is === 'length' && (present || !written) ? [{ object, measured, ms: effect.ms }] : [];
  });
}

/** DestinationRules by the Service that they are for. */
function byHost(estate: Estate): ReadonlyMap<string, readonly KubeObject[]> {
  const found = new Map<string, KubeObject[]>();
  for (const rule of estate.all('DestinationRule')) {
    const host = (rule.value.spec as { host?: unknown } | undefined)?.host;
    const [name, namespace = rule.namespace] = typeof host === 'string' ? host.split('.') : [];
    const key = `${namespace ?? ''}/${name}`;
    found.set(key, [...(found.get(key) ?? []), rule]);
  }
  return found;
}
