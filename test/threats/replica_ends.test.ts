// Ends of sessions at one of several replicas, under load, while replicas and the database are killed: from the answer on nobody grants
// anything, and each replica hears of it. How soon is printed, with notifications of the database and without.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseDatabaseAddress } from '../../broker/config/database_address.ts';
import { followFeed } from '../../broker/feed/follow.ts';
import { PostgresFeed } from '../../broker/postgres/feed.ts';
import { countOf, isLong } from '../counts.ts';
import { type Brokers, makeBrokers } from '../support/brokers.ts';
import { type Chance, chanceOf } from '../support/chance.ts';
import { Crowd } from '../support/crowd.ts';
import { assertKept, until } from '../support/patience.ts';
import { type Postgres, startPostgres } from '../support/postgres.ts';
import { faultsOfRecord, KEEPS_COMMIT_TIMES } from '../support/record_check.ts';

const NAME = 'ends';
const PEOPLE = 4;
/** One end in so many is followed by a kill. */
const ENDS_A_KILL = 10;
/** In milliseconds, whatever becomes of notifications (docs/replicas.md). */
const KNOWN_WITHIN = 5_000;

/** In this database a notification is a function that does nothing. */
const WITHOUT_NOTIFICATIONS = [
  `alter database ${NAME} set search_path = public, pg_catalog`,
  `create function public.pg_notify(text, text) returns void language sql as 'select'`,
];

/** Hears of ends as each replica does, on a connection of its own. */
function listen(url: string) {
  const database = { address: parseDatabaseAddress(url, 'url'), application: 'listener' };
  const feed = new PostgresFeed(
    async () => database,
    async () => 0,
  );
  const heard = new Map<string, number>();
  const faults: string[] = [];
  let woken = 0;
  feed.onWake(() => void woken++);
  const log = { info: () => undefined, warn: () => undefined, error: () => undefined };
  const followed = followFeed(
    {
      store: { feed, distrust: (why) => void faults.push(why) },
      stopwatch: () => performance.now() / 1_000,
      log,
    },
    {
      async learn(change) {
        if (change.kind === 'end') heard.set(change.sid, performance.now());
      },
      async readAgain() {},
    },
    0,
  );
  return {
    heard,
    faults,
    get woken() {
      return woken;
    },
    async stop() {
      await followed.stop();
      await feed.close();
    },
  };
}

function sayTimes(all: readonly number[]): string {
  const sorted = all.toSorted((a, b) => a - b);
  const at = (part: number) => Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0);
  return `p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, at most ${at(1)} ms (of ${all.length})`;
}

/** Another at a time, each by chance. */
async function killSomething(chance: Chance, server: Postgres, { replicas }: Brokers): Promise<void> {
  await sleep(chance.below(100));
  if (chance.below(4) === 0) {
    await server.end('SIGKILL');
    await server.start();
    return;
  }
  const replica = chance.pick(replicas);
  await replica?.kill();
  await replica?.start();
}

const VARIANTS = [
  { count: 3, notified: true },
  { count: 2, notified: false },
  ...(isLong ? [{ count: 2, notified: true } as const, { count: 3, notified: false } as const] : []),
];

describe('ends at one of several replicas', { concurrency: !isLong }, () => {
  for (const { count, notified } of VARIANTS)
    describe(`${count} replicas, notifications ${notified ? 'on' : 'off'}`, () => {
      let server: Postgres;
      let brokers: Brokers;
      let listener: ReturnType<typeof listen>;
      before(async () => {
        server = await startPostgres(KEEPS_COMMIT_TIMES);
        const url = await server.createDatabase(NAME);
        if (!notified) for (const text of WITHOUT_NOTIFICATIONS) await server.query(text, NAME);
        brokers = await makeBrokers({ database: url, count });
        for (const replica of brokers.replicas) await replica.start();
        listener = listen(url);
      });
      after(async () => {
        await listener?.stop();
        await brokers?.remove();
        await server?.stop();
      });

      const ends = countOf('replica_ends');
      test(`R1 ${ends} ends under load, half of them amid kills of replicas and the database: no token after any, each is known (R2, R4, I1, I2, I3)`, async (context) => {
        const chance = chanceOf(`${NAME} ${count} ${notified}`);
        context.diagnostic(`SEED=${chance.seed}`);
        const ended_at = new Map<string, number>();
        const onEnd = (sid: string) => void ended_at.set(sid, performance.now());
        const { issuer, urls, hook } = brokers;
        const crowd = new Crowd({ issuer, urls, hook, chance, onEnd });
        const isOver = (wanted: number) => ended_at.size >= wanted || crowd.faults.length > 0;
        context.after(() => crowd.abandon());
        crowd.start(PEOPLE);
        await until(() => isOver(1), 'nothing ends');
        while (!isOver(ends / 2)) await sleep(20);
        const calm = new Set(ended_at.keys());
        const denied = [...crowd.denied_ms];
        let kills = 0;
        for (; !isOver(ends); kills++) {
          const next = Math.min(ended_at.size + ENDS_A_KILL, ends);
          while (!isOver(next)) await sleep(20);
          await killSomething(chance, server, brokers);
        }
        await crowd.stop();
        await crowd.settle();
        const isKnown = () => [...ended_at.keys()].every((sid) => listener.heard.has(sid));
        await until(isKnown, 'an end is not heard of');
        const commits = { server, name: NAME };
        const record = await faultsOfRecord(brokers, crowd.acknowledged, commits);
        const faults = [...crowd.faults, ...listener.faults, ...record];

        const known = (sids: Iterable<string>) =>
          [...sids].map((sid) => Math.max(0, (listener.heard.get(sid) ?? 0) - (ended_at.get(sid) ?? 0)));
        const calmly = known(calm);
        context.diagnostic(`known by another: ${sayTimes(calmly)}`);
        context.diagnostic(`first asked at each other and denied there: ${sayTimes(denied)}`);
        const amid = [...ended_at.keys()].filter((sid) => !calm.has(sid));
        context.diagnostic(`known by another amid ${kills} kills: ${sayTimes(known(amid))}`);
        context.diagnostic(
          `${ended_at.size} ends, ${crowd.acknowledged.tokens.size} tokens, ${crowd.counts.refused} renewals refused and ${crowd.counts.denied} requests denied after an end; ${faults.length} faults`,
        );
        assert.deepEqual(faults.slice(0, 10), []);
        assert.ok(kills > 0 && ended_at.size >= ends && crowd.counts.denied >= ends);
        assert.equal(listener.woken > 0, notified);
        for (const ms of calmly) assertKept(ms, KNOWN_WITHIN, 'hearing of an end');
      });
    });
});
