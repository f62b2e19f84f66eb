// nginx, HAProxy, Traefik and Envoy with what is rendered for them, in front of an application.

import { request } from 'node:http';
import { createServer } from 'node:net';
import path from 'node:path';
import type { RenderInput } from '../../../broker/layers_render/input.ts';
import { until } from '../patience.ts';
import { listenAnywhere } from '../ports.ts';
import { type Running, startRunning } from '../running.ts';
import { configured, type ProxyLayer } from './configured.ts';
import type { LayerParts } from './parts.ts';

export interface RunningProxy {
  readonly port: number;
  stop(): Promise<void>;
}

const MORE: Readonly<Record<ProxyLayer, readonly string[]>> = {
  nginx: [],
  haproxy: ['-db'],
  traefik: [],
  envoy: ['--concurrency', '1', '--disable-hot-restart', '--log-level', 'warn'],
};

/**
 * @param more flags of the program, beside those of what is rendered
 * @returns once it answers for the host of `input`
 */
export async function startProxy(
  layer: ProxyLayer,
  parts: LayerParts,
  input: RenderInput,
  folder: string,
  more: readonly string[] = [],
): Promise<RunningProxy> {
  const port = await freePort();
  const args = configured(layer, input, path.join(folder, layer), port);
  return startProgram(parts, { layer, args: [...args, ...more], port, host: input.host });
}

export interface Started {
  readonly layer: ProxyLayer;
  readonly args: readonly string[];
  /** Where it will listen. */
  readonly port: number;
  readonly host: string;
  /** What it answers when it is up; 200 unless told. */
  readonly status?: number;
}

/** @returns once it answers */
export async function startProgram(
  parts: LayerParts,
  { layer, args, port, host, status = 200 }: Started,
): Promise<RunningProxy> {
  const program = startRunning(parts[layer], [...args, ...MORE[layer]], parts.env);
  try {
    await until(async () => (await statusAt(port, host, program)) === status, `${layer} does not answer`);
  } catch (error) {
    await program.kill();
    throw error;
  }
  return { port, stop: () => program.kill() };
}

/** @returns `undefined` where nothing answers */
export async function statusAt(
  port: number,
  host: string,
  program?: Running,
  where = '/',
): Promise<number | undefined> {
  if (program?.ended) throw new Error(`it ended: ${program.stderr().slice(-2000)} ${program.stdout().slice(-2000)}`);
  return await new Promise<number | undefined>((resolve) => {
    const options = { port, host: '127.0.0.1', path: where, headers: { host }, timeout: 5000, agent: false };
    const asked = request(options, (answer) => {
      answer.resume();
      resolve(answer.statusCode);
    });
    asked.once('timeout', () => asked.destroy());
    asked.once('error', () => resolve(undefined));
    asked.end();
  });
}

/** Below the ports that the kernel hands out, so that nobody takes it meanwhile but a test that looks for one as well. */
export async function freePort(): Promise<number> {
  const server = createServer();
  const port = await listenAnywhere(server);
  await new Promise((resolve) => server.close(resolve));
  return port;
}
