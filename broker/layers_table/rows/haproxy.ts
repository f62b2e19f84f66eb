// HAProxy, and the two ingress controllers that are made with it.

import type { Switch, Timing } from '../setting.ts';

const directive = (name: string) => ({ in: 'directive', file: 'haproxy.cfg', name }) as const;
const NO_UNIT = 'a number without a unit is milliseconds';
const haproxy = {
  layer: 'haproxy',
  unit: 'haproxy_time',
  default: null,
  zero: 'no_limit',
  absent: 'no_limit',
  bounds: 'idle',
  versions: '2.6 and later',
  shown: 'ran',
} as const;

const TIMINGS_OF_HAPROXY: readonly Timing[] = [
  {
    ...haproxy,
    place: directive('timeout tunnel'),
    of: ['stream', 'tcp'],
    trap: `takes the place of client and server after an upgrade; without it those two hold. ${NO_UNIT}`,
  },
  { ...haproxy, place: directive('timeout client'), of: ['plain', 'stream', 'tcp'], trap: NO_UNIT },
  { ...haproxy, place: directive('timeout server'), of: ['plain', 'stream', 'tcp'], trap: NO_UNIT },
  {
    ...haproxy,
    place: directive('timeout http-request'),
    bounds: 'request',
    of: ['plain'],
    shown: 'not run here',
    trap: `until the head of a request is there. ${NO_UNIT}`,
  },
  {
    ...haproxy,
    place: directive('timeout http-keep-alive'),
    of: ['connection'],
    shown: 'not run here',
    trap: `between two requests. ${NO_UNIT}`,
  },
];

const JCMOELLER = 'haproxy-ingress.github.io';
const HAPROXYTECH = 'haproxy.org';
const IDLE = [
  ['timeout-tunnel', '1h', ['stream', 'tcp']],
  ['timeout-client', '50s', ['plain', 'stream', 'tcp']],
  ['timeout-server', '50s', ['plain', 'stream', 'tcp']],
] as const;

/** Of one of the controllers: the three idle timeouts as annotations, and as keys of its ConfigMap. */
function ofController(layer: 'haproxy-ingress' | 'haproxytech-ingress', prefix: string, versions: string): Timing[] {
  const common = {
    layer,
    unit: 'haproxy_time',
    zero: 'no_limit',
    absent: 'default',
    bounds: 'idle',
    versions,
    shown: 'not run here',
  } as const;
  return IDLE.flatMap(([name, value, of]): Timing[] => [
    {
      ...common,
      place: { in: 'annotation', kinds: ['Ingress', 'Service'], name: `${prefix}/${name}` },
      default: value,
      of,
      trap: `as HAProxy reads it: ${NO_UNIT}`,
    },
    { ...common, place: { in: 'config_map', name }, default: value, of, trap: `for all; ${NO_UNIT}` },
  ]);
}

export const HAPROXY_TIMINGS: readonly Timing[] = [
  ...TIMINGS_OF_HAPROXY,
  ...ofController('haproxy-ingress', JCMOELLER, '0.12 and later'),
  ...ofController('haproxytech-ingress', HAPROXYTECH, '1.7 and later'),
];

export const HAPROXY_SWITCHES: readonly Switch[] = [
  {
    layer: 'haproxy-ingress',
    opens: { is: 'absent' },
    finding: 'auth_missing',
    place: { in: 'annotation', kinds: ['Ingress', 'Service'], name: `${JCMOELLER}/auth-url` },
    versions: '0.13 and later',
    shown: 'not run here',
    trap: 'per Ingress object and path, as with ingress-nginx',
  },
  {
    layer: 'haproxy-ingress',
    opens: { is: 'present' },
    finding: 'auth_bypass',
    place: { in: 'annotation', kinds: ['Ingress', 'Service'], name: `${JCMOELLER}/config-backend` },
    versions: '0.10 and later',
    shown: 'not run here',
    trap: 'any directive of HAProxy: nobody can judge it from outside',
  },
  {
    layer: 'haproxytech-ingress',
    opens: { is: 'present' },
    finding: 'auth_bypass',
    place: { in: 'annotation', kinds: ['Ingress', 'Service'], name: `${HAPROXYTECH}/backend-config-snippet` },
    versions: '1.5 and later',
    shown: 'not run here',
    trap: 'any directive of HAProxy: nobody can judge it from outside',
  },
];
