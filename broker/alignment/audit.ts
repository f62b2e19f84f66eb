// The whole: everything that was read against the limits of where it is, in one pass over each object and one over all together. Findings
// come out in one order, whatever the order of the files was.

import type { WholeLimits } from '../../shared/limits.ts';
import type { Collected } from '../manifests/collect.ts';
import type { KubeObject, Place } from '../manifests/objects.ts';
import { listAt, type Path, textAt } from '../manifests/values.ts';
import { judgeAges } from './ages.ts';
import { judgeDoors, servicesBehind } from './doors.ts';
import { judgeDrift, judgeFileDrift } from './drift.ts';
import { makeEstate, podSpecPath, WORKLOADS } from './estate.ts';
import type { Finding, Report } from './finding.ts';
import { judgeGatewayIdle } from './gateway_idle.ts';
import { judgeHosts, routesOf } from './hosts.ts';
import { judgeKeepalives } from './keepalives.ts';
import { judgeMesh } from './mesh.ts';
import { judgeNetworks } from './networks.ts';
import { judgeLoginProxy, loginProxies } from './oauth2_proxy.ts';
import { judgeOrder } from './order.ts';
import { judgeFile } from './proxy_files.ts';
import type { Scope } from './scope.ts';
import { judgeIgnored, judgeRetired, judgeSwitches } from './switches.ts';
import { judgeTimings, measure, setForAll } from './timings.ts';
import { judgeTraefikIdle } from './traefik_idle.ts';

export interface Audited {
  readonly findings: readonly Finding[];
  /** Objects and files that limits hold for. */
  readonly judged: number;
  /** Objects that are in a namespace that is none of the segment's. */
  readonly outside: number;
  /** Objects that name no namespace. */
  readonly homeless: number;
}

/**
 * @param issuer the broker's own `iss`
 * @param namespace of what names none
 */
export function audit(collected: Collected, scope: Scope, issuer: string, namespace?: string): Audited {
  const { unread } = collected;
  // Where two files have an object of one name, the first holds, whatever their order was.
  const byFile = (a: { readonly place: Place }, b: { readonly place: Place }) =>
    a.place.file < b.place.file ? -1 : a.place.file > b.place.file ? 1 : 0;
  const [objects, files] = [collected.objects.toSorted(byFile), collected.files.toSorted(byFile)];
  const estate = makeEstate(objects, files);
  const findings: Finding[] = unread.map(({ file, line, fault }) => ({
    name: 'unreadable',
    file,
    line,
    detail: fault,
  }));
  const found: (() => Finding)[] = [];
  const report: Report = (name, { place, title }, path, detail, route) => {
    // Lines are looked up at the end, object after object.
    found.push(() => ({ name, file: place.file, line: place.lineOf(...path), object: title, detail, route }));
  };
  const limits = new Map<string | undefined, WholeLimits | undefined>();
  const limitsOf = (object: KubeObject | undefined): WholeLimits | undefined => {
    const there = object?.namespace ?? namespace;
    if (!limits.has(there)) limits.set(there, scope.limitsIn(there));
    return limits.get(there);
  };
  const hashes = new Map<string | undefined, ReadonlySet<string>>();
  const hashesIn = (there: string | undefined): ReadonlySet<string> => {
    const known = hashes.get(there) ?? scope.hashesIn(there);
    hashes.set(there, known);
    return known;
  };
  const isMeant = (object: KubeObject) => limitsOf(object) !== undefined;
  const meant = objects.filter(isMeant);
  const set = setForAll(estate.all('ConfigMap'));
  for (const object of meant) {
    const own = limitsOf(object);
    if (!own) continue;
    judgeTimings(object, measure(object, set), own, report);
    judgeSwitches(object, report);
    judgeTraefikIdle(object, estate, report);
    judgeGatewayIdle(object, own, estate, report);
    judgeIgnored(object, estate, report);
    judgeDrift(object, hashesIn(object.namespace ?? namespace), report);
    if (WORKLOADS.includes(object.kind)) judgeRetired(object, imagesOf(object), report);
  }
  const proxies = loginProxies(estate);
  for (const proxy of proxies) {
    const own = limitsOf(proxy.workload);
    if (own) judgeLoginProxy(proxy, own, report);
  }
  const routes = routesOf(estate);
  const leading = new Set(routes.filter(({ answers }) => !answers).map(({ object }) => object));
  judgeAges(meant, leading, estate, report);
  judgeHosts({ estate, routes, proxies, issuer }, isMeant, report);
  judgeMesh(estate, isMeant, report);
  judgeOrder(routes, estate, isMeant, report);
  const behind = servicesBehind(
    routes.filter(({ object }) => isMeant(object)),
    proxies,
    estate,
  );
  judgeDoors(behind, estate, report);
  judgeNetworks(behind, estate, isMeant, report);
  judgeKeepalives(estate, limitsOf, report);
  let judgedFiles = 0;
  for (const file of files) {
    const own = limitsOf(file.of);
    if (!own) continue;
    judgedFiles += 1;
    judgeFile(file, own, report);
    judgeFileDrift(file, hashesIn(file.of?.namespace ?? namespace), report);
  }
  findings.push(...found.map((one) => one()));
  return {
    findings: inOrder(findings),
    judged: meant.length + judgedFiles,
    outside: objects.length - meant.length,
    homeless: objects.filter(({ namespace, kind }) => namespace === undefined && !kind.startsWith('CiliumClusterwide'))
      .length,
  };
}

function imagesOf(workload: KubeObject): readonly { readonly image: string; readonly path: Path }[] {
  const spec = podSpecPath(workload);
  return listAt(workload.value, ...spec, 'containers').map((one, i) => ({
    image: textAt(one, 'image') ?? '',
    path: [...spec, 'containers', i, 'image'],
  }));
}

/** By file, line and name; the same thing twice is one. */
function inOrder(findings: readonly Finding[]): readonly Finding[] {
  const keyed = new Map(findings.map((one) => [keyOf(one), one]));
  return [...keyed].toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)).map(([, one]) => one);
}

function keyOf({ file, line, name, object = '', route = '', detail }: Finding): string {
  return [file, String(line).padStart(9, '0'), name, object, route, detail].join('\0');
}
