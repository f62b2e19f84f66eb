// 5,000 people who log in within 60 s, all from one address: each by the plugin's own code, on connections of their own, at one of two brokers
// on one database in PostgreSQL. A login is whole: metadata, ID token, session, token for the cluster.

import { startBalancedReplicas } from '../support/balanced_replicas.ts';
import type { Morning, MorningResult } from '../support/morning.ts';
import { Child } from './child.ts';
import type { Bench, Settings } from './figure.ts';
import { processorTime } from './process.ts';
import { quantile } from './statistics.ts';

const PEOPLE = 5_000;
const SECONDS = 60;
/** Of each broker to the database. */
const CONNECTIONS = 8;
const FEW = { people: 40, seconds: 1 };

export const morning: Bench = {
  figures: [
    {
      name: 'morning.errors',
      unit: 'people',
      aim: { at_most: 0 },
      says: 'of 5,000 people who log in within 60 s at two replicas on PostgreSQL, those who do not get in',
    },
    {
      name: 'morning.p99_ms',
      unit: 'ms',
      says: 'from when somebody comes to their token for the cluster, with all that is asked again, 99th percentile of those',
    },
    { name: 'morning.p50_ms', unit: 'ms', says: 'median of it' },
  ],
  async run(settings) {
    const { errors, latencies } = await measure(settings);
    return {
      'morning.errors': errors.length,
      'morning.p99_ms': quantile(latencies, 0.99),
      'morning.p50_ms': quantile(latencies, 0.5),
    };
  },
};

async function measure({ quick, log }: Settings): Promise<MorningResult> {
  const site = await startBalancedReplicas(CONNECTIONS);
  const office = new Child<Morning>('morning_client.ts');
  try {
    const { url, ca_file, brokers } = site;
    const { issuer, key } = brokers.issuer;
    const idp = { issuer, kid: 'static', key_pem: String(key.export({ format: 'pem', type: 'pkcs8' })) };
    const spend = (people: number, seconds: number, seed: number) =>
      office.ask<MorningResult>({ url, ca_file, idp, people, seconds, seed });
    // Brokers that run since yesterday have compiled what they run.
    if (!quick) await spend(500, 10, 1);
    const { people, seconds } = quick ? FEW : { people: PEOPLE, seconds: SECONDS };
    const processors = () =>
      Promise.all(brokers.replicas.flatMap((one) => (one.process ? processorTime(one.process) : [])));
    const before = await processors();
    const result = await spend(people, seconds, 2);
    const used = (await processors()).map((all, n) => ((all - (before[n] ?? 0)) / people) * 2e6);
    log(
      `${people} people within ${seconds} s: ${result.latencies.length} got in, ${result.sent_away} answers 429 or 503, ` +
        `brokers about ${used.map((us) => Math.round(us)).join(' and ')} µs of processor for a login, ` +
        `people at ${Math.round(result.client_cpu * 100)} % of a core`,
    );
    for (const error of result.errors.slice(0, 5)) log(error);
    return result;
  } finally {
    await office.stop();
    await site.stop();
  }
}
