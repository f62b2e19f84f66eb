// Envoy itself.

import type { Switch, Timing } from '../setting.ts';

const HCM = 'static_resources.listeners[].filter_chains[].filters[].typed_config';
const ROUTE = `${HCM}.route_config.virtual_hosts[].routes[].route`;
const inFile = (path: string) => ({ in: 'file', file: 'envoy.yaml', path }) as const;

const envoy = {
  layer: 'envoy',
  unit: 'protobuf_duration',
  absent: 'default',
  zero: 'no_limit',
  versions: '1.30 and later',
  shown: 'ran',
} as const;
export const ENVOY_TIMINGS: readonly Timing[] = [
  {
    ...envoy,
    place: inFile(`${HCM}.stream_idle_timeout`),
    default: '300s',
    bounds: 'idle',
    of: ['plain', 'stream'],
    trap: 'of a stream without a byte in either direction: pings of a WebSocket count; idle_timeout of a route takes its place',
  },
  {
    ...envoy,
    place: inFile(`${ROUTE}.idle_timeout`),
    default: null,
    bounds: 'idle',
    of: ['plain', 'stream'],
    trap: 'takes the place of stream_idle_timeout: `0s` switches it off for the route',
  },
  {
    ...envoy,
    place: inFile(`${HCM}.common_http_protocol_options.max_stream_duration`),
    default: null,
    absent: 'no_limit',
    bounds: 'age',
    of: ['plain', 'stream'],
    trap: 'ends a WebSocket and a long answer alike; max_stream_duration of a route takes its place',
  },
  {
    ...envoy,
    place: inFile(`${ROUTE}.max_stream_duration.max_stream_duration`),
    default: null,
    absent: 'default',
    bounds: 'age',
    of: ['plain', 'stream'],
    trap: 'takes the place of the one of all streams: `0s` switches it off for the route',
  },
  {
    ...envoy,
    place: inFile(`${ROUTE}.max_stream_duration.grpc_timeout_header_max`),
    default: null,
    absent: 'off',
    bounds: 'age',
    of: ['plain', 'stream'],
    trap: "`0s` means: as the header says, without a bound. A client's own grpc-timeout must be removed before ext_authz sets it",
  },
  {
    ...envoy,
    place: inFile(`${ROUTE}.timeout`),
    default: '15s',
    bounds: 'request',
    of: ['plain'],
    shown: 'not run here',
    trap: 'until the whole answer is there; it does not hold for an upgraded connection',
  },
  {
    ...envoy,
    place: inFile(`${HCM}.common_http_protocol_options.max_connection_duration`),
    default: null,
    absent: 'no_limit',
    bounds: 'age',
    of: ['connection'],
    trap: 'only drains: no new request on the connection, and a WebSocket goes on',
  },
  {
    ...envoy,
    place: inFile(`${HCM}.common_http_protocol_options.idle_timeout`),
    default: '3600s',
    bounds: 'idle',
    of: ['connection'],
    shown: 'not run here',
    trap: 'of connections without a stream',
  },
  {
    ...envoy,
    place: inFile(`${HCM}.max_downstream_connection_duration`),
    default: null,
    absent: 'no_limit',
    bounds: 'age',
    of: ['tcp'],
    trap: 'of tcp_proxy, where it does cut',
  },
  {
    ...envoy,
    place: inFile(`${HCM}.idle_timeout`),
    default: '3600s',
    bounds: 'idle',
    of: ['tcp'],
    shown: 'not run here',
    trap: 'of tcp_proxy',
  },
  {
    ...envoy,
    place: { in: 'header', name: 'grpc-timeout' },
    unit: 'grpc_timeout',
    default: null,
    absent: 'no_limit',
    bounds: 'age',
    of: ['plain', 'stream'],
    trap: "set by ext_authz to the time until the session's end; a client that sends it itself lengthens its stream unless the route removes it first",
  },
];
export const ENVOY_SWITCHES: readonly Switch[] = [
  {
    layer: 'envoy',
    place: inFile(`${HCM}.http_filters[].typed_config.failure_mode_allow`),
    opens: { is: 'equal', values: ['true'] },
    finding: 'auth_fail_open',
    versions: 'all',
    shown: 'not run here',
    trap: 'whoever makes the authority fail is let through',
  },
];
