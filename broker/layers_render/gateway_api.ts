// An HTTPRoute of the Gateway API: the age of plain requests, as far as it goes.

import { writeLength } from '../layers_table/units.ts';
import type { RenderInput } from './input.ts';
import { printObjects, serviceOf } from './objects.ts';

export function renderGatewayApi(input: RenderInput): string {
  const { name, namespace, port } = serviceOf('gateway-api', input);
  const request = writeLength('gateway_duration', input.limits.max_age);
  const rule = {
    matches: [{ path: { type: 'PathPrefix', value: '/' } }],
    backendRefs: [{ name, port }],
    timeouts: { request },
  };
  const parentRefs = [{ name: 'gateway', namespace: input.ingress }];
  const more = [
    'idle and the age of streams are for the policies of the implementation: streamIdleTimeout and maxStreamDuration of Envoy Gateway, timeoutPolicy of Contour',
  ];
  const apiVersion = 'gateway.networking.k8s.io/v1';
  const spec = { parentRefs, hostnames: [input.host], rules: [rule] };
  return printObjects('gateway-api', input, [{ apiVersion, kind: 'HTTPRoute', name, namespace, spec }], more);
}
