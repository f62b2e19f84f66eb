// What three times as much as fits does to a broker: how long those wait whom it serves, and how many it still serves.

import type { Bench } from './figure.ts';
import { LoadClient } from './load.ts';
import { startLoadedBroker } from './loaded_broker.ts';
import { profiling } from './profile.ts';
import { quantile } from './statistics.ts';

const FITTING_CONNECTIONS = 16;
const FITTING_SECONDS = 5;
/** Each waits for its answer before its next request: there are more of them than the broker works on at a time. */
const CONNECTIONS = 768;
const TIMES = 3;
const SECONDS = 8;

export const shed: Bench = {
  figures: [
    {
      name: 'shed.p99_ms',
      unit: 'ms',
      says: 'time from when a renewal was written to its connection to its token, of those that are served while three times as many come as fit, 99th percentile',
    },
    {
      name: 'shed.served_vs_fitting',
      unit: 'ratio',
      says: 'tokens a second then, against those of a load that fits',
    },
  ],
  async run(settings) {
    const { quick, log } = settings;
    const sessions = quick ? 200 : 5_000;
    const client = new LoadClient();
    const profile = profiling(settings, 'shed');
    try {
      const broker = await startLoadedBroker(settings, client, { sessions, used: sessions, env: profile.env });
      try {
        const { per_second } = await broker.measure(FITTING_CONNECTIONS, quick ? 0.3 : FITTING_SECONDS);
        const load = await broker.measureOpen(per_second * TIMES, quick ? 64 : CONNECTIONS, quick ? 0.5 : SECONDS);
        log(`${Math.round(per_second)}/s fit; ${load.errors} were sent away`);
        return {
          'shed.p99_ms': quantile(load.served, 0.99),
          'shed.served_vs_fitting': load.per_second / per_second,
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
