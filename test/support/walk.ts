// A walk over faults under load: one after the other, each followed by its end, by healing without a person, and by everything that somebody
// may have kept of sessions that are over.

import { setTimeout as sleep } from 'node:timers/promises';
import type { Chance } from './chance.ts';
import { faultsOfRecord } from './record_check.ts';
import type { Fact } from './walk_facts.ts';
import { begin } from './walk_faults.ts';
import { People } from './walk_people.ts';
import { MAX_AGE, type WalkSite } from './walk_site.ts';
import type { Step } from './walk_step.ts';
import { WalkStreams } from './walk_streams.ts';

/** I5; and what a busy machine may take more. */
const [HEALS_MS, SLACK_MS] = [30_000, 30_000];
/** Of the sessions that ended last, and of all by chance: so many are tried after each fault. */
const [LATEST, OLDER, ACTIVE] = [6, 4, 3];

export interface Walk {
  readonly people: People;
  readonly streams: WalkStreams;
  /** What must never be, in words. */
  readonly faults: string[];
  /** Milliseconds that healing took at most, and after what. */
  readonly slowest: { ms: number; fault: string };
  /** Takes these steps, until something is wrong. @param say takes a line for each */
  take(steps: readonly Step[], say: (line: string) => void): Promise<void>;
  /** The load ends; then all that there is, is asked once more, and the audit log is held against what was told. */
  end(): Promise<readonly string[]>;
  /** Whatever comes of what was begun: for a test that is over. */
  abandon(): void;
}

export async function startWalk(site: WalkSite, chance: Chance, people_count: number): Promise<Walk> {
  const { brokers, between } = site;
  const pass = (token: string) => between.passes(token);
  const people = new People({
    ...{ issuer: brokers.issuer, name: between.gate.url, urls: brokers.urls, chance, hook: brokers.hook },
    ...{ max_age: MAX_AGE, pass },
  });
  const streams = new WalkStreams(between, people.facts);
  const { faults } = people.facts;
  const slowest = { ms: 0, fault: '' };
  await people.start(people_count);
  streams.start();

  const ready = async (url: string) => (await fetch(`${url}/readyz`).catch(() => undefined))?.status === 200;
  /** @returns what does not serve yet */
  const missing = async (): Promise<string | undefined> => {
    for (const [n, { url }] of brokers.replicas.entries())
      if (url === undefined || !(await ready(url))) return `broker ${n} is not ready`;
    if ((await between.gateway.status()) !== 'ok') return 'the gateway is not ready';
    for (const at of brokers.urls())
      for (const fact of some(people.facts.active, ACTIVE, 0, chance)) {
        const fault = await people.continues(fact, at);
        if (fault !== undefined) return fault;
      }
    return streams.left();
  };
  const heal = async (after: string) => {
    const begun = performance.now();
    for (;;) {
      const fault = await missing();
      const ms = performance.now() - begun;
      if (fault === undefined) {
        if (ms > slowest.ms) Object.assign(slowest, { ms, fault: after });
        return;
      }
      if (faults.length > 0) return;
      if (ms > HEALS_MS + SLACK_MS) {
        faults.push(`it does not heal after "${after}": ${fault}`);
        return;
      }
      await sleep(100);
    }
  };
  const replay = async (facts: readonly Fact[]) => {
    for (const at of brokers.urls()) await inEights(facts, (fact) => people.replay(fact, at));
  };

  return {
    ...{ people, streams, faults, slowest },
    async take(steps, say) {
      for (const [n, step] of steps.entries()) {
        const { fault, replica, pause_ms, hold_ms } = step;
        await sleep(pause_ms);
        say(`${n + 1}. ${fault} (${replica}), ${hold_ms} ms`);
        try {
          const undo = await begin(site, step);
          await sleep(hold_ms);
          await undo();
          await heal(fault);
        } catch (error) {
          faults.push(`unexpected: ${error instanceof Error ? error.stack : String(error)}`);
        }
        if (faults.length === 0) await replay(some(people.facts.ended, OLDER, LATEST, chance));
        if (faults.length > 0) {
          faults.push(`after step ${n + 1}: ${fault}`);
          return;
        }
      }
    },
    abandon() {
      void people.stop();
      void streams.stop();
    },
    async end() {
      await people.stop();
      await streams.stop();
      const { facts } = people;
      await replay(facts.ended.slice(-400));
      for (const at of brokers.urls())
        await inEights(facts.active.slice(-100), async (fact) => void (await people.renew(fact, at)));
      return [...faults, ...(await faultsOfRecord(brokers, facts.acknowledged, site.commits))];
    },
  };
}

function some<T>(all: readonly T[], by_chance: number, latest: number, chance: Chance): readonly T[] {
  const picked = Array.from({ length: by_chance }, () => chance.pick(all)).filter((one) => one !== undefined);
  return [...new Set([...all.slice(all.length - latest), ...picked])];
}

async function inEights<T>(all: readonly T[], work: (one: T) => Promise<void>): Promise<void> {
  for (let n = 0; n < all.length; n += 8) await Promise.all(all.slice(n, n + 8).map(work));
}
