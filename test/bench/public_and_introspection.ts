// What API servers and other verifiers ask a broker for: its signing keys, and whether a token is still active.

import type { Bench, Settings } from './figure.ts';
import { type Load, LoadClient } from './load.ts';
import { type LoadedBroker, startLoadedBroker } from './loaded_broker.ts';
import { profiling } from './profile.ts';
import { median } from './statistics.ts';

const CONNECTIONS = 8;
const ROUNDS = 3;
const WINDOW_SECONDS = 5;

export const keysBench: Bench = {
  figures: [
    {
      name: 'jwks.per_second',
      unit: '1/s',
      aim: { at_least: 8000 },
      says: 'answers with the signing keys over 8 connections with TLS',
    },
  ],
  run: (settings) => measured(settings, 'jwks', (broker, seconds) => broker.measureKeys(CONNECTIONS, seconds)),
};

export const introspectionBench: Bench = {
  figures: [
    {
      name: 'introspect.per_second',
      unit: '1/s',
      aim: { at_least: 4000 },
      says: 'introspections by a cluster, about 1,000 tokens in turn, over 8 connections with TLS',
    },
  ],
  run: (settings) =>
    measured(settings, 'introspect', (broker, seconds) => broker.measureIntrospection(CONNECTIONS, seconds)),
};

async function measured(
  settings: Settings,
  name: string,
  measure: (broker: LoadedBroker, seconds: number) => Promise<Load>,
) {
  const { quick } = settings;
  const sessions = quick ? 20 : 1000;
  const client = new LoadClient();
  const profile = profiling(settings, name);
  try {
    const broker = await startLoadedBroker(settings, client, { sessions, used: sessions, tls: true, env: profile.env });
    try {
      const loads: Load[] = [];
      for (let round = 0; round < (quick ? 1 : ROUNDS); round++) {
        loads.push(await measure(broker, quick ? 0.3 : WINDOW_SECONDS));
      }
      return { [`${name}.per_second`]: median(loads.map(({ per_second }) => per_second)) };
    } finally {
      await broker.stop();
      await profile.report();
    }
  } finally {
    await client.stop();
  }
}
