// What a gateway costs, and how soon it cuts: between clients and something that is never slower than it.

import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { heapOf } from '../support/heap.ts';
import { Child } from './child.ts';
import type { Bench, Figure } from './figure.ts';
import type { GatewayOrder } from './gateway_client.ts';
import { MIB, openExec, type Place } from './gateway_exec.ts';
import { atGatewayStand, type Stand } from './gateway_stand.ts';
import { processorTime, residentMemory } from './process.ts';
import { median, quantile } from './statistics.ts';

const COPY_MIB = 200;
const COPIES = 7;
const SMALL = 8_000;
const CONNECTIONS = 8;
const ENDS = 200;
/** A small request each 10 ms, while something large passes. */
const EVERY_MS = 10;
const BESIDE = 800;
const [WATCHES, EXECS] = [1_000, 300];
/** Milliseconds in which what was opened comes to rest. */
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
      says: `processor time of the gateway for a small request, of ${SMALL} over ${CONNECTIONS} connections (HTTP/2), one after the other on each`,
    },
  ],
  run: (settings) =>
    atGatewayStand(settings, (stand) =>
      withClient(async (asking) => {
        const count = settings.quick ? 80 : SMALL;
        const ask = (place: Place, connections: number) =>
          asking.ask<readonly number[]>({ order: 'small', place, connections, count: count / connections });
        const measured = async (connections: number) => {
          const before = await processorTime(stand.gateway);
          const by = median(await ask(stand.through, connections));
          const processor_us = (((await processorTime(stand.gateway)) - before) / count) * 1e6;
          const without = median(await ask(stand.direct, connections));
          settings.log(
            `small requests, ${connections} at a time: direct ${without.toFixed(2)} ms, gateway ${by.toFixed(2)} ms (medians), ` +
              `${processor_us.toFixed(0)} µs of its processor each`,
          );
          return processor_us;
        };
        for (const place of [stand.direct, stand.through]) await ask(place, CONNECTIONS);
        await measured(1);
        return { 'gateway.small.cpu_us': await measured(CONNECTIONS) };
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
          for (const place of [direct, through]) await asking.ask({ order: 'small', place, connections: 1, count });
          const alone = await asking.ask<number[]>({ order: 'beat', place: through, count, every_ms: EVERY_MS });
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
  const times = await asking.ask<number[]>({ order: 'beat', place, count, every_ms: EVERY_MS });
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

interface Held {
  readonly name: string;
  readonly kind: 'watch' | 'exec';
  readonly most: number;
  readonly each_connection: number;
  readonly aim?: Figure['aim'];
}

const memoryBench = ({ name, kind, most, each_connection, aim }: Held): Bench => ({
  figures: [
    {
      ...{ name, unit: 'KiB', ...(aim && { aim }) },
      says: `resident memory of the gateway for an open ${kind}, of ${most}, ${each_connection} over each connection, once garbage is collected`,
    },
  ],
  run: (settings) =>
    atGatewayStand(settings, ({ through: place, gateway }) =>
      withClient(async (asking) => {
        const count = settings.quick ? 10 : most;
        const hold = (count: number) => asking.ask({ order: 'hold', place, kind, count, each_connection });
        const collected = async () => {
          const heap = await heapOf(gateway.pid);
          return { heap: heap / MIB, all: await residentMemory(gateway) };
        };
        // What the first ones bring about is there once.
        await hold(Math.ceil(count / 10));
        const before = await collected();
        await hold(count);
        await sleep(settings.quick ? 0 : SETTLE_MS);
        const uncollected = await residentMemory(gateway);
        const after = await collected();
        const each = (mib: number) => (mib / count) * 1024;
        settings.log(
          `${count} open: ${before.all.toFixed(0)} MiB before, ${after.all.toFixed(0)} MiB with them (${uncollected.toFixed(0)} before garbage was collected), ` +
            `${each(after.heap - before.heap).toFixed(0)} KiB of the heap each`,
        );
        return { [name]: each(after.all - before.all) };
      }),
    ),
});

/** As clients of Kubernetes hold them: over one connection for each program. */
export const gatewayWatchMemory = memoryBench({
  ...{ name: 'gateway.watch.kib', kind: 'watch', most: WATCHES, each_connection: 10, aim: { at_most: 64 } },
});
export const gatewayWatchAloneMemory = memoryBench({
  ...{ name: 'gateway.watch.alone.kib', kind: 'watch', most: WATCHES, each_connection: 1 },
});
export const gatewayExecMemory = memoryBench({
  ...{ name: 'gateway.exec.kib', kind: 'exec', most: EXECS, each_connection: 1, aim: { at_most: 128 } },
});
