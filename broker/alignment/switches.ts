// Settings without a length that open something, by the rows of the table; and those that nothing reads.

import type { Switch } from '../layers_table/setting.ts';
import { nameOf, SWITCHES } from '../layers_table/table.ts';
import type { KubeObject } from '../manifests/objects.ts';
import { textAt } from '../manifests/values.ts';
import { layerOfIngress, unreadAnnotations } from './controllers.ts';
import type { Estate } from './estate.ts';
import { type Report, subjectOf } from './finding.ts';
import { shortName } from './lengths.ts';
import { targetsOf } from './routes_gateway_api.ts';
import { select } from './select.ts';

/** Rows that take more than one object to judge, which others do: a missing authority, networks, ServiceProfiles, principals. */
const OTHERS = new Set([
  'auth_missing',
  'auth_elsewhere',
  'netpol_none',
  'netpol_not_a_cut',
  'netpol_allow_all',
  'netpol_no_egress',
]);
const ROWS = SWITCHES.filter(
  ({ finding, opens, place }) =>
    !OTHERS.has(finding) && opens.is !== 'absent' && !(place.in === 'field' && place.kinds.includes('ServiceProfile')),
);

const ofKinds = new Map<string, readonly Switch[]>();
function rowsFor({ kind, group }: KubeObject): readonly Switch[] {
  const key = `${group}/${kind}`;
  const known = ofKinds.get(key);
  if (known) return known;
  const rows = ROWS.filter(({ place }) =>
    place.in === 'annotation'
      ? place.kinds.includes(kind)
      : place.in === 'field' && place.group === group && place.kinds.includes(kind),
  );
  ofKinds.set(key, rows);
  return rows;
}

export function judgeSwitches(object: KubeObject, report: Report): void {
  const layer = object.kind === 'Ingress' ? layerOfIngress(object) : undefined;
  for (const row of rowsFor(object)) {
    const { place, trap } = row;
    if (object.kind === 'Ingress' && row.layer !== layer) continue;
    if (place.in === 'annotation') {
      const value = object.annotations[place.name];
      if (isOpen(row, value))
        report(row.finding, subjectOf(object), ['metadata', 'annotations', place.name], `${shortName(row)}: ${trap}`);
    } else if (place.in === 'field') {
      for (const { path, value } of select(object.value, place.path))
        if (isOpen(row, value)) report(row.finding, subjectOf(object), path, `${nameOf(place)}: ${trap}`);
    }
  }
}

export function isOpen({ opens }: Switch, value: unknown): boolean {
  switch (opens.is) {
    case 'present':
      return value !== undefined && value !== null && value !== '';
    case 'absent':
      return value === undefined || value === null;
    case 'equal':
      return (
        value !== undefined && opens.values.includes(typeof value === 'object' ? JSON.stringify(value) : String(value))
      );
  }
}

/** Settings that are written where nobody reads them. */
export function judgeIgnored(object: KubeObject, estate: Estate, report: Report): void {
  const say = (path: readonly string[], detail: string) => report('setting_ignored', subjectOf(object), path, detail);
  if (object.kind === 'Ingress')
    for (const name of unreadAnnotations(object))
      say(['metadata', 'annotations', name], `${prefixOf(name)} is not read under this ingress class`);
  if (object.kind === 'ServiceProfile' && object.group === 'linkerd.io') {
    const [name = '', namespace = object.namespace] = object.name.split('.');
    const service = estate.find('Service', namespace, name);
    if (service && Object.keys(service.annotations).some((one) => one.startsWith('timeout.linkerd.io/')))
      say(['spec'], `timeout.linkerd.io annotations of Service ${service.name}: a ServiceProfile makes them ignored`);
  }
  if (/TrafficPolicy$|^SecurityPolicy$/.test(object.kind) && object.group === 'gateway.envoyproxy.io') {
    const routes = estate.all('HTTPRoute').length + estate.all('Gateway').length + estate.all('GRPCRoute').length;
    const lost = targetsOf(object).filter(({ kind, name }) => estate.find(kind, object.namespace, name) === undefined);
    if (routes > 0 && lost.length > 0 && lost.length === targetsOf(object).length)
      say(['spec'], `it targets ${lost.map(({ kind, name }) => `${kind} ${name}`).join(', ')}, which is not there`);
    if (object.kind === 'ClientTrafficPolicy' && targetsOf(object).some(({ kind }) => kind !== 'Gateway'))
      say(['spec'], 'a ClientTrafficPolicy is for Gateways alone');
  }
  if (
    object.kind === 'Middleware' &&
    textAt(object.value, 'spec', 'forwardAuth', 'tls', 'insecureSkipVerify') === 'true'
  )
    report(
      'identity_spoof',
      subjectOf(object),
      ['spec', 'forwardAuth', 'tls'],
      'the authority is not verified (insecureSkipVerify)',
    );
}

function prefixOf(name: string): string {
  return name.slice(0, name.indexOf('/'));
}

/** Controllers that get no mends any more, by the image that runs. */
export function judgeRetired(
  workload: KubeObject,
  images: readonly { readonly image: string; readonly path: readonly (string | number)[] }[],
  report: Report,
): void {
  for (const { image, path } of images)
    if (/(?:^|\/)ingress-nginx\/controller(?:-chroot)?(?:[:@]|$)/.test(image))
      report('retired_controller', subjectOf(workload), path, 'ingress-nginx');
}
