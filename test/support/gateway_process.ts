// The gateway as a process of its own, from the bundle: started on a configuration, watched, stopped, killed.

import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { stringify } from 'yaml';
import { buildBundles } from '../../scripts/bundle.ts';
import { freePort } from '../cluster/ports.ts';
import type { CertificateAuthority } from './certificates.ts';
import { commandOf } from './command_of.ts';
import { compileCache } from './compile_cache.ts';
import { until } from './patience.ts';
import { type Running, startRunning } from './running.ts';

export const GATEWAY_CERTIFICATE = { name: 'gateway', hosts: ['127.0.0.1', 'localhost'] } as const;

export interface GatewaySettings {
  /** Where its files go. */
  readonly dir: string;
  readonly authority: CertificateAuthority;
  readonly broker: { readonly url: string; readonly ca_file?: string; readonly token_file: string };
  /** Of a gateway before a cluster: one before targets has their public URL. */
  readonly api_server?: Readonly<Record<string, unknown>>;
  readonly cluster?: string;
  readonly public_url?: string;
  readonly port: number;
  /** Further sections, or others. */
  readonly more?: Readonly<Record<string, unknown>>;
  readonly env?: Readonly<Record<string, string>>;
  /** The program, where it is another than the bundle. */
  readonly program?: string | undefined;
}

export interface GatewayProcess extends Running {
  readonly url: string;
  /** Its metrics, as text. */
  metrics(): Promise<string>;
  /** What `/readyz` says. */
  status(): Promise<string>;
}

/** Resolves when it is ready. @throws Error with what it wrote, when it ends instead */
export async function startGatewayProcess(settings: GatewaySettings): Promise<GatewayProcess> {
  const { dir, authority, broker, api_server, cluster = 'dev', public_url, port, more, env, program } = settings;
  const tls = await authority.issue(GATEWAY_CERTIFICATE);
  const health_port = await freePort();
  const config = path.join(dir, 'curfew-gateway.yaml');
  const object = {
    broker,
    ...(public_url === undefined
      ? { cluster, api_server, other_credentials: 'refuse' }
      : { targets: true, public_url }),
    listen: { address: '127.0.0.1', port, tls: { cert_file: tls.certFile, key_file: tls.keyFile } },
    ...{ on_lost_broker: { cut_after: '10s' }, warn: 'off' },
    metrics: { address: '127.0.0.1', port: health_port },
    ...more,
  };
  await writeFile(config, stringify(object));
  const [command, ...words] = commandOf(program ?? (await buildBundles()).gateway);
  const running = startRunning(command, [...words, 'serve', '--config', config], {
    ...{ PATH: process.env.PATH ?? '', HOME: '/nonexistent', ...compileCache(), ...env },
  });
  const health = `http://127.0.0.1:${health_port}`;
  const read = async (at: string) => (await fetch(health + at)).text();
  const status = () =>
    read('/readyz').then(
      (text) => String((JSON.parse(text) as { readonly status: string }).status),
      () => 'away',
    );
  const whole: GatewayProcess = {
    ...running,
    get ended() {
      return running.ended;
    },
    url: `https://127.0.0.1:${port}`,
    metrics: () => read('/metrics'),
    status,
  };
  await until(
    async () => running.ended || (await status()) === 'ok',
    `the gateway does not become ready:\n${running.stderr()}`,
  );
  if (running.ended) throw new Error(`the gateway ended:\n${running.stderr()}`);
  return whole;
}
