// Renewals per second and their latency: DPoP, SQLite on disk, the row in the audit log; one broker, 1,000 sessions.

import type { Aim, Bench, Settings } from './figure.ts';
import { type Load, LoadClient } from './load.ts';
import { startLoadedBroker } from './loaded_broker.ts';
import { profiling } from './profile.ts';
import { median, quantile } from './statistics.ts';

interface Shape {
  /** Beginning of the figures' names. */
  readonly name: string;
  readonly connections: number;
  readonly tls?: boolean;
  readonly aim?: Aim;
}

const ROUNDS = 3;
const WINDOW_SECONDS = 5;

export function renewBench(shape: Shape): Bench {
  const { name, connections, tls = false, aim } = shape;
  const over = `${connections} ${connections === 1 ? 'connection' : 'connections'}${tls ? ' with TLS' : ''}`;
  return {
    figures: [
      { name: `${name}.per_second`, unit: '1/s', ...(aim && { aim }), says: `renewals over ${over}` },
      { name: `${name}.p50_ms`, unit: 'ms', says: `median latency of a renewal, ${over}` },
      { name: `${name}.p99_ms`, unit: 'ms', says: `99th percentile of it, ${over}` },
    ],
    async run(settings) {
      const loads = await measure(settings, shape);
      return {
        [`${name}.per_second`]: median(loads.map(({ per_second }) => per_second)),
        [`${name}.p50_ms`]: median(loads.map(({ latencies }) => median(latencies))),
        [`${name}.p99_ms`]: median(loads.map(({ latencies }) => quantile(latencies, 0.99))),
      };
    },
  };
}

async function measure(settings: Settings, { name, connections, tls = false }: Shape): Promise<readonly Load[]> {
  const { quick } = settings;
  const sessions = quick ? 50 : 1000;
  const client = new LoadClient();
  const profile = profiling(settings, name);
  try {
    const broker = await startLoadedBroker(settings, client, { sessions, used: sessions, tls, env: profile.env });
    try {
      const loads: Load[] = [];
      for (let round = 0; round < (quick ? 1 : ROUNDS); round++) {
        loads.push(await broker.measure(connections, quick ? 0.3 : WINDOW_SECONDS));
      }
      return loads;
    } finally {
      await broker.stop();
      await profile.report();
    }
  } finally {
    await client.stop();
  }
}
