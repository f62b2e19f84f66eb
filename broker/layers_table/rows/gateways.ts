// What is made with Envoy and has words of its own: Contour, Envoy Gateway, and the Gateway API.

import type { Switch, Timing } from '../setting.ts';

const field = (group: string, kind: string, path: string) => ({ in: 'field', group, kinds: [kind], path }) as const;

const CONTOUR = 'projectcontour.io';
const contour = {
  layer: 'contour',
  unit: 'contour_duration',
  zero: 'default',
  absent: 'default',
  versions: '1.20 and later',
  shown: 'not run here',
} as const;
const ZERO_IS_DEFAULT = '`0s` is the default of Envoy, and only `infinity` switches it off';
const TIMINGS_OF_CONTOUR: readonly Timing[] = [
  {
    ...contour,
    place: field(CONTOUR, 'HTTPProxy', 'spec.routes[].timeoutPolicy.idle'),
    default: '5m',
    bounds: 'idle',
    of: ['plain', 'stream'],
    trap: ZERO_IS_DEFAULT,
  },
  {
    ...contour,
    place: field(CONTOUR, 'HTTPProxy', 'spec.routes[].timeoutPolicy.response'),
    default: '15s',
    bounds: 'request',
    of: ['plain'],
    trap: `not of a WebSocket; ${ZERO_IS_DEFAULT}`,
  },
  {
    ...contour,
    place: field(CONTOUR, 'HTTPProxy', 'spec.routes[].timeoutPolicy.idleConnection'),
    default: '1h',
    bounds: 'idle',
    of: ['connection'],
    trap: 'of connections to the application without a request',
  },
  {
    ...contour,
    place: field(CONTOUR, 'ContourConfiguration', 'spec.envoy.timeouts.streamIdleTimeout'),
    default: '5m',
    bounds: 'idle',
    of: ['plain', 'stream'],
    trap: `for all routes; ${ZERO_IS_DEFAULT}`,
  },
  {
    ...contour,
    place: field(CONTOUR, 'ContourConfiguration', 'spec.envoy.timeouts.maxConnectionDuration'),
    default: null,
    absent: 'no_limit',
    zero: 'no_limit',
    bounds: 'age',
    of: ['connection'],
    trap: 'only drains: a WebSocket goes on. No setting of Contour bounds the age of a stream',
  },
];
const SWITCHES_OF_CONTOUR: readonly Switch[] = [
  {
    layer: 'contour',
    place: field(CONTOUR, 'HTTPProxy', 'spec.virtualhost.authorization.failOpen'),
    opens: { is: 'equal', values: ['true'] },
    finding: 'auth_fail_open',
    versions: '1.20 and later',
    shown: 'not run here',
    trap: 'whoever makes the authority fail is let through',
  },
  {
    layer: 'contour',
    place: field(CONTOUR, 'HTTPProxy', 'spec.routes[].authPolicy.disabled'),
    opens: { is: 'equal', values: ['true'] },
    finding: 'auth_bypass',
    versions: '1.20 and later',
    shown: 'not run here',
    trap: 'this route asks nobody',
  },
];

const EG = 'gateway.envoyproxy.io';
const eg = {
  layer: 'envoy-gateway',
  unit: 'gateway_duration',
  zero: 'no_limit',
  absent: 'default',
  versions: '1.5 and later',
  shown: 'not run here',
} as const;
const TIMINGS_OF_EG: readonly Timing[] = [
  {
    ...eg,
    place: field(EG, 'ClientTrafficPolicy', 'spec.timeout.http.streamIdleTimeout'),
    default: '5m',
    bounds: 'idle',
    of: ['plain', 'stream'],
    trap: 'pings of a WebSocket count',
  },
  {
    ...eg,
    place: field(EG, 'BackendTrafficPolicy', 'spec.timeout.http.streamIdleTimeout'),
    default: '5m',
    bounds: 'idle',
    of: ['plain', 'stream'],
    trap: 'takes the place of the one of the ClientTrafficPolicy',
  },
  {
    ...eg,
    place: field(EG, 'BackendTrafficPolicy', 'spec.timeout.http.maxStreamDuration'),
    default: null,
    absent: 'no_limit',
    bounds: 'age',
    of: ['plain', 'stream'],
    trap: 'ends a WebSocket and a long answer alike',
  },
  {
    ...eg,
    place: field(EG, 'BackendTrafficPolicy', 'spec.timeout.http.maxConnectionDuration'),
    default: null,
    absent: 'no_limit',
    bounds: 'age',
    of: ['connection'],
    trap: 'only drains: a WebSocket goes on',
  },
  {
    ...eg,
    place: field(EG, 'ClientTrafficPolicy', 'spec.timeout.http.idleTimeout'),
    default: '1h',
    bounds: 'idle',
    of: ['connection'],
    trap: 'of connections without a stream',
  },
  {
    ...eg,
    place: field(EG, 'ClientTrafficPolicy', 'spec.timeout.tcp.idleTimeout'),
    default: '1h',
    bounds: 'idle',
    of: ['tcp'],
  },
];
const SWITCHES_OF_EG: readonly Switch[] = [
  {
    layer: 'envoy-gateway',
    place: field(EG, 'SecurityPolicy', 'spec.extAuth.failOpen'),
    opens: { is: 'equal', values: ['true'] },
    finding: 'auth_fail_open',
    versions: '1.0 and later',
    shown: 'not run here',
    trap: 'whoever makes the authority fail is let through',
  },
];

const GATEWAY = 'gateway.networking.k8s.io';
const gateway = { layer: 'gateway-api', unit: 'gateway_duration', zero: 'no_limit', absent: 'default' } as const;
const TIMINGS_OF_GATEWAY_API: readonly Timing[] = [
  {
    ...gateway,
    place: field(GATEWAY, 'HTTPRoute', 'spec.rules[].timeouts.request'),
    default: null,
    bounds: 'request',
    of: ['plain'],
    versions: '1.0 and later',
    shown: 'not run here',
    trap: 'of a plain request; what it does to a WebSocket is left to the implementation. Absent: as that one likes',
  },
  {
    ...gateway,
    place: field(GATEWAY, 'HTTPRoute', 'spec.rules[].timeouts.backendRequest'),
    default: null,
    bounds: 'request',
    of: ['plain'],
    versions: '1.0 and later',
    shown: 'not run here',
    trap: 'no longer than request, else the API server refuses it',
  },
  {
    ...gateway,
    place: field(GATEWAY, 'HTTPRoute', 'spec.rules[].sessionPersistence.absoluteTimeout'),
    default: null,
    bounds: 'cookie',
    of: ['plain'],
    versions: 'experimental channel',
    shown: 'not run here',
    trap: 'of the affinity, not of a login',
  },
];

export const GATEWAY_TIMINGS = [...TIMINGS_OF_CONTOUR, ...TIMINGS_OF_EG, ...TIMINGS_OF_GATEWAY_API];
export const GATEWAY_SWITCHES = [...SWITCHES_OF_CONTOUR, ...SWITCHES_OF_EG];
