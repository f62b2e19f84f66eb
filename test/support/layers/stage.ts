// Layers that are changed by hand, in front of one application and one authority, with those who use them.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseTarget } from '../../../broker/layers_render/input.ts';
import { seconds } from '../../../shared/time.ts';
import { inputOf } from '../../broker/layers_golden.ts';
import { assertKept, until } from '../patience.ts';
import { type App, openStream, type Stream, type StreamOptions, startApp } from './app.ts';
import { type Authority, startAuthority } from './authority.ts';
import { configured, type ProxyLayer } from './configured.ts';
import { ensureLayerParts, type LayerParts } from './parts.ts';
import { freePort, type RunningProxy, type Started, startProgram } from './proxies.ts';

export const HOST = 'orders.example.com';
/** Timers may fire a little before a whole second is over, as some count from the last byte that they wrote. */
export const EARLY_MS = 250;

export interface Stage {
  readonly parts: LayerParts;
  readonly app: App;
  readonly authority: Authority;
  readonly folder: string;
  /**
   * What is rendered with lengths of ten minutes, changed by hand.
   *
   * @param more flags of the program
   * @param status what it answers when it is up
   * @returns its port
   */
  start(
    layer: ProxyLayer,
    change: (text: string) => string,
    more?: readonly string[],
    status?: number,
  ): Promise<number>;
  run(started: Started): Promise<void>;
  open(port: number, does: StreamOptions['does'], headers?: StreamOptions['headers']): Promise<Stream>;
  /** Ends all that runs and is open. */
  clear(): Promise<void>;
  close(): void;
}

export async function createStage(): Promise<Stage> {
  const parts = await ensureLayerParts();
  const [app, authority] = [await startApp(), await startAuthority()];
  const folder = mkdtempSync(path.join(tmpdir(), 'curfew-stage-'));
  const running: RunningProxy[] = [];
  const streams: Stream[] = [];
  const runOne = async (started: Started) => {
    running.push(await startProgram(parts, started));
  };
  return {
    parts,
    app,
    authority,
    folder,
    run: runOne,
    async start(layer, change, more = [], status = 200) {
      const limits = { max_age: seconds(600), inactivity_timeout: seconds(600), token_ttl: seconds(1) };
      const input = inputOf({ target: parseTarget(`127.0.0.1:${app.port}`), limits });
      const port = await freePort();
      const own = path.join(folder, `${layer}-${port}`);
      const args = configured(layer, input, own, port);
      const file = path.join(own, layer === 'envoy' || layer === 'traefik' ? `${layer}.yaml` : `${layer}.conf`);
      const text = readFileSync(file, 'utf8');
      const changed = change(text);
      assert.ok(changed !== text || more.length > 0, 'nothing was changed');
      writeFileSync(file, changed);
      await runOne({ layer, args: [...args, ...more], port, host: HOST, status });
      return port;
    },
    async open(port, does, headers = {}) {
      const stream = await openStream({ port, host: HOST, does, headers });
      streams.push(stream);
      return stream;
    },
    async clear() {
      for (const stream of streams.splice(0)) stream.close();
      for (const proxy of running.splice(0)) await proxy.stop();
    },
    close() {
      app.close();
      authority.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Not before, and not by some longer default of the program's own. */
export async function assertCutAt(stream: Stream, limit_ms: number): Promise<void> {
  await until(() => stream.ended !== undefined, 'it is not cut');
  const { ended = 0 } = stream;
  assertKept(ended, limit_ms, 'a cut');
  assert.ok(ended > limit_ms - EARLY_MS, `cut after ${Math.round(ended)} ms, with a limit of ${limit_ms} ms`);
}

export async function assertOpenAfter(stream: Stream, ms: number): Promise<void> {
  await until(() => stream.ended !== undefined || stream.age() > ms, 'time stands still');
  assert.equal(stream.ended, undefined, `cut after ${stream.ended} ms`);
}
