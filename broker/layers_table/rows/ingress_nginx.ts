// ingress-nginx: annotations of an Ingress, and keys of the controller's ConfigMap.

import type { Switch, Timing } from '../setting.ts';

const INGRESS_NGINX = 'nginx.ingress.kubernetes.io';
const UP_TO = 'all; retired in March 2026, and read by the provider kubernetesIngressNGINX of Traefik 3.6 and later';
const NO_UNIT =
  'whole seconds without a unit: "60s" is not taken, and the default holds, which nothing but the log of the controller says';

const onIngress = (name: string) =>
  ({ in: 'annotation', kinds: ['Ingress'], name: `${INGRESS_NGINX}/${name}` }) as const;
const ingressNginx = { layer: 'ingress-nginx', unit: 'bare_seconds', versions: UP_TO, shown: 'not run here' } as const;

export const INGRESS_NGINX_TIMINGS: readonly Timing[] = [
  {
    ...ingressNginx,
    place: onIngress('proxy-read-timeout'),
    default: '60',
    zero: 'at_once',
    absent: 'default',
    bounds: 'idle',
    of: ['plain', 'stream'],
    trap: `${NO_UNIT}. 0 is over at once to nginx, and no limit to Traefik. Run by way of Traefik's provider: the controller itself was not`,
    shown: 'ran',
  },
  {
    ...ingressNginx,
    place: onIngress('proxy-send-timeout'),
    default: '60',
    zero: 'at_once',
    absent: 'default',
    bounds: 'idle',
    of: ['plain', 'stream'],
    trap: NO_UNIT,
  },
  {
    ...ingressNginx,
    place: { in: 'config_map', name: 'proxy-read-timeout' },
    default: '60',
    zero: 'at_once',
    absent: 'default',
    bounds: 'idle',
    of: ['plain', 'stream'],
    trap: 'holds for every Ingress that says nothing itself',
  },
  {
    ...ingressNginx,
    place: { in: 'config_map', name: 'proxy-send-timeout' },
    default: '60',
    zero: 'at_once',
    absent: 'default',
    bounds: 'idle',
    of: ['plain', 'stream'],
    trap: 'holds for every Ingress that says nothing itself',
  },
  {
    ...ingressNginx,
    place: { in: 'config_map', name: 'proxy-stream-timeout' },
    unit: 'nginx_time',
    default: '600s',
    zero: 'at_once',
    absent: 'default',
    bounds: 'idle',
    of: ['tcp'],
    trap: 'for services of the TCP ConfigMap; one value for all of them, and here a unit is allowed',
  },
  {
    ...ingressNginx,
    place: onIngress('auth-cache-duration'),
    unit: 'nginx_time',
    default: '5m',
    zero: 'off',
    absent: 'off',
    bounds: 'verdict_cache',
    of: ['plain'],
    shown: 'not run here',
    trap: 'statuses, then a time (`200 5m`), lists with commas between; nothing is kept unless auth-cache-key is set, and then for 5 min unless the answer says Cache-Control: no-store',
  },
  {
    ...ingressNginx,
    place: onIngress('session-cookie-max-age'),
    default: null,
    zero: 'browser_session',
    absent: 'browser_session',
    bounds: 'cookie',
    of: ['plain'],
    trap: 'of the affinity cookie: it says which pod, not who; it should not outlive a login',
  },
  {
    ...ingressNginx,
    place: onIngress('session-cookie-expires'),
    default: null,
    zero: 'browser_session',
    absent: 'browser_session',
    bounds: 'cookie',
    of: ['plain'],
    trap: 'as session-cookie-max-age, for old browsers',
  },
];

const open = { layer: 'ingress-nginx', versions: UP_TO, shown: 'not run here' } as const;
export const INGRESS_NGINX_SWITCHES: readonly Switch[] = [
  {
    ...open,
    place: onIngress('auth-url'),
    opens: { is: 'absent' },
    finding: 'auth_missing',
    shown: 'not run here',
    trap: 'per Ingress object: another one for the same host and path has none. Only 2xx, 401 and 403 are taken from it, a 302 becomes 500',
  },
  {
    ...open,
    place: onIngress('auth-signin'),
    opens: { is: 'absent' },
    finding: 'auth_elsewhere',
    trap: 'without it a navigation gets the bare 401; with it nothing is protected unless auth-url is there too',
  },
  {
    ...open,
    place: onIngress('satisfy'),
    opens: { is: 'equal', values: ['any'] },
    finding: 'auth_bypass',
    trap: 'one of address and login is enough',
  },
  {
    ...open,
    place: onIngress('enable-global-auth'),
    opens: { is: 'equal', values: ['false'] },
    finding: 'auth_bypass',
    trap: 'takes this Ingress out of global-auth-url',
  },
  ...(['configuration-snippet', 'server-snippet', 'auth-snippet', 'stream-snippet'] as const).map((name) => ({
    ...open,
    ...({ place: onIngress(name), opens: { is: 'present' }, finding: 'auth_bypass' } as const),
    trap: 'any directive of nginx, also those that switch authentication and timeouts off: nobody can judge it from outside',
  })),
  {
    ...open,
    place: onIngress('ssl-passthrough'),
    opens: { is: 'equal', values: ['true'] },
    finding: 'auth_bypass',
    trap: 'the controller sees no request any more: all other annotations of the host are without effect',
  },
  {
    ...open,
    place: onIngress('server-alias'),
    opens: { is: 'present' },
    finding: 'auth_bypass',
    trap: 'one more name for the host, which the login does not know of',
  },
  {
    ...open,
    place: onIngress('canary'),
    opens: { is: 'equal', values: ['true'] },
    finding: 'auth_bypass',
    trap: 'some requests go to another backend; it has the annotations of the main Ingress only for what it does not set itself',
  },
  {
    ...open,
    place: { in: 'field', group: 'networking.k8s.io', kinds: ['Ingress'], path: 'spec.ingressClassName' },
    opens: { is: 'equal', values: ['nginx'] },
    finding: 'retired_controller',
    trap: 'ingress-nginx gets no mends since March 2026',
  },
];
