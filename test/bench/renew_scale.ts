// What a hundred or a thousand times more sessions cost: two brokers, asked in turn, one with 1,000 sessions and one with many.

import type { Aim, Bench } from './figure.ts';
import { LoadClient } from './load.ts';
import { type Database, startLoadedBroker } from './loaded_broker.ts';
import { median } from './statistics.ts';

/** Many and short, so that whatever else the machine does meets both alike. */
const ROUNDS = 9;
const WINDOW_SECONDS = 2;
const CONNECTIONS = 8;
/** More than the broker keeps imported keys for, so that it must import them again, as it would with all of them. */
const USED = 20_000;

interface Shape {
  readonly database: Database;
  readonly sessions: number;
  /** In the names of figures: how many that is. */
  readonly many: string;
  readonly memory?: Aim | true;
}

export function renewScale({ database, sessions, many: count, memory }: Shape): Bench {
  const ratio = `renew.${database}.${count}_vs_1k`;
  const rss = `broker.rss_mib.${count}`;
  const in_store = `${sessions.toLocaleString('en')} sessions in the store`;
  return {
    figures: [
      {
        name: ratio,
        unit: 'ratio',
        aim: { at_least: 0.8 },
        says: `renewals per second over 8 connections with ${in_store}, against 1,000`,
      },
      ...(memory
        ? [
            {
              name: rss,
              unit: 'MiB',
              ...(memory !== true && { aim: memory }),
              says: `the broker's memory after that load, ${in_store}`,
            },
          ]
        : []),
    ],
    async run(settings) {
      const { quick } = settings;
      const client = new LoadClient();
      const stops = [() => client.stop()];
      try {
        const start = async (sessions: number, used: number) => {
          const broker = await startLoadedBroker(settings, client, { database, sessions, used });
          stops.push(() => broker.stop());
          return broker;
        };
        const few = quick ? await start(20, 20) : await start(1000, 1000);
        const many = quick ? await start(200, 50) : await start(sessions, USED);
        const rates = { few: [] as number[], many: [] as number[] };
        for (let round = 0; round < (quick ? 2 : ROUNDS); round++) {
          // Each is first as often as the other, give or take one.
          const order = [
            async () => void rates.few.push((await few.measure(CONNECTIONS, quick ? 0.3 : WINDOW_SECONDS)).per_second),
            async () =>
              void rates.many.push((await many.measure(CONNECTIONS, quick ? 0.3 : WINDOW_SECONDS)).per_second),
          ];
          for (const measure of round % 2 === 0 ? order : order.reverse()) await measure();
        }
        return {
          [ratio]: median(rates.many) / median(rates.few),
          [rss]: await many.rss(),
        };
      } finally {
        for (const stop of stops.reverse()) await stop();
      }
    },
  };
}
