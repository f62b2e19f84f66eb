// Each object against the rows of the table that are about it: idle timeouts (AL1), ages (AL2), kept verdicts (AL4), cookies (AL6), and
// lengths that a controller reads otherwise than they are written (AL8).

import type { WholeLimits } from '../../shared/limits.ts';
import type { Layer } from '../layers_table/layer.ts';
import type { Timing } from '../layers_table/setting.ts';
import { TIMINGS } from '../layers_table/table.ts';
import type { KubeObject } from '../manifests/objects.ts';
import type { Path } from '../manifests/values.ts';
import { cutterWritten, holdsIdle, layerOfConfigMap, layerOfIngress } from './controllers.ts';
import { type Report, subjectOf } from './finding.ts';
import { type Effect, effectOf, faultOf } from './lengths.ts';
import { select } from './select.ts';

/** A setting of an object, with what it comes to. */
export interface Measured {
  readonly row: Timing;
  readonly path: Path;
  readonly present: boolean;
  readonly effect: Effect;
}

/** Annotations that are read on objects of many kinds say nothing where they are absent. */
const ABSENCE_COUNTS: readonly Layer[] = [
  ...(['ingress-nginx', 'nginx-ingress', 'haproxy-ingress', 'haproxytech-ingress', 'contour', 'traefik'] as const),
];

const ofKinds = new Map<string, readonly Timing[]>();
function rowsFor({ kind, group }: KubeObject): readonly Timing[] {
  const key = `${group}/${kind}`;
  const known = ofKinds.get(key);
  if (known) return known;
  const rows = TIMINGS.filter(({ place }) => {
    if (place.in === 'annotation') return place.kinds.includes(kind);
    if (place.in === 'config_map') return kind === 'ConfigMap';
    return place.in === 'field' && place.group === group && place.kinds.includes(kind);
  });
  ofKinds.set(key, rows);
  return rows;
}

/** What goes through, and is not only a pause between two requests. */
export function carries({ of, bounds }: Timing): boolean {
  return of.some((one) => one === 'stream' || one === 'tcp') || bounds === 'verdict_cache' || bounds === 'cookie';
}

/** Every setting of an object that bounds something, in the order of the table. */
export function measure(object: KubeObject, set: ReadonlySet<string> = new Set()): readonly Measured[] {
  const rows = rowsFor(object);
  if (rows.length === 0) return [];
  const layer = object.kind === 'Ingress' ? layerOfIngress(object) : layerOfConfigMap(object);
  return rows.flatMap((row): Measured[] => {
    const { place } = row;
    if (place.in === 'field')
      return [...select(object.value, place.path)].map(({ path, value }) => one(row, path, value));
    if (place.in === 'annotation') {
      const value = object.annotations[place.name];
      const own = object.kind === 'Ingress' ? row.layer === layer || row.layer === 'linkerd' : true;
      if (!own || (value === undefined && (object.kind !== 'Ingress' || !ABSENCE_COUNTS.includes(row.layer))))
        return [];
      // The controller's ConfigMap says it for all, and is judged itself.
      if (value === undefined && set.has(`${row.layer} ${place.name.slice(place.name.indexOf('/') + 1)}`)) return [];
      return [one(row, ['metadata', 'annotations', place.name], value)];
    }
    if (place.in !== 'config_map' || row.layer !== layer) return [];
    const data = object.value.data as Readonly<Record<string, unknown>> | undefined;
    const value = data?.[place.name];
    return value === undefined ? [] : [one(row, ['data', place.name], value)];
  });
}

function one(row: Timing, path: Path, written: unknown): Measured {
  const ofVerdicts = row.place.in === 'annotation' && row.bounds === 'verdict_cache';
  const value = ofVerdicts ? longestKept(written) : written;
  return { row, path, present: written !== undefined && written !== null, effect: effectOf(row, value) };
}

/** `200 202 401 5m, 403 1m`: statuses, then a time. Without any it is 5 min, where verdicts are kept at all. */
function longestKept(value: unknown): unknown {
  if (value === undefined) return '5m';
  if (typeof value !== 'string') return value;
  const times = value.split(',').map((part) => part.trim().split(/\s+/).at(-1) ?? '');
  return times.find((time) => !/^\d{3}$/.test(time)) ?? value;
}

/** What all Ingress objects of a controller are given by its ConfigMap: `layer name`. */
export function setForAll(configMaps: readonly KubeObject[]): ReadonlySet<string> {
  const all = configMaps.flatMap((object) =>
    measure(object).map(({ row }) => `${row.layer} ${row.place.in === 'config_map' ? row.place.name : ''}`),
  );
  return new Set(all);
}

/** What is wrong with what an object sets, or leaves to a default. */
export function judgeTimings(
  object: KubeObject,
  measured: readonly Measured[],
  limits: WholeLimits,
  report: Report,
): void {
  const held = holdsIdle(cutterWritten(object));
  for (const { row, path, present, effect } of measured) {
    if (row.bounds === 'request' && effect.is !== 'misread') continue;
    if (row.bounds === 'verdict_cache' && !isKept(object, row.layer)) continue;
    if (!carries(row) && effect.is !== 'misread') continue;
    // Settings that are left out of an object of the Gateway API may be made by another.
    if (!present && (row.layer === 'istio' || row.layer === 'envoy-gateway' || row.layer === 'linkerd')) continue;
    const fault = faultOf(row, effect, limits);
    if (!fault || (held && fault.name.startsWith('idle_'))) continue;
    report(fault.name, subjectOf(object), path, fault.detail);
  }
}

/** ingress-nginx keeps verdicts only under a key. */
function isKept({ annotations }: KubeObject, layer: Layer): boolean {
  return layer !== 'ingress-nginx' || annotations['nginx.ingress.kubernetes.io/auth-cache-key'] !== undefined;
}

/** Whether something of it ends connections by their age. */
export function hasAge(measured: readonly Measured[]): boolean {
  return measured.some(
    ({ row, effect }) =>
      row.bounds === 'age' && row.of.some((of) => of === 'stream' || of === 'tcp') && effect.is === 'length',
  );
}
