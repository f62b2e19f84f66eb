// AL3: whoever leads to an application and cannot end what is in use by its age needs something that can, and that is named. A name that is
// nobody's, or that of a NetworkPolicy, is no cut.

import { CUTTERS, type Layer } from '../layers_table/layer.ts';
import type { KubeObject } from '../manifests/objects.ts';
import { CUTTER, cuttersOf, cutterWritten, isCutter, layerOfIngress } from './controllers.ts';
import type { Estate } from './estate.ts';
import { type Report, subjectOf } from './finding.ts';
import { policiesFor } from './routes_gateway_api.ts';
import { hasAge, measure } from './timings.ts';

/** Kinds that lead from outside to an application, with the layer that they are of. */
const LEADS: Readonly<Record<string, Layer>> = {
  ...{ Ingress: 'ingress-nginx', IngressRoute: 'traefik', IngressRouteTCP: 'traefik' },
  ...{ VirtualServer: 'nginx-ingress', TransportServer: 'nginx-ingress', HTTPProxy: 'contour' },
  ...{ HTTPRoute: 'gateway-api', GRPCRoute: 'gateway-api', VirtualService: 'istio' },
};

/** @param leading objects of which a route leads to an application: no redirect, no challenge of a certificate */
export function judgeAges(
  objects: Iterable<KubeObject>,
  leading: ReadonlySet<KubeObject>,
  estate: Estate,
  report: Report,
): void {
  const filtered = estate.all('EnvoyFilter').some((one) => hasAge(measure(one)));
  for (const object of objects) {
    const cutter = cutterWritten(object);
    const at = ['metadata', 'annotations', CUTTER];
    if (cutter !== undefined && /^(?:cilium)?-?network-?polic(?:y|ies)$/i.test(cutter)) {
      report(
        'netpol_not_a_cut',
        subjectOf(object),
        at,
        'whether a tightened policy cuts what is open depends on the CNI',
      );
      continue;
    }
    const layer = object.kind === 'Ingress' ? (layerOfIngress(object) ?? 'ingress-nginx') : LEADS[object.kind];
    if (layer === undefined || !leading.has(object) || isCutter(cutter)) continue;
    if (cutter !== undefined) {
      report(
        'no_age_bound',
        subjectOf(object),
        at,
        `${CUTTER} names nothing that cuts: ${Object.keys(CUTTERS).join(', ')}`,
      );
      continue;
    }
    if (hasAge(measure(object)) || (object.kind === 'VirtualService' && filtered)) continue;
    if (
      layer === 'gateway-api' &&
      policiesFor('BackendTrafficPolicy', object, estate).some((one) => hasAge(measure(one)))
    )
      continue;
    report('no_age_bound', subjectOf(object), ['spec'], `what would cut: ${cuttersOf(layer)}`);
  }
}
