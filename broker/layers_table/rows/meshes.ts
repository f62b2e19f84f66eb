// Meshes: Istio and Linkerd.

import type { Switch, Timing } from '../setting.ts';

const NETWORKING = 'networking.istio.io';
const istioField = (kind: string, path: string) => ({ in: 'field', group: NETWORKING, kinds: [kind], path }) as const;
const istio = {
  layer: 'istio',
  unit: 'go_duration',
  zero: 'refused',
  absent: 'default',
  versions: '1.20 and later',
  shown: 'not run here',
} as const;
const CLIENT_SIDE = "binds the client's sidecar alone: who comes without one, or past the mesh, meets nothing";

const TIMINGS_OF_ISTIO: readonly Timing[] = [
  {
    ...istio,
    place: istioField('DestinationRule', 'spec.trafficPolicy.connectionPool.tcp.idleTimeout'),
    default: '1h',
    zero: 'no_limit',
    bounds: 'idle',
    of: ['tcp'],
    trap: `${CLIENT_SIDE}; the API server stores any text here, as no rule of the schema judges it`,
  },
  {
    ...istio,
    place: istioField('DestinationRule', 'spec.trafficPolicy.connectionPool.tcp.maxConnectionDuration'),
    default: null,
    absent: 'no_limit',
    bounds: 'age',
    of: ['tcp'],
    trap: `cuts TCP; on HTTP it only drains, and a WebSocket goes on. It ${CLIENT_SIDE}`,
  },
  {
    ...istio,
    place: istioField('DestinationRule', 'spec.trafficPolicy.connectionPool.http.idleTimeout'),
    default: '1h',
    bounds: 'idle',
    of: ['connection'],
    trap: `of connections without a request; ${CLIENT_SIDE}`,
  },
  {
    ...istio,
    place: istioField('VirtualService', 'spec.http[].timeout'),
    default: null,
    absent: 'no_limit',
    zero: 'no_limit',
    bounds: 'request',
    of: ['plain'],
    trap: 'of a plain request; not of a WebSocket',
  },
  {
    ...istio,
    unit: 'protobuf_duration',
    place: istioField(
      'EnvoyFilter',
      'spec.configPatches[].patch.value.typed_config.common_http_protocol_options.max_stream_duration',
    ),
    default: null,
    absent: 'no_limit',
    zero: 'no_limit',
    bounds: 'age',
    of: ['plain', 'stream'],
    trap: "the only age of a WebSocket in Istio, in Envoy's own words: whether it was taken the proxy's configuration says",
  },
  {
    ...istio,
    unit: 'protobuf_duration',
    place: istioField('EnvoyFilter', 'spec.configPatches[].patch.value.typed_config.stream_idle_timeout'),
    default: '300s',
    zero: 'no_limit',
    bounds: 'idle',
    of: ['plain', 'stream'],
    trap: 'a route with idle_timeout of its own takes its place',
  },
];

const SWITCHES_OF_ISTIO: readonly Switch[] = [
  {
    layer: 'istio',
    opens: { is: 'absent' },
    finding: 'auth_bypass',
    versions: '1.20 and later',
    shown: 'not run here',
    place: {
      in: 'field',
      group: 'security.istio.io',
      kinds: ['AuthorizationPolicy'],
      path: 'spec.rules[].from[].source.requestPrincipals',
    },
    trap: 'RequestAuthentication without an AuthorizationPolicy that wants a principal lets requests without a token pass; there is no `now` in one either',
  },
];

const linkerdOn = (name: string) =>
  ({ in: 'annotation', kinds: ['Service', 'HTTPRoute', 'GRPCRoute'], name: `timeout.linkerd.io/${name}` }) as const;
const linkerd = {
  layer: 'linkerd',
  unit: 'linkerd_duration',
  default: null,
  zero: 'no_limit',
  absent: 'no_limit',
  versions: '2.16 and later',
  shown: 'not run here',
} as const;
const ON_A_ROUTE =
  'on a route it takes the place of all timeouts of the Service; a ServiceProfile makes all of them ignored';

const TIMINGS_OF_LINKERD: readonly Timing[] = [
  { ...linkerd, place: linkerdOn('idle'), bounds: 'idle', of: ['plain', 'stream'], trap: ON_A_ROUTE },
  { ...linkerd, place: linkerdOn('request'), bounds: 'age', of: ['plain', 'stream'], trap: ON_A_ROUTE },
  { ...linkerd, place: linkerdOn('response'), bounds: 'request', of: ['plain'], trap: ON_A_ROUTE },
];

const SWITCHES_OF_LINKERD: readonly Switch[] = [
  {
    layer: 'linkerd',
    opens: { is: 'present' },
    finding: 'setting_ignored',
    versions: '2.16 and later',
    shown: 'not run here',
    place: { in: 'field', group: 'linkerd.io', kinds: ['ServiceProfile'], path: 'spec' },
    trap: 'a ServiceProfile of the same name as the Service makes the annotations ignored',
  },
  ...['l5d-timeout', 'l5d-response-timeout'].map(
    (name): Switch => ({
      layer: 'linkerd',
      place: { in: 'header', name },
      opens: { is: 'present' },
      finding: 'setting_ignored',
      versions: '2.16 and later',
      shown: 'not run here',
      trap: 'a client that sends it itself lengthens its own time: the ingress must remove it',
    }),
  ),
];

export const MESH_TIMINGS = [...TIMINGS_OF_ISTIO, ...TIMINGS_OF_LINKERD];
export const MESH_SWITCHES = [...SWITCHES_OF_ISTIO, ...SWITCHES_OF_LINKERD];
