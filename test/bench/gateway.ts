// What a gateway costs, and how soon it cuts: between clients and something that is never slower than it.

import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Child } from './child.ts';
import type { Bench } from './figure.ts';
import type { GatewayOrder } from './gateway_client.ts';
import { openExec, type Place } from './gateway_exec.ts';
import { atGatewayStand, type Stand } from './gateway_stand.ts';
import { processorTime, residentMemory } from './process.ts';
import { median, quantile } from './statistics.ts';

const COPY_MIB = 200;
const COPIES = 7;
const SMALL = 5_000;
const ENDS = 200;
/** A small request each 10 ms, while something large passes. */
const EVERY_MS = 10;
const BESIDE = 800;
const [WATCHES, EXECS] = [1_000, 300];
/** Milliseconds in which what opening something left behind is collected. */
const SETTLE_MS = 3_000;

const client = () => new Child<GatewayOrder>('gateway_client.ts');

async function withClient<T>(work: (asking: Child<GatewayOrder>) => Promise<T>): Promise<T> {
  const asking = client();
  try {
    return await work(asking);
  } finally {
    await asking.stop();
  }
}

const copyBy = (asking: Child<GatewayOrder>, place: Place, mib: number) =>
  asking.ask<number>({ order: 'copy', place, mib });

export const gatewayExec: Bench = {
  figures: [
    {
      name: 'gateway.exec.vs_direct',
      unit: 'ratio',
      says: `an exec that says ${COPY_MIB} MiB, through the gateway against without (WebSocket, and TLS on each side), median of ${COPIES}`,
    },
    { name: 'gateway.exec.mib_per_s', unit: 'MiB/s', aim: { at_least: 110 }, says: 'what passes of such an exec' },
  ],
  run: (settings) =>
    atGatewayStand(settings, ({ direct, through, gateway }) =>
      withClient(async (asking) => {
        const [mib, copies] = settings.quick ? [1, 1] : [COPY_MIB, COPIES];
        for (const place of [direct, through]) await copyBy(asking, place, mib);
        const [without, by]: [number[], number[]] = [[], []];
        let processor = 0;
        for (let i = 0; i < copies; i++) {
          without.push(await copyBy(asking, direct, mib));
          const before = await processorTime(gateway);
          by.push(await copyBy(asking, through, mib));
          processor += (await processorTime(gateway)) - before;
        }
        const [direct_ms, gateway_ms] = [median(without), median(by)];
        const rate = (ms: number) => (mib / ms) * 1000;
        settings.log(
          `${mib} MiB: direct ${rate(direct_ms).toFixed(0)} MiB/s, gateway ${rate(gateway_ms).toFixed(0)} MiB/s (medians), ` +
            `${((processor / copies / mib) * 1000).toFixed(2)} ms of its processor each MiB`,
        );
        return { 'gateway.exec.vs_direct': gateway_ms / direct_ms, 'gateway.exec.mib_per_s': rate(gateway_ms) };
      }),
    ),
};

export const gatewaySmall: Bench = {
  figures: [
    {
      name: 'gateway.small.cpu_us',
      unit: 'µs',
      aim: { at_most: 250 },
      says: `processor time of the gateway for a small request, ${SMALL} one after the other over HTTP/2`,
    },
  ],
  run: (settings) =>
    atGatewayStand(settings, ({ direct, through, gateway }) =>
      withClient(async (asking) => {
        const count = settings.quick ? 50 : SMALL;
        const ask = (place: Place) => asking.ask<readonly number[]>({ order: 'small', place, count });
        for (const place of [direct, through]) await ask(place);
        const without = median(await ask(direct));
        const before = await processorTime(gateway);
        const by = median(await ask(through));
        const processor_us = (((await processorTime(gateway)) - before) / count) * 1e6;
        settings.log(`small requests: direct ${without.toFixed(2)} ms, gateway ${by.toFixed(2)} ms (medians)`);
        return { 'gateway.small.cpu_us': processor_us };
      }),
    ),
};

