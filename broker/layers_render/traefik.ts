// Traefik's dynamic configuration, as a file: the custom resource has no readTimeout.

import { writeLength } from '../layers_table/units.ts';
import { headOf } from './head.ts';
import { addressOf, type RenderInput } from './input.ts';
import { toYaml } from './objects.ts';

/** One name for router, service and transport. */
const NAME = 'curfew';

export function renderTraefik(input: RenderInput): string {
  const { limits, host: asked } = input;
  const { host, port } = addressOf(input.target);
  const idle = writeLength('traefik_duration', limits.inactivity_timeout);
  const age = writeLength('traefik_duration', limits.max_age);
  const more = [
    'for the file provider; the custom resource ServersTransport refuses readTimeout and writeTimeout',
    `age of plain answers, in the static configuration: entryPoints.NAME.transport.respondingTimeouts.writeTimeout: ${age}`,
  ];
  const forwardingTimeouts = { readTimeout: idle, writeTimeout: idle, idleConnTimeout: idle };
  const http = {
    routers: { [NAME]: { rule: `Host(\`${asked}\`)`, service: NAME } },
    services: {
      [NAME]: { loadBalancer: { serversTransport: NAME, servers: [{ url: `http://${host}:${port}` }] } },
    },
    serversTransports: { [NAME]: { forwardingTimeouts } },
  };
  return headOf('traefik', input, more) + toYaml({ http });
}
