// What is rendered, as a program takes it: beside it what is the administrator's own (where it listens, what is behind it, secrets).

import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { RenderInput } from '../../../broker/layers_render/input.ts';
import { RENDERERS } from '../../../broker/layers_render/render.ts';

/** The programs that have files of their own. */
export type ProxyLayer = 'nginx' | 'haproxy' | 'traefik' | 'envoy';

/** Where the rendered file listens, and where a test does. */
const LISTENS: Readonly<Record<Exclude<ProxyLayer, 'traefik'>, readonly [string, (port: number) => string]>> = {
  nginx: ['    listen 8080;\n', (port) => `    listen 127.0.0.1:${port};\n`],
  haproxy: ['    bind :8080\n', (port) => `    bind 127.0.0.1:${port}\n`],
  envoy: [
    'address: 0.0.0.0\n          port_value: 8080\n',
    (port) => `address: 127.0.0.1\n          port_value: ${port}\n`,
  ],
};

/**
 * Writes what is rendered for a layer into a folder, byte for byte but for the port.
 *
 * @param port where it listens; without it as rendered
 * @returns arguments that begin with the file
 */
export function configured(layer: ProxyLayer, input: RenderInput, folder: string, port?: number): readonly string[] {
  mkdirSync(folder, { recursive: true });
  const rendered = RENDERERS[layer](input);
  const text = port === undefined || layer === 'traefik' ? rendered : moved(layer, rendered, port);
  const file = path.join(folder, layer === 'envoy' || layer === 'traefik' ? `${layer}.yaml` : `${layer}.conf`);
  writeFileSync(file, text);
  switch (layer) {
    case 'nginx': {
      const whole = path.join(folder, 'whole.conf');
      const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
      const paths = temporary.map((name) => `${name}_temp_path ${path.join(folder, name)};`).join(' ');
      writeFileSync(
        whole,
        `pid ${path.join(folder, 'pid')}; error_log stderr; daemon off; master_process off;
events {}
http { access_log off; ${paths} include ${file}; }
`,
      );
      return ['-e', 'stderr', '-p', folder, '-c', whole];
    }
    case 'haproxy':
      return ['-f', file];
    case 'envoy':
      return ['-c', file];
    case 'traefik':
      return [
        `--providers.file.filename=${file}`,
        `--entryPoints.web.address=127.0.0.1:${port ?? 8080}`,
        '--log.level=ERROR',
        '--global.checkNewVersion=false',
        '--global.sendAnonymousUsage=false',
      ];
  }
}

function moved(layer: Exclude<ProxyLayer, 'traefik'>, text: string, port: number): string {
  const [from, to] = LISTENS[layer];
  if (text.split(from).length !== 2) throw new TypeError(`${layer} listens elsewhere than ${JSON.stringify(from)}`);
  return text.replace(from, to(port));
}

/** What OAuth2 Proxy needs besides. None of it is a secret of anybody. */
export const OAUTH2_PROXY_NEEDS = [
  '--client-id=curfew-test',
  '--client-secret=not-a-secret-of-anybody',
  '--cookie-secret=MDEyMzQ1Njc4OWFiY2RlZg==',
  '--email-domain=*',
  '--upstream=static://200',
] as const;
