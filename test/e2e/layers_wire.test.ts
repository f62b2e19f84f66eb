// What the layers around do with connections, seen on the wire: what rests is cut when it is said, what is in use is cut where an age is
// claimed, and goes on where it is said that nothing ends it.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { parseTarget } from '../../broker/layers_render/input.ts';
import { RENDERERS } from '../../broker/layers_render/render.ts';
import { tableOf } from '../../broker/layers_table/table.ts';
import { run } from '../../scripts/run.ts';
import { seconds } from '../../shared/time.ts';
import { inputOf } from '../broker/layers_golden.ts';
import { type App, openStream, type Stream, startApp } from '../support/layers/app.ts';
import type { ProxyLayer } from '../support/layers/configured.ts';
import { type NodeTale, SHORTENED_S } from '../support/layers/node_main.ts';
import { ensureLayerParts, type LayerParts } from '../support/layers/parts.ts';
import { startProxy } from '../support/layers/proxies.ts';
import { assertKept, PATIENCE_MS, until } from '../support/patience.ts';

const IDLE_S = 3;
const AGE_S = 5;
/** Timers may fire a little before a whole second is over, as some count from the last byte that they wrote. */
const EARLY_MS = 250;

interface Expected {
  readonly layer: ProxyLayer;
  /** What it is said to be bounded by. */
  readonly by: string;
  /** What ends an endless plain answer: its age, or nothing. */
  readonly plain: 'age' | 'nothing';
  readonly more?: readonly string[];
}

const EXPECTED: readonly Expected[] = [
  { layer: 'nginx', by: 'proxy_read_timeout', plain: 'nothing' },
  { layer: 'haproxy', by: 'timeout tunnel', plain: 'nothing' },
  {
    layer: 'traefik',
    by: 'readTimeout',
    plain: 'age',
    more: [`--entryPoints.web.transport.respondingTimeouts.writeTimeout=${AGE_S}s`],
  },
  { layer: 'envoy', by: 'stream_idle_timeout and max_stream_duration', plain: 'age' },
];

let parts: LayerParts;
let app: App;
let folder: string;
before(async () => {
  parts = await ensureLayerParts();
  app = await startApp();
  folder = mkdtempSync(path.join(tmpdir(), 'curfew-wire-'));
});
after(() => {
  app.close();
  rmSync(folder, { recursive: true, force: true });
});

describe('on the wire', { concurrency: true }, () => {
  for (const { layer, by, plain, more } of EXPECTED) {
    test(`Y3 ${layer}, by ${by}: a WebSocket that rests is cut at the idle limit; one in use ${tableOf(layer).age.hold === 'yes' ? 'is cut at the age' : 'goes on'}`, async () => {
      const input = inputOf({
        target: parseTarget(`127.0.0.1:${app.port}`),
        limits: { max_age: seconds(AGE_S), inactivity_timeout: seconds(IDLE_S), token_ttl: seconds(1) },
      });
      const proxy = await startProxy(layer, parts, input, folder, more);
      try {
        const { port } = proxy;
        await attempt(port, input.host, { aged: tableOf(layer).age.hold === 'yes', plain });
      } finally {
        await proxy.stop();
      }
    });
  }
});

test('Y3 Y4 nftables: age, idle and the end of one session are kept by the kernel, and a SYN lengthens nothing', async () => {
  const port = 8080;
  const limits = { max_age: seconds(AGE_S), inactivity_timeout: seconds(IDLE_S), token_ttl: seconds(1) };
  const file = path.join(folder, 'nftables.conf');
  writeFileSync(file, RENDERERS.nftables(inputOf({ target: parseTarget(`127.0.0.1:${port}`), limits })));
  const main = path.join(import.meta.dirname, '../support/layers/node_main.ts');
  const words = ['-Urn', process.execPath, main, parts.nft, file, String(port)];
  for (const end = performance.now() + PATIENCE_MS; ; ) {
    const { code, stdout, stderr } = await run('unshare', words, { env: parts.env, timeout: 200_000 });
    assert.equal(code, 0, stderr);
    const tale = JSON.parse(stdout) as NodeTale;
    const stood_still = Object.values(tale).some(({ longest_pause }) => longest_pause > 700);
    if (stood_still && performance.now() < end) continue;
    assertCutAt(tale.talks, AGE_S);
    assertCutAt(tale.forges, AGE_S);
    assertCutAt(tale.rests, IDLE_S);
    assertCutAt(tale.shortened, SHORTENED_S);
    const { deleted, shortened, talks } = tale;
    assert.ok(
      (deleted.ended ?? Infinity) < (shortened.ended ?? 0),
      'one whose element was deleted was not cut at once',
    );
    assert.ok((shortened.ended ?? Infinity) < (talks.ended ?? 0), 'a timeout of its own was not kept');
    return;
  }
});

interface Wanted {
  /** Whether a WebSocket in use ends by its age. */
  readonly aged: boolean;
  readonly plain: Expected['plain'];
}

/** On a machine that stood still for as long as the idle limit, whoever talks was silent too: then it is tried again. */
async function attempt(port: number, host: string, wanted: Wanted): Promise<void> {
  for (const end = performance.now() + PATIENCE_MS; ; ) {
    const [rests, talks, reads] = await Promise.all(
      (['rest', 'talk', 'read'] as const).map((does) => openStream({ port, host, does })),
    );
    assert.ok(rests && talks && reads);
    try {
      await scene(rests, talks, reads, wanted);
      return;
    } catch (error) {
      const stood_still = Math.max(talks.longest_pause, reads.longest_pause) > (IDLE_S * 1000) / 3;
      if (!stood_still || performance.now() > end) throw error;
    } finally {
      for (const one of [rests, talks, reads]) one.close();
    }
  }
}

async function scene(rests: Stream, talks: Stream, reads: Stream, { aged, plain }: Wanted): Promise<void> {
  await until(() => rests.ended !== undefined, 'the one that rests is not cut');
  assertCutAt(rests, IDLE_S);
  const LONG_MS = AGE_S * 1000 * 2;
  if (aged) await until(() => talks.ended !== undefined, 'the one in use is not cut');
  if (plain === 'age') await until(() => reads.ended !== undefined, 'the answer is not cut');
  if (aged) assertCutAt(talks, AGE_S);
  if (plain === 'age') assertCutAt(reads, AGE_S);
  await until(() => talks.age() > LONG_MS || (aged && plain === 'age'), 'time stands still');
  if (!aged) await assertAlive(talks, 'WebSocket');
  if (plain === 'nothing') await assertAlive(reads, 'answer');
}

/** Not before, and not by some longer default of the program's own. */
function assertCutAt({ ended = 0 }: Pick<Stream, 'ended'>, limit_s: number): void {
  assertKept(ended, limit_s * 1000, 'a cut');
  assert.ok(ended > limit_s * 1000 - EARLY_MS, `cut after ${Math.round(ended)} ms, with a limit of ${limit_s} s`);
}

async function assertAlive(stream: Stream, what: string): Promise<void> {
  const { received } = stream;
  await until(() => stream.ended !== undefined || stream.received > received, 'nothing comes any more');
  assert.equal(stream.ended, undefined, `the ${what} was cut after ${stream.ended} ms`);
}
