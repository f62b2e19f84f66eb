// Decisions of the authorization webhook per second, as kube-apiserver asks for them: over TLS, 1,000 sessions in turn.

import type { Bench } from './figure.ts';
import { type Load, LoadClient } from './load.ts';
import { type Database, startLoadedBroker } from './loaded_broker.ts';
import { profiling } from './profile.ts';
import { median, quantile } from './statistics.ts';

interface Shape {
  /** Beginning of the figures' names. */
  readonly name: string;
  readonly database: Database;
  readonly per_second: number;
  /** Milliseconds. */
  readonly p99?: number;
}

const CONNECTIONS = 8;
const ROUNDS = 3;
const WINDOW_SECONDS = 5;

export function webhookBench({ name: NAME, database, per_second, p99 }: Shape): Bench {
  const where = database === 'postgres' ? ', with a store in PostgreSQL' : '';
  return {
    figures: [
      {
        name: `${NAME}.per_second`,
        unit: '1/s',
        aim: { at_least: per_second },
        says: `decisions of the authorization webhook over 8 connections with TLS${where}`,
      },
      { name: `${NAME}.p50_ms`, unit: 'ms', says: 'median latency of a decision' },
      {
        name: `${NAME}.p99_ms`,
        unit: 'ms',
        ...(p99 !== undefined && { aim: { at_most: p99 } }),
        says: '99th percentile of it',
      },
    ],
    async run(settings) {
      const { quick } = settings;
      const sessions = quick ? 50 : 1000;
      const client = new LoadClient();
      const profile = profiling(settings, NAME);
      try {
        const broker = await startLoadedBroker(settings, client, {
          database,
          sessions,
          used: sessions,
          tls: true,
          env: profile.env,
        });
        try {
          const loads: Load[] = [];
          for (let round = 0; round < (quick ? 1 : ROUNDS); round++) {
            loads.push(await broker.measureReviews(CONNECTIONS, quick ? 0.3 : WINDOW_SECONDS));
          }
          return {
            [`${NAME}.per_second`]: median(loads.map(({ per_second }) => per_second)),
            [`${NAME}.p50_ms`]: median(loads.map(({ latencies }) => median(latencies))),
            [`${NAME}.p99_ms`]: median(loads.map(({ latencies }) => quantile(latencies, 0.99))),
          };
        } finally {
          await broker.stop();
          await profile.report();
        }
      } finally {
        await client.stop();
      }
    },
  };
}
