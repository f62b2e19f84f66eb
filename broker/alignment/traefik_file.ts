// Configuration of Traefik in files: rows of the table by path, and each router with the authority and the transport that it names.

import type { WholeLimits } from '../../shared/limits.ts';
import { isObject } from '../../shared/wire.ts';
import type { Switch, Timing } from '../layers_table/setting.ts';
import { SWITCHES, TIMINGS } from '../layers_table/table.ts';
import type { RawFile } from '../manifests/raw.ts';
import { fieldsAt, listAt, textAt } from '../manifests/values.ts';
import { CUTTER, holdsIdle, isCutter } from './controllers.ts';
import { hostOfUrl } from './estate.ts';
import type { Report, Subject } from './finding.ts';
import { effectOf, faultOf } from './lengths.ts';
import { select } from './select.ts';
import { isOpen } from './switches.ts';
import { carries } from './timings.ts';

type YamlFile = Extract<RawFile, { readonly value: unknown }>;
type InFile<T> = T & { readonly place: { readonly in: 'file'; readonly path: string } };
const isFileOf = (layer: string) => (row: Timing | Switch) => row.layer === layer && row.place.in === 'file';
const TRAEFIK = TIMINGS.filter(isFileOf('traefik')) as readonly InFile<Timing>[];
const TRAEFIK_OPEN = SWITCHES.filter(isFileOf('traefik')) as readonly InFile<Switch>[];

export function judgeTraefik({ value, cutter }: YamlFile, subject: Subject, limits: WholeLimits, report: Report): void {
  for (const row of TRAEFIK)
    for (const { path, value: written } of select(value, row.place.path)) {
      if (!carries(row)) continue;
      // Between two writes to the application: it is readTimeout that ends what is idle.
      if (written === undefined && path.at(-1) === 'writeTimeout') continue;
      const fault = faultOf(row, effectOf(row, written), limits);
      if (fault) report(fault.name, subject, path, fault.detail);
    }
  for (const row of TRAEFIK_OPEN)
    for (const { path, value: written } of select(value, row.place.path))
      if (isOpen(row, written)) report(row.finding, subject, path, row.trap);
  for (const { path, value: entry } of select(value, 'entryPoints.*'))
    if (fieldsAt(entry, 'forwardedHeaders').insecure === true)
      report(
        'identity_spoof',
        subject,
        [...path, 'forwardedHeaders', 'insecure'],
        'X-Forwarded-* of everybody are believed',
      );
  judgeRouters(value, subject, cutter, report);
}

function judgeRouters(value: unknown, subject: Subject, cutter: string | undefined, report: Report): void {
  const middlewares = fieldsAt(value, 'http', 'middlewares');
  const asks = (name: string, depth = 0): boolean => {
    const one = fieldsAt(middlewares, name.replace(/@file$/, ''));
    if (isObject(one.forwardAuth)) return true;
    return depth < 8 && listAt(one, 'chain', 'middlewares').some((next) => asks(String(next), depth + 1));
  };
  const services = fieldsAt(value, 'http', 'services');
  // Whoever is asked must be reached without being asked for.
  const authorities = new Set(
    Object.values(middlewares).flatMap((one) => hostOfUrl(textAt(one, 'forwardAuth', 'address') ?? '') ?? []),
  );
  const isAuthority = (balancer: unknown) =>
    listAt(balancer, 'servers').some((one) => authorities.has(hostOfUrl(textAt(one, 'url') ?? '') ?? ''));
  for (const [name, router] of Object.entries(fieldsAt(value, 'http', 'routers'))) {
    const path = ['http', 'routers', name];
    const rule = textAt(router, 'rule') ?? '';
    const names = listAt(router, 'middlewares').map(String);
    const service = textAt(router, 'service') ?? '';
    // Those of the program itself are open to nobody by default.
    if (service.endsWith('@internal')) continue;
    const away = names.some((one) => one.includes('@') && !one.endsWith('@file'));
    const balancer = fieldsAt(services, service.replace(/@file$/, ''), 'loadBalancer');
    if (!names.some((one) => asks(one)) && !away && !isLoginPath(rule) && !isAuthority(balancer))
      report('auth_missing', subject, path, 'no middleware asks an authority (forwardAuth)', rule.replaceAll('`', ''));
    if (Object.keys(balancer).length > 0 && textAt(balancer, 'serversTransport') === undefined && !holdsIdle(cutter))
      report(
        'idle_unbounded',
        subject,
        path,
        'its service names no serversTransport: readTimeout has no limit by default',
      );
    if (!isCutter(cutter))
      report('no_age_bound', subject, path, `nothing of Traefik ends a WebSocket in use, and no ${CUTTER} is named`);
  }
}

const isLoginPath = (rule: string) => /Path(?:Prefix)?\(`\/(?:oauth2|\.curfew)/.test(rule);
