// A configuration of Envoy: rows of the table by path, and each route with the authority and the end that hold for it.

import type { WholeLimits } from '../../shared/limits.ts';
import { isObject } from '../../shared/wire.ts';
import type { Switch, Timing } from '../layers_table/setting.ts';
import { SWITCHES, TIMINGS } from '../layers_table/table.ts';
import type { RawFile } from '../manifests/raw.ts';
import { fieldsAt, listAt, type Path, textAt, valueAt } from '../manifests/values.ts';
import { CUTTER, isCutter } from './controllers.ts';
import type { Report, Subject } from './finding.ts';
import { effectOf, faultOf } from './lengths.ts';
import { select } from './select.ts';
import { isOpen } from './switches.ts';
import { carries } from './timings.ts';

type YamlFile = Extract<RawFile, { readonly value: unknown }>;
type InFile<T> = T & { readonly place: { readonly in: 'file'; readonly path: string } };
const isFileOf = (layer: string) => (row: Timing | Switch) => row.layer === layer && row.place.in === 'file';
const ENVOY = TIMINGS.filter(isFileOf('envoy')) as readonly InFile<Timing>[];
const ENVOY_OPEN = SWITCHES.filter(isFileOf('envoy')) as readonly InFile<Switch>[];

export function judgeEnvoy({ value, cutter }: YamlFile, subject: Subject, limits: WholeLimits, report: Report): void {
  for (const row of ENVOY)
    for (const { path, value: written } of select(value, row.place.path)) {
      if (!isOfFilter(row, value, path) || !carries(row)) continue;
      // What a route leaves out, the connection manager says.
      if (written === undefined && row.place.path.includes('.routes[].')) continue;
      const fault = faultOf(row, effectOf(row, written), limits);
      if (fault) report(fault.name, subject, path, fault.detail);
    }
  for (const row of ENVOY_OPEN)
    for (const { path, value: written } of select(value, row.place.path))
      if (isOpen(row, written)) report(row.finding, subject, path, row.trap);
  for (const { path, value: config } of select(value, FILTERS))
    if (isManager(config)) judgeManager(config, subject, path, cutter, report);
}

const FILTERS = 'static_resources.listeners[].filter_chains[].filters[].typed_config';

function isManager(config: unknown): config is Readonly<Record<string, unknown>> {
  return isObject(config) && String(config['@type'] ?? '').endsWith('HttpConnectionManager');
}

/** Rows of TCP are about another filter than those of HTTP. */
function isOfFilter({ of }: Timing, value: unknown, path: Path): boolean {
  const end = path.indexOf('typed_config');
  const type = textAt(value, ...path.slice(0, end + 1), '@type') ?? '';
  const tcp = of.every((one) => one === 'tcp');
  return tcp ? type.endsWith('TcpProxy') : type.endsWith('HttpConnectionManager');
}

/** AL3: an age of each route that upgrades, or the end that ext_authz says; which a client must not say itself. */
function judgeManager(
  config: Readonly<Record<string, unknown>>,
  subject: Subject,
  path: Path,
  cutter: string | undefined,
  report: Report,
): void {
  const whole = fieldsAt(config, 'common_http_protocol_options').max_stream_duration;
  const authz = listAt(config, 'http_filters').some(
    (one) =>
      /ext_authz/.test(textAt(one, 'name') ?? '') || /ExtAuthz$/.test(textAt(one, 'typed_config', '@type') ?? ''),
  );
  const hosts = listAt(config, 'route_config', 'virtual_hosts');
  for (const [i, host] of hosts.entries())
    for (const [j, route] of listAt(host, 'routes').entries()) {
      const at = [...path, 'route_config', 'virtual_hosts', i, 'routes', j];
      if (!isObject(valueAt(route, 'route'))) continue;
      if (offByRoute(route))
        report('auth_missing', subject, at, 'ext_authz is disabled for this route', `${hostsOf(host)}${pathOf(route)}`);
      else if (!authz)
        report(
          'auth_missing',
          subject,
          at,
          'no filter asks an authority (ext_authz)',
          `${hostsOf(host)}${pathOf(route)}`,
        );
      const own = fieldsAt(route, 'route', 'max_stream_duration');
      const header = own.grpc_timeout_header_max !== undefined;
      const removed = [config.route_config, host, route].some((one) => removesTimeout(one)) || removesEarly(config);
      if (header && !removed)
        report(
          'no_age_bound',
          subject,
          [...at, 'route', 'max_stream_duration'],
          "a client's own grpc-timeout is not removed before ext_authz: it lengthens its stream",
        );
      if (!header && own.max_stream_duration === undefined && whole === undefined && !isCutter(cutter))
        report(
          'no_age_bound',
          subject,
          at,
          `neither max_stream_duration nor grpc_timeout_header_max, and no ${CUTTER} is named`,
        );
    }
}

function hostsOf(host: unknown): string {
  return listAt(host, 'domains').map(String)[0] ?? '*';
}

function pathOf(route: unknown): string {
  const match = fieldsAt(route, 'match');
  return textAt(match, 'prefix') ?? textAt(match, 'path') ?? textAt(match, 'path_separated_prefix') ?? '/';
}

function offByRoute(route: unknown): boolean {
  return Object.values(fieldsAt(route, 'typed_per_filter_config')).some(
    (one) => fieldsAt(one).disabled === true && /ExtAuthz/.test(textAt(one, '@type') ?? ''),
  );
}

const TIMEOUT = 'grpc-timeout';
function removesTimeout(value: unknown): boolean {
  return listAt(value, 'request_headers_to_remove').some((one) => String(one).toLowerCase() === TIMEOUT);
}

/** Before any filter: an early mutation of headers, or one that stands in front of ext_authz. */
function removesEarly(config: unknown): boolean {
  const early = JSON.stringify([valueAt(config, 'early_header_mutation_extensions'), listAt(config, 'http_filters')]);
  return new RegExp(`"remove":"${TIMEOUT}"`).test(early);
}
