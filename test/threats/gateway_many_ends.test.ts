// Many ends with ten streams each, at a gateway under load: all of them are cut, and not one byte passes after the cut. Prints how long it
// took from the acknowledged end. Gateway and broker are processes.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { countOf } from '../counts.ts';
import { type GatewayBetween, type Logged, makeGatewayBetween } from '../support/gateway_between.ts';
import type { ClientStream } from '../support/gateway_client.ts';
import { type LoneBroker, makeLoneBroker } from '../support/lone_broker.ts';
import { until } from '../support/patience.ts';

const ENDS = countOf('gateway_ends');
/** Streams of each kind that a session has, sessions at a time, and clients that keep asking beside them. */
const [OF_A_KIND, AT_ONCE, BESIDE] = [5, 10, 2];
/** Milliseconds between two lines, in either direction, and between two ends. */
const [LINES, BETWEEN] = [50, 100];
const PODS = '/api/v1/namespaces/dev/pods';

let lone: LoneBroker;
let between: GatewayBetween;

before(async () => {
  between = await makeGatewayBetween(() => lone.url);
  lone = await makeLoneBroker({ name: 'gateway-many-ends', sections: between.sections });
  await between.prepare(lone.folder);
  await lone.start();
  await between.startGateway();
  between.api.flood_ms = LINES;
});
after(async () => {
  await between?.stop();
  await lone?.remove();
});

interface Open extends Logged {
  readonly pods: readonly string[];
  readonly streams: readonly ClientStream[];
}

async function open(n: number): Promise<Open> {
  const logged = await between.logIn(lone.issuer, `p-${n}`);
  const pods = Array.from({ length: OF_A_KIND }, (_, i) => `p-${n}-${i}`);
  const streams: ClientStream[] = [];
  for (const pod of pods) {
    streams.push(await logged.client.watch(`${PODS}?watch=1`));
    // Who goes on sending after the words, as long as anything can be sent.
    const defy = (stream: ClientStream) => {
      if (/"kind":"Status"/.test(stream.text)) for (let i = 0; i < 20; i += 1) stream.send('late');
    };
    streams.push(await logged.client.exec(pod, defy));
  }
  return { ...logged, pods, streams };
}

/** A close frame (RFC 6455 5.5.1) with 1000. */
const CLOSE = Buffer.from([0x88, 2, 0x03, 0xe8]).toString('latin1');

/** The last that came is the reason, and nothing is after it. */
function assertLastWords({ text, status }: ClientStream): void {
  const is_exec = status === 101;
  if (is_exec) assert.ok(text.endsWith(CLOSE), 'something came after the end');
  const last = is_exec ? text.slice(0, -CLOSE.length) : text;
  const form = is_exec
    ? /\{"kind":"Status"[^\n]*curfew: session is over: logged out[^\n]*"code":401\}$/
    : /\{"type":"ERROR","object":\{"kind":"Status".*curfew: session is over: logged out[^\n]*\}\n$/;
  assert.match(last, form);
}

test(`G1 ${ENDS} ends with ${2 * OF_A_KIND} streams each under load: all are cut, and not one byte passes after the cut`, async (t) => {
  const { api } = between;
  const delays: number[] = [];
  const state = { over: false, asked: 0 };
  const theirs = await open(0);
  const beside = Array.from({ length: BESIDE }, async () => {
    for (; !state.over; state.asked += 1) assert.equal((await theirs.client.get(PODS)).status, 200);
  });
  const typing = new Set<Open>([theirs]);
  const keys = setInterval(() => {
    for (const { streams } of typing) for (const stream of streams) if (!stream.closed) stream.send('key');
  }, LINES);
  try {
    for (let n = 1; n <= ENDS; n += AT_ONCE) {
      const all = await Promise.all(Array.from({ length: Math.min(AT_ONCE, ENDS + 1 - n) }, (_, i) => open(n + i)));
      for (const one of all) {
        typing.add(one);
        await sleep(BETWEEN);
        await one.logOut();
        const ended_at = performance.now();
        await until(() => one.streams.every(({ closed }) => closed), 'some go on');
        delays.push(...one.streams.map(({ closed_at }) => Math.max(0, closed_at - ended_at)));
        typing.delete(one);
        one.streams.forEach(assertLastWords);
      }
      await until(() => all.every(({ pods }) => pods.every((pod) => api.heard.get(pod)?.open === false)), 'still open');
      for (const { pods } of all)
        for (const pod of pods) {
          const { text = '' } = api.heard.get(pod) ?? {};
          assert.match(text, /key/);
          assert.doesNotMatch(text, /late/);
        }
    }
    assert.ok(
      theirs.streams.every(({ closed }) => !closed),
      'something of somebody else was cut',
    );
  } finally {
    clearInterval(keys);
    state.over = true;
    await Promise.all(beside);
  }
  const sorted = delays.toSorted((one, other) => one - other);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]?.toFixed(1);
  t.diagnostic(
    `${ENDS} ends, ${sorted.length} streams, ${state.asked} requests beside: acknowledged end to closed ` +
      `p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, at most ${sorted.at(-1)?.toFixed(1)} ms`,
  );
});
