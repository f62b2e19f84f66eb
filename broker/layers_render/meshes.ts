// Istio and Linkerd: what their own objects can hold.

import { nameOf, timingOf } from '../layers_table/table.ts';
import { writeLength } from '../layers_table/units.ts';
import type { RenderInput } from './input.ts';
import { podLabels, printObjects, serviceOf } from './objects.ts';

const HCM = 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager';

/** TCP by a DestinationRule at the client; streams of HTTP by an EnvoyFilter at the server, where every client comes by. */
export function renderIstio(input: RenderInput): string {
  const { name, namespace } = serviceOf('istio', input);
  const { inactivity_timeout, max_age } = input.limits;
  const idle = writeLength('go_duration', inactivity_timeout);
  const age = writeLength('go_duration', max_age);
  const apiVersion = 'networking.istio.io/v1';
  const connectionPool = { tcp: { idleTimeout: idle, maxConnectionDuration: age }, http: { idleTimeout: idle } };
  const rule = {
    ...{ apiVersion, kind: 'DestinationRule', name, namespace },
    spec: { host: `${name}.${namespace}.svc.cluster.local`, trafficPolicy: { connectionPool } },
  };
  const typed_config = {
    '@type': HCM,
    stream_idle_timeout: writeLength('protobuf_duration', inactivity_timeout),
    common_http_protocol_options: { max_stream_duration: writeLength('protobuf_duration', max_age) },
  };
  const filter = 'envoy.filters.network.http_connection_manager';
  const configPatches = [
    {
      applyTo: 'NETWORK_FILTER',
      match: { context: 'SIDECAR_INBOUND', listener: { filterChain: { filter: { name: filter } } } },
      patch: { operation: 'MERGE', value: { typed_config } },
    },
  ];
  const streams = {
    ...{ apiVersion: 'networking.istio.io/v1alpha3', kind: 'EnvoyFilter', name: `${name}-limits`, namespace },
    spec: { workloadSelector: { labels: podLabels(name) }, configPatches },
  };
  return printObjects(
    'istio',
    input,
    [rule, streams],
    [
      "the DestinationRule binds clients with a sidecar, the EnvoyFilter the application's own; on HTTP maxConnectionDuration only drains",
      'whether the EnvoyFilter was taken is seen in the proxy: istioctl proxy-config listener POD -o json',
    ],
  );
}

export function renderLinkerd(input: RenderInput): string {
  const { name, namespace, port } = serviceOf('linkerd', input);
  const { inactivity_timeout, max_age } = input.limits;
  const annotation = (which: string, length: typeof max_age) => {
    const { place, unit } = timingOf('linkerd', `timeout.linkerd.io/${which}`);
    return [nameOf(place), writeLength(unit, length)] as const;
  };
  const annotations = Object.fromEntries([annotation('idle', inactivity_timeout), annotation('request', max_age)]);
  const spec = { selector: podLabels(name), ports: [{ name: 'http', port, targetPort: port }] };
  const object = { apiVersion: 'v1', kind: 'Service', name, namespace, annotations, spec };
  return printObjects(
    'linkerd',
    input,
    [object],
    [
      'the annotations are what matters: selector and ports are those of your Service. A ServiceProfile makes them ignored',
      'l5d-timeout and l5d-response-timeout of a client lengthen: the ingress must remove both',
    ],
  );
}
