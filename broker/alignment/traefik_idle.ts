// Traefik ends nothing that is idle unless a transport does, which only its files can say (`name@file`): the custom resource does not have
// the field, and by default there is none.

import type { KubeObject } from '../manifests/objects.ts';
import { listAt, type Path, textAt } from '../manifests/values.ts';
import { cutterWritten, holdsIdle, layerOfIngress } from './controllers.ts';
import type { Estate } from './estate.ts';
import { type Report, subjectOf } from './finding.ts';

const ON_SERVICE = 'traefik.ingress.kubernetes.io/service.serverstransport';
const SAYS = 'no serversTransport of a file (name@file): readTimeout has no limit by default';

export function judgeTraefikIdle(object: KubeObject, estate: Estate, report: Report): void {
  if (holdsIdle(cutterWritten(object))) return;
  for (const { path, transport } of transportsOf(object, estate))
    if (!transport?.endsWith('@file')) report('idle_unbounded', subjectOf(object), path, SAYS);
    else if (!isBounded(transport, estate))
      report('idle_unbounded', subjectOf(object), path, `${transport} is not among the files that were audited`);
}

/** Each way of an object to a Service, with the transport that it names. */
function transportsOf(
  object: KubeObject,
  estate: Estate,
): readonly { readonly path: Path; readonly transport?: string | undefined }[] {
  if (object.kind === 'IngressRoute')
    return listAt(object.value, 'spec', 'routes').flatMap((route, i) =>
      listAt(route, 'services').flatMap((service, j) => {
        const kind = textAt(service, 'kind') ?? 'Service';
        // What Traefik answers itself is no application.
        if (kind !== 'Service') return [];
        return [{ path: ['spec', 'routes', i, 'services', j], transport: textAt(service, 'serversTransport') }];
      }),
    );
  if (object.kind !== 'Ingress' || layerOfIngress(object) !== 'traefik') return [];
  return listAt(object.value, 'spec', 'rules').flatMap((rule, i) =>
    listAt(rule, 'http', 'paths').map((one, j) => {
      const name = textAt(one, 'backend', 'service', 'name') ?? '';
      const service = estate.find('Service', object.namespace, name);
      return { path: ['spec', 'rules', i, 'http', 'paths', j], transport: service?.annotations[ON_SERVICE] };
    }),
  );
}

/** Whether a file has it: how long its readTimeout is, is judged there. */
function isBounded(transport: string, estate: Estate): boolean {
  const name = transport.slice(0, -'@file'.length);
  return estate.files.some(
    (file) =>
      file.is === 'traefik' &&
      textAt(file.value, 'http', 'serversTransports', name, 'forwardingTimeouts', 'readTimeout') !== undefined,
  );
}
