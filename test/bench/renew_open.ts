// Renewals that arrive at a fixed rate, whether those before were answered or not: how many a second a broker keeps up with, and how long one
// takes at 60 % of that, from when it was to be sent.

import type { Aim, Bench, Settings } from './figure.ts';
import { LoadClient } from './load.ts';
import { type Database, type LoadedBroker, type OpenMeasure, startLoadedBroker } from './loaded_broker.ts';
import { profiling } from './profile.ts';
import { quantile } from './statistics.ts';

interface Shape {
  readonly database: Database;
  readonly rate: Aim;
  /** Microseconds of the broker's processor for a renewal. */
  readonly processor: Aim;
}

const CONNECTIONS = 64;
/** Of what it answers where each connection sends its next request when it has the answer; and by what the rate is raised until it fails twice. */
const FIRST = 0.8;
const RAISED = 1.1;
const FAILURES = 2;
const STEP_SECONDS = 4;
/** Of the highest rate that it kept up with. */
const USUAL = 0.6;
const USUAL_SECONDS = 15;
/** It keeps up while it answers so much of what comes, without an error, and none waits longer. */
const ANSWERED = 0.98;
const LONGEST_MS = 500;

export function renewOpen({ database, rate, processor }: Shape): Bench {
  const name = `renew.${database}.open`;
  const at = `at ${USUAL * 100} % of that`;
  return {
    figures: [
      {
        name: `${name}.per_second`,
        unit: '1/s',
        aim: rate,
        says: 'renewals that come at a fixed rate, the highest that is kept up with',
      },
      { name: `${name}.p50_ms`, unit: 'ms', says: `median time to the token, ${at}` },
      { name: `${name}.p99_ms`, unit: 'ms', aim: { at_most: 25 }, says: `99th percentile of it, ${at}` },
      { name: `${name}.p999_ms`, unit: 'ms', says: `99.9th percentile of it, ${at}` },
      {
        name: `${name}.processor_us`,
        unit: 'µs',
        aim: processor,
        says: 'processor time of the broker for a renewal, at that rate',
      },
    ],
    async run(settings) {
      const { most, usual } = await measure(settings, database, name);
      return {
        [`${name}.per_second`]: most.per_second,
        [`${name}.p50_ms`]: quantile(usual.latencies, 0.5),
        [`${name}.p99_ms`]: quantile(usual.latencies, 0.99),
        [`${name}.p999_ms`]: quantile(usual.latencies, 0.999),
        [`${name}.processor_us`]: most.processor_us,
      };
    },
  };
}

async function measure(settings: Settings, database: Database, name: string) {
  const { quick } = settings;
  const sessions = quick ? 200 : 5_000;
  const client = new LoadClient();
  const profile = profiling(settings, name);
  try {
    const broker = await startLoadedBroker(settings, client, { database, sessions, used: sessions, env: profile.env });
    try {
      const most = await highest(broker, quick);
      const usual = await broker.measureOpen(most.per_second * USUAL, CONNECTIONS, quick ? 0.5 : USUAL_SECONDS);
      return { most, usual };
    } finally {
      await broker.stop();
      await profile.report();
    }
  } finally {
    await client.stop();
  }
}

/** @throws Error where it does not keep up with the lowest rate */
async function highest(broker: LoadedBroker, quick: boolean): Promise<OpenMeasure> {
  const { per_second } = await broker.measure(16, quick ? 0.3 : STEP_SECONDS);
  if (quick) return broker.measureOpen(per_second * 0.2, CONNECTIONS, 0.5);
  let most: OpenMeasure | undefined;
  // One failure may be chance: whatever else the machine does.
  for (let rate = per_second * FIRST, failures = 0; failures < FAILURES; rate *= RAISED) {
    const step = await broker.measureOpen(rate, CONNECTIONS, STEP_SECONDS);
    const keptUp = step.errors === 0 && step.per_second >= rate * ANSWERED && quantile(step.latencies, 1) <= LONGEST_MS;
    if (keptUp) most = step;
    else failures += 1;
  }
  if (!most) throw new Error(`it does not keep up with ${Math.round(per_second * FIRST)} renewals a second`);
  return most;
}
