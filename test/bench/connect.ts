// What a connection to a target costs at the gateway, what passes of one, and how soon it ends with its session.

import { once } from 'node:events';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { WebSocket } from 'ws';
import { heapOf } from '../support/heap.ts';
import { atConnectStand, type ConnectStand, type Visitor } from './connect_stand.ts';
import type { Bench } from './figure.ts';
import { processorTime, residentMemory } from './process.ts';
import { median, quantile } from './statistics.ts';

const MIB = 1024 * 1024;
const [COPY_MIB, COPIES] = [64, 5];
const CONNECTIONS = 2_000;
/** Of one session. */
const EACH = 20;
/** At a time. */
const OPENING = 20;
/** Milliseconds in which what was opened comes to rest. */
const SETTLE_MS = 3_000;
/** As the plugin reads a pipe. */
const PART = Buffer.alloc(64 * 1024, 'x');
/** What may wait on its way to the gateway. */
const MOST_WAITING = MIB;

/** MiB a second. */
async function rate(mib: number, work: () => Promise<unknown>): Promise<number> {
  const begin = performance.now();
  await work();
  return (mib / (performance.now() - begin)) * 1000;
}

async function download(socket: WebSocket, mib: number): Promise<void> {
  let bytes = 0;
  socket.on('message', (data: Buffer, is_binary) => {
    if (is_binary) bytes += data.length;
    else socket.send('eof');
  });
  socket.send(Buffer.from(`send ${mib}\n`), { binary: true });
  await once(socket, 'close');
  if (bytes !== mib * MIB) throw new Error(`${bytes} bytes of ${mib} MiB came`);
}

async function upload(socket: WebSocket, mib: number): Promise<void> {
  const done = once(socket, 'message');
  socket.send(Buffer.from(`take ${mib}\n`), { binary: true });
  for (let sent = 0; sent < mib * MIB; sent += PART.length) {
    const taken = new Promise((resolve) => socket.send(PART, { binary: true }, resolve));
    if (socket.bufferedAmount > MOST_WAITING) await taken;
  }
  await done;
  socket.close(1000);
}

async function direct(port: number, mib: number): Promise<void> {
  const socket = net.connect(port, '127.0.0.1');
  socket.write(`send ${mib}\n`);
  let bytes = 0;
  for await (const chunk of socket) bytes += (chunk as Buffer).length;
  if (bytes !== mib * MIB) throw new Error(`${bytes} bytes of ${mib} MiB came`);
}

export const connectRate: Bench = {
  figures: [
    {
      name: 'connect.mib_per_s',
      unit: 'MiB/s',
      aim: { at_least: 120 },
      says: `what passes of one connection to a target (WebSocket over TLS to the gateway), ${COPY_MIB} MiB each way, median of ${COPIES}: the slower way`,
    },
  ],
  run: (settings) =>
    atConnectStand(settings, async ({ gateway, port, visitor }) => {
      const [mib, copies] = settings.quick ? [1, 1] : [COPY_MIB, COPIES];
      const person = await visitor();
      const open = async () => person.connect(await person.token());
      const ways = { down: download, up: upload };
      await download(await open(), mib);
      const rates: Record<keyof typeof ways, number[]> = { down: [], up: [] };
      const processor = { down: 0, up: 0 };
      const without: number[] = [];
      for (let i = 0; i < copies; i++) {
        without.push(await rate(mib, () => direct(port, mib)));
        for (const way of ['down', 'up'] as const) {
          const socket = await open();
          const before = await processorTime(gateway);
          rates[way].push(await rate(mib, () => ways[way](socket, mib)));
          processor[way] += (await processorTime(gateway)) - before;
        }
      }
      const ms = (seconds: number) => ((seconds / copies / mib) * 1000).toFixed(2);
      settings.log(
        `${mib} MiB: to the client ${median(rates.down).toFixed(0)}, from it ${median(rates.up).toFixed(0)}, direct ${median(without).toFixed(0)} MiB/s (medians); ` +
          `${ms(processor.down)} and ${ms(processor.up)} ms of the gateway's processor each MiB`,
      );
      return { 'connect.mib_per_s': Math.min(median(rates.down), median(rates.up)) };
    }),
};

interface Session {
  readonly person: Visitor;
  readonly sockets: readonly WebSocket[];
}

async function openAll({ visitor }: Pick<ConnectStand, 'visitor'>, sessions: number, each: number): Promise<Session[]> {
  const all: Session[] = [];
  for (let i = 0; i < sessions; i++) {
    const person = await visitor();
    const token = await person.token();
    const sockets: WebSocket[] = [];
    for (let left = each; left > 0; left -= OPENING) {
      const some = Array.from({ length: Math.min(left, OPENING) }, () => person.connect(token));
      sockets.push(...(await Promise.all(some)));
    }
    all.push({ person, sockets });
  }
  return all;
}

export const connectMemory: Bench = {
  figures: [
    {
      name: 'connect.kib_each',
      unit: 'KiB',
      aim: { at_most: 100 },
      says: `resident memory of the gateway for an open connection to a target, of ${CONNECTIONS}, once garbage is collected`,
    },
  ],
  run: (settings) =>
    atConnectStand(settings, async (stand) => {
      const { gateway } = stand;
      const [sessions, each] = settings.quick ? [1, 5] : [CONNECTIONS / EACH, EACH];
      const collected = async () => {
        const heap = await heapOf(gateway.pid);
        return { heap: heap / MIB, all: await residentMemory(gateway) };
      };
      // What the first ones bring about is there once.
      await openAll(stand, Math.ceil(sessions / 10), each);
      const before = await collected();
      await openAll(stand, sessions, each);
      await sleep(settings.quick ? 0 : SETTLE_MS);
      const after = await collected();
      const kib = (mib: number) => (mib / (sessions * each)) * 1024;
      settings.log(
        `${sessions * each} open: ${before.all.toFixed(0)} MiB before, ${after.all.toFixed(0)} MiB with them, ${kib(after.heap - before.heap).toFixed(0)} KiB of the heap each`,
      );
      return { 'connect.kib_each': kib(after.all - before.all) };
    }),
};

export const connectEnds: Bench = {
  figures: [
    {
      name: 'connect.end_to_closed.p50_ms',
      unit: 'ms',
      says: `from the acknowledged end of a session to the close of each of its ${EACH} connections to a target, of ${CONNECTIONS} that are open, median`,
    },
    { name: 'connect.end_to_closed.p99_ms', unit: 'ms', aim: { at_most: 50 }, says: '99th percentile of it' },
  ],
  run: (settings) =>
    atConnectStand(settings, async (stand) => {
      const [sessions, each] = settings.quick ? [2, 3] : [CONNECTIONS / EACH, EACH];
      const times: number[] = [];
      for (const { person, sockets } of await openAll(stand, sessions, each)) {
        const closed = sockets.map((socket) =>
          once(socket, 'close').then(([code]) => ({ code, at: performance.now() })),
        );
        await person.logout();
        const acknowledged = performance.now();
        for (const { code, at } of await Promise.all(closed)) {
          if (code !== 4401) throw new Error(`a connection was closed with ${code}`);
          // It may be cut before the answer has come.
          times.push(Math.max(0, at - acknowledged));
        }
      }
      return {
        'connect.end_to_closed.p50_ms': median(times),
        'connect.end_to_closed.p99_ms': quantile(times, 0.99),
      };
    }),
};
