// A server of nginx for one application: idle, and nothing else.

import { timingOf } from '../layers_table/table.ts';
import { writeLength } from '../layers_table/units.ts';
import { headOf } from './head.ts';
import { addressOf, type RenderInput } from './input.ts';

/** For the http block, such as a file of its own in `conf.d`. */
export function renderNginx(input: RenderInput): string {
  const { host, port } = addressOf(input.target);
  const idle = (name: string) =>
    `        ${name} ${writeLength(timingOf('nginx', name).unit, input.limits.inactivity_timeout)};`;
  const more = [
    'for the http block, such as a file in conf.d; nothing but this and TLS is needed for the limits',
    'auth_missing: whoever authenticates is asked by auth_request, which takes only 2xx, 401 and 403',
  ];
  return `${headOf('nginx', input, more)}
map $http_upgrade $curfew_connection {
    default upgrade;
    '' close;
}

server {
    listen 8080;
    server_name ${input.host};

    location / {
        proxy_pass http://${host}:${port};
        proxy_http_version 1.1;
        proxy_set_header Host $host;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $curfew_connection;
${['proxy_read_timeout', 'proxy_send_timeout'].map(idle).join('\n')}
    }
}
`;
}
