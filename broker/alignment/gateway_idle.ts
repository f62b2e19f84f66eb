// A route of Envoy Gateway to which no policy gives an idle timeout has that of Envoy.

import type { WholeLimits } from '../../shared/limits.ts';
import { TIMINGS } from '../layers_table/table.ts';
import type { KubeObject } from '../manifests/objects.ts';
import { textAt } from '../manifests/values.ts';
import type { Estate } from './estate.ts';
import { type Report, subjectOf } from './finding.ts';
import { effectOf, faultOf } from './lengths.ts';
import { attachedTo, gatewaysOf, policiesFor } from './routes_gateway_api.ts';
import { measure } from './timings.ts';

/** How its classes are usually named: the object itself does not say whose it is. */
const CLASS = /^(?:eg|envoy|envoy-gateway)$/;

export function judgeGatewayIdle(object: KubeObject, limits: WholeLimits, estate: Estate, report: Report): void {
  if (object.kind !== 'HTTPRoute' && object.kind !== 'GRPCRoute') return;
  const gateways = gatewaysOf(object, estate);
  if (!gateways.some(({ value }) => CLASS.test(textAt(value, 'spec', 'gatewayClassName') ?? ''))) return;
  const policies = [
    ...policiesFor('BackendTrafficPolicy', object, estate),
    ...gateways.flatMap((one) => attachedTo('ClientTrafficPolicy', one, estate)),
  ];
  const isSet = policies.some((one) =>
    measure(one).some(({ row, present }) => present && row.bounds === 'idle' && row.of.includes('stream')),
  );
  const row = TIMINGS.find(
    (one) => one.layer === 'envoy-gateway' && one.bounds === 'idle' && one.of.includes('stream'),
  );
  if (isSet || !row) return;
  const fault = faultOf(row, effectOf(row, undefined), limits);
  if (fault) report(fault.name, subjectOf(object), ['spec'], fault.detail);
}
