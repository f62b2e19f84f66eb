// haproxy.cfg for one application: idle, and nothing else.

import { earliest, type Seconds, seconds } from '../../shared/time.ts';
import { timingOf } from '../layers_table/table.ts';
import { writeLength } from '../layers_table/units.ts';
import { headOf } from './head.ts';
import { addressOf, type RenderInput } from './input.ts';

/** Its timers hold no more than 2^31 - 1 ms. */
const LONGEST = seconds(24 * 86_400);

/** What HAProxy can hold of a length: that, or less. */
export function haproxyLength(length: Seconds): Seconds {
  return earliest(length, LONGEST);
}

export function renderHaproxy(input: RenderInput): string {
  const { host, port } = addressOf(input.target);
  const idle = haproxyLength(input.limits.inactivity_timeout);
  const timeout = (name: string) => `    ${name} ${writeLength(timingOf('haproxy', name).unit, idle)}`;
  const more = [
    'idle of a WebSocket is timeout tunnel alone: it takes the place of client and server after the upgrade',
    'timeout connect and timeout http-request are not limits of a session',
    'a name of the target is looked up once, at the start: resolvers for one that changes are yours to add',
  ];
  return `${headOf('haproxy', input, more)}
defaults
    mode http
    timeout connect 5s
    timeout http-request 10s
${['timeout client', 'timeout server', 'timeout tunnel'].map(timeout).join('\n')}

frontend curfew
    bind :8080
    acl curfew_host hdr(host),field(1,:) -i ${input.host}
    use_backend curfew_app if curfew_host

backend curfew_app
    server app ${host}:${port} init-addr last,libc,none
`;
}