export const gatewayBesideBulk: Bench = {
  figures: [
    {
      name: 'gateway.small_beside_bulk.p99_ms',
      unit: 'ms',
      aim: { at_most: 25 },
      says: `latency of small requests, one each ${EVERY_MS} ms, while an exec says all it can, 99th percentile of ${BESIDE}`,
    },
  ],
  run: (settings) =>
    atGatewayStand(settings, (stand) =>
      withClient(async (bulk) =>
        withClient(async (asking) => {
          const { direct, through } = stand;
          const count = settings.quick ? 50 : BESIDE;
          for (const place of [direct, through]) await asking.ask({ order: 'small', place, count });
          const alone = await asking.ask<number[]>({ order: 'small', place: through, count, every_ms: EVERY_MS });
          const without = await beside(bulk, asking, direct, count);
          const by = await beside(bulk, asking, through, count);
          const says = (times: readonly number[]) =>
            `p50 ${median(times).toFixed(1)}, p99 ${quantile(times, 0.99).toFixed(1)} ms`;
          settings.log(
            `small requests: alone ${says(alone)}; beside bulk ${says(by)}; the same direct ${says(without)}`,
          );
          return { 'gateway.small_beside_bulk.p99_ms': quantile(by, 0.99) };
        }),
      ),
    ),
};

async function beside(bulk: Child<GatewayOrder>, asking: Child<GatewayOrder>, place: Place, count: number) {
  let is_over = false;
  const copying = (async () => {
    while (!is_over) await copyBy(bulk, place, 50);
  })();
  const times = await asking.ask<number[]>({ order: 'small', place, count, every_ms: EVERY_MS });
  is_over = true;
  await copying;
  return times;
}

export const gatewayEndToCut: Bench = {
  figures: [
    {
      name: 'gateway.end_to_cut.p50_ms',
      unit: 'ms',
      says: `from the acknowledged end of a session to the end of its exec, median of ${ENDS}, of which each has one open`,
    },
    { name: 'gateway.end_to_cut.p99_ms', unit: 'ms', aim: { at_most: 50 }, says: '99th percentile of it' },
  ],
  run: (settings) =>
    atGatewayStand(settings, async (stand) => {
      const times = await endAll(stand, settings.quick ? 3 : ENDS);
      return { 'gateway.end_to_cut.p50_ms': median(times), 'gateway.end_to_cut.p99_ms': quantile(times, 0.99) };
    }),
};

async function endAll({ through, visitor }: Stand, count: number): Promise<number[]> {
  const open: { readonly logout: () => Promise<void>; readonly ended: Promise<number> }[] = [];
  for (let i = 0; i < count; i++) {
    const { token, logout } = await visitor();
    const socket = await openExec({ ...through, token });
    socket.resume();
    open.push({ logout, ended: once(socket, 'end').then(() => performance.now()) });
  }
  const times: number[] = [];
  for (const { logout, ended } of open) {
    await logout();
    const acknowledged = performance.now();
    // It may be cut before the answer has come.
    times.push(Math.max(0, (await ended) - acknowledged));
  }
  return times;
}

/** One stream of its own connection each. */
const memoryBench = (kind: 'watch' | 'exec', most: number, aim: number): Bench => ({
  figures: [
    {
      name: `gateway.${kind}.kib`,
      unit: 'KiB',
      aim: { at_most: aim },
      says: `memory of the gateway for an open ${kind}, of ${most}, each over a connection of its own`,
    },
  ],
  run: (settings) =>
    atGatewayStand(settings, ({ through: place, gateway }) =>
      withClient(async (asking) => {
        const count = settings.quick ? 10 : most;
        const settle = settings.quick ? 0 : SETTLE_MS;
        const hold = (count: number) => asking.ask({ order: 'hold', place, kind, count });
        // What the first ones bring about is there once.
        await hold(Math.ceil(count / 10));
        await sleep(settle);
        const before = await residentMemory(gateway);
        await hold(count);
        await sleep(settle);
        const after = await residentMemory(gateway);
        settings.log(`${count} open: ${before.toFixed(0)} MiB before, ${after.toFixed(0)} MiB with them`);
        return { [`gateway.${kind}.kib`]: ((after - before) / count) * 1024 };
      }),
    ),
});

export const gatewayWatchMemory = memoryBench('watch', WATCHES, 64);
export const gatewayExecMemory = memoryBench('exec', EXECS, 128);
