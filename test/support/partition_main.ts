// A walk through partitions, as a program of its own: `node partition_main.ts DATABASE SEED SECONDS`, in a network of its own. What it found is
// one line of JSON.

import { chanceOf } from './chance.ts';
import { until } from './patience.ts';
import type { Database } from './stores.ts';
import { startWalk } from './walk.ts';
import { scheduleOf } from './walk_faults.ts';
import { makeWalkSite } from './walk_site.ts';

const PEOPLE = 4;

/** What the program tells. */
export interface Found {
  readonly faults: readonly string[];
  readonly steps: readonly string[];
  readonly acknowledged: { readonly logins: number; readonly ends: number; readonly tokens: number };
  readonly counts: Readonly<Record<string, number>>;
  readonly slowest: { readonly fault: string; readonly ms: number };
}

const [database, seed, seconds] = process.argv.slice(2);
const site = await makeWalkSite(database as Database);
const walk = await startWalk(site, chanceOf(`partitions ${database}`, Number(seed)), PEOPLE);
await until(() => walk.people.facts.ended.length > 5 || walk.faults.length > 0, 'nothing is acknowledged');
const steps: string[] = [];
await walk.take(scheduleOf(database as Database, Number(seed), Number(seconds), 'partitions'), (line) => {
  steps.push(line);
  process.stderr.write(`${line}\n`);
});
const faults = await walk.end();
const { facts, counts } = walk.people;
const { logins, ends, tokens } = facts.acknowledged;
const found: Found = {
  ...{ faults: faults.slice(0, 10), steps, slowest: walk.slowest },
  acknowledged: { logins: logins.size, ends: ends.size, tokens: tokens.size },
  counts: { ...counts, ...walk.streams.counts },
};
process.stdout.write(`${JSON.stringify(found)}\n`);
await site.remove();
process.exit(0);
