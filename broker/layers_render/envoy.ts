// Envoy's static configuration for one application: idle and age of every stream.

import { writeLength } from '../layers_table/units.ts';
import { headOf } from './head.ts';
import { addressOf, type RenderInput } from './input.ts';
import { toYaml } from './objects.ts';

const HCM = 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager';
const ROUTER = 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router';
const CLUSTER = 'curfew';

export function renderEnvoy(input: RenderInput): string {
  const more = [
    'max_stream_duration counts from the start of the stream: a stream of a login that is nearly over outlives it by up to max_age',
    "the exact end is grpc-timeout from ext_authz, with max_stream_duration.grpc_timeout_header_max: 0s and a client's own grpc-timeout removed before",
  ];
  const body = { static_resources: { listeners: [listener(input)], clusters: [clusterOf(input)] } };
  return headOf('envoy', input, more) + toYaml(body);
}

function listener({ limits, host }: RenderInput) {
  const idle = writeLength('protobuf_duration', limits.inactivity_timeout);
  const age = writeLength('protobuf_duration', limits.max_age);
  const routes = [
    {
      match: { prefix: '/' },
      route: { cluster: CLUSTER, timeout: age, max_stream_duration: { max_stream_duration: age } },
    },
  ];
  const virtual_hosts = [{ name: CLUSTER, domains: [host, `${host}:*`], routes }];
  return {
    name: 'curfew',
    address: address('0.0.0.0', 8080),
    filter_chains: [
      {
        filters: [
          {
            name: 'envoy.filters.network.http_connection_manager',
            typed_config: {
              '@type': HCM,
              stat_prefix: 'curfew',
              stream_idle_timeout: idle,
              common_http_protocol_options: { idle_timeout: idle, max_stream_duration: age },
              upgrade_configs: [{ upgrade_type: 'websocket' }],
              route_config: { name: CLUSTER, virtual_hosts },
              http_filters: [{ name: 'envoy.filters.http.router', typed_config: { '@type': ROUTER } }],
            },
          },
        ],
      },
    ],
  };
}

function clusterOf({ target }: RenderInput) {
  const { host, port } = addressOf(target);
  const endpoint = { address: address(host.replace(/^\[|\]$/g, ''), port) };
  return {
    name: CLUSTER,
    type: /^[0-9.]+$|:/.test(host) ? 'STATIC' : 'STRICT_DNS',
    connect_timeout: '5s',
    load_assignment: { cluster_name: CLUSTER, endpoints: [{ lb_endpoints: [{ endpoint }] }] },
  };
}

function address(host: string, port: number) {
  return { socket_address: { address: host, port_value: port } };
}
