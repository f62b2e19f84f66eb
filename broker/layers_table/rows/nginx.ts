// nginx itself, and the ingress controller of F5 that is made with it.

import type { Switch, Timing } from '../setting.ts';

const directive = (name: string) => ({ in: 'directive', file: 'nginx.conf', name }) as const;
const NGINX = {
  layer: 'nginx',
  unit: 'nginx_time',
  absent: 'default',
  zero: 'at_once',
  bounds: 'idle',
  versions: '1.22 and later',
  shown: 'ran',
} as const;
const TIMINGS_OF_NGINX: readonly Timing[] = [
  {
    ...NGINX,
    place: directive('proxy_read_timeout'),
    default: '60s',
    of: ['plain', 'stream'],
    trap: 'between two reads from the application: pings of either side count; no variables, so no limit of a person',
  },
  {
    ...NGINX,
    place: directive('proxy_send_timeout'),
    default: '60s',
    of: ['plain', 'stream'],
    shown: 'not run here',
    trap: 'between two writes to the application, while something waits to be written',
  },
  {
    ...NGINX,
    place: directive('proxy_timeout'),
    default: '10m',
    of: ['tcp'],
    trap: 'of the stream module: between two reads or writes in either direction',
  },
  {
    ...NGINX,
    place: directive('keepalive_timeout'),
    default: '75s',
    zero: 'off',
    of: ['connection'],
    shown: 'not run here',
    trap: 'between two requests: never ends one that is under way',
  },
  {
    ...NGINX,
    place: directive('keepalive_time'),
    default: '1h',
    bounds: 'age',
    of: ['connection'],
    shown: 'not run here',
    trap: 'no further request after that; a WebSocket goes on',
  },
  {
    ...NGINX,
    place: directive('proxy_cache_valid'),
    default: null,
    zero: 'off',
    absent: 'off',
    bounds: 'verdict_cache',
    of: ['plain'],
    trap: 'in the location of auth_request a verdict is kept; Cache-Control: no-store of the answer comes before it',
  },
  {
    ...NGINX,
    place: directive('worker_shutdown_timeout'),
    default: null,
    zero: 'no_limit',
    absent: 'no_limit',
    bounds: 'age',
    of: ['plain', 'stream', 'tcp'],
    shown: 'not run here',
    trap: "from a reload on, and it cuts everybody's connections, not one session's",
  },
];
const SWITCHES_OF_NGINX: readonly Switch[] = [
  {
    layer: 'nginx',
    place: directive('auth_request'),
    opens: { is: 'absent' },
    finding: 'auth_missing',
    versions: '1.5.4 and later',
    shown: 'ran',
    trap: 'asks once, at the start of a request: takes 2xx, 401 and 403, and makes 500 of a 302',
  },
  {
    layer: 'nginx',
    place: directive('satisfy'),
    opens: { is: 'equal', values: ['any'] },
    finding: 'auth_bypass',
    versions: 'all',
    shown: 'not run here',
    trap: 'one of address and login is enough',
  },
];

const onF5 = (name: string) => ({ in: 'annotation', kinds: ['Ingress'], name: `nginx.org/${name}` }) as const;
const f5 = (kind: string, path: string) => ({ in: 'field', group: 'k8s.nginx.org', kinds: [kind], path }) as const;
const F5 = {
  layer: 'nginx-ingress',
  unit: 'nginx_time',
  default: '60s',
  zero: 'at_once',
  absent: 'default',
  bounds: 'idle',
  versions: '3 and later',
  shown: 'not run here',
} as const;
const TIMINGS_OF_F5: readonly Timing[] = [
  ...['proxy-read-timeout', 'proxy-send-timeout'].map(
    (name): Timing => ({
      ...F5,
      place: onF5(name),
      of: ['plain', 'stream'],
      trap: 'a unit is allowed here, and nothing of nginx.ingress.kubernetes.io is read',
    }),
  ),
  ...['proxy-read-timeout', 'proxy-send-timeout'].map(
    (name): Timing => ({ ...F5, place: { in: 'config_map', name }, of: ['plain', 'stream'] }),
  ),
  ...['spec.upstreams[].read-timeout', 'spec.upstreams[].send-timeout'].map(
    (path): Timing => ({ ...F5, place: f5('VirtualServer', path), of: ['plain', 'stream'] }),
  ),
  ...['spec.upstreams[].read-timeout', 'spec.upstreams[].send-timeout'].map(
    (path): Timing => ({ ...F5, place: f5('VirtualServerRoute', path), of: ['plain', 'stream'] }),
  ),
  {
    ...F5,
    place: f5('TransportServer', 'spec.sessionParameters.timeout'),
    default: '10m',
    of: ['tcp'],
    trap: 'between two reads or writes, whatever goes through: no age',
  },
];
const SWITCHES_OF_F5: readonly Switch[] = [
  {
    layer: 'nginx-ingress',
    place: f5('Policy', 'spec.externalAuth'),
    opens: { is: 'absent' },
    finding: 'auth_missing',
    versions: '5.4 and later',
    shown: 'not run here',
    trap: 'a Policy protects only the VirtualServers and routes that name it',
  },
];

export const NGINX_TIMINGS = [...TIMINGS_OF_NGINX, ...TIMINGS_OF_F5];
export const NGINX_SWITCHES = [...SWITCHES_OF_NGINX, ...SWITCHES_OF_F5];
