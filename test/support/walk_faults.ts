// The faults that a walk draws from, each with its end. Those that kill a process come first: in the last third of a walk none of them is
// drawn, so that processes live through many faults and are looked at afterwards.

import { readdirSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { run } from '../../scripts/run.ts';
import { type Chance, chanceOf } from './chance.ts';
import { until } from './patience.ts';
import type { Fault } from './static_issuer.ts';
import type { Database } from './stores.ts';
import { OF_NETWORK } from './walk_partitions.ts';
import type { WalkSite } from './walk_site.ts';
import { type Begin, type Faults, nothing, pidOf, type Step, type Undo } from './walk_step.ts';
import { KILLS_SQLITE, OF_POSTGRES, OF_SQLITE } from './walk_store_faults.ts';

const stopped: Begin = async (site, replica) => {
  site.still.add(replica);
  process.kill(pidOf(replica), 'SIGSTOP');
  return async () => {
    process.kill(pidOf(replica), 'SIGCONT');
    site.still.delete(replica);
  };
};

const provider =
  (fault: Fault): Begin =>
  async ({ brokers: { issuer } }) => {
    issuer.fault = fault;
    return async () => {
      issuer.fault = undefined;
    };
  };

const clock =
  (by: string): Begin =>
  async (site, replica) => {
    await site.bend(replica, by);
    return () => site.bend(replica, '+0');
  };

const KILLS: Faults = {
  async 'broker killed'(site, replica) {
    await replica.kill();
    return () => site.start(replica);
  },
  async 'broker restarted'(site, replica) {
    const code = await replica.stop();
    if (code !== 0) throw new Error(`it ended with ${code}: ${replica.process?.output().slice(-2_000)}`);
    return () => site.start(replica);
  },
  async 'broker killed while it starts'(site, replica, { seed }) {
    await replica.kill();
    const starting = site.start(replica).catch(nothing);
    await sleep(seed % 400);
    await replica.kill();
    await starting;
    // It may have come up only then.
    await replica.kill();
    return () => site.start(replica);
  },
  /** It may end for it, at any moment, as by a kill. */
  async 'broker with little memory'(site, replica) {
    await replica.stop();
    await site.start(replica, { heap_mib: 40 }).catch(nothing);
    return async () => {
      await replica.kill();
      await site.start(replica);
    };
  },
  async 'gateway killed'(site) {
    await site.between.gateway.kill();
    return () => site.startGateway();
  },
  async 'gateway restarted'(site) {
    const { between } = site;
    between.gateway.signal('SIGTERM');
    const code = await between.gateway.exit;
    if (code !== 0) throw new Error(`the gateway ended with ${code}: ${between.gateway.stderr().slice(-2_000)}`);
    return () => site.startGateway();
  },
};

const GENTLE: Faults = {
  'broker stopped': stopped,
  'provider refuses': provider('refuse'),
  'provider hangs': provider('hang'),
  'provider answers 500': provider('500'),
  'provider answers HTML': provider('html'),
  'provider drips': provider('drip'),
  'clock an hour ahead': clock('+3600'),
  'clock two hours back': clock('-7200'),
  'clock 19 years ahead': clock('+600000000'),
  async 'configuration broken'({ brokers }, { configFile }) {
    const good = await readFile(configFile, 'utf8');
    await writeFile(configFile, good.replace('policy:', 'policies:'));
    return () => writeFile(configFile, good).then(() => brokers);
  },
  async 'configuration changed'(site, _, { seed }) {
    await site.configure(`${4 + (seed % 3)}m`);
    return nothing;
  },
  async 'few descriptors'(_, replica) {
    const pid = pidOf(replica);
    const open = readdirSync(`/proc/${pid}/fd`).length;
    const [, soft = '', hard = ''] =
      /Max open files\s+(\d+)\s+(\d+)/.exec(await readFile(`/proc/${pid}/limits`, 'utf8')) ?? [];
    const limit = (most: number | string) => run('prlimit', ['--pid', `${pid}`, `--nofile=${most}:${hard}`]);
    await limit(open + 2);
    return () => limit(soft);
  },
  async 'another signing key'({ brokers }) {
    const { code, stderr } = await brokers.command('keys', 'rotate');
    // The one that the walk made before is published, and does not sign yet.
    if (code !== 0 && !/does not sign yet/.test(stderr)) throw new Error(`keys rotate: ${code} ${stderr}`);
    return nothing;
  },
  async 'certificate of the gateway changed'({ between }) {
    const { gateway } = between;
    const times = () => gateway.stderr().split('certificate reloaded').length;
    const before = times();
    await between.renewCertificate();
    return () => until(() => times() > before, 'the certificate is not read again');
  },
  async 'gateway stopped'({ between }) {
    between.gateway.signal('SIGSTOP');
    return async () => between.gateway.signal('SIGCONT');
  },
  async 'gateway cut off'({ between: { gate } }) {
    gate.how = () => 'lose';
    gate.breakFeeds();
    return async () => {
      gate.how = () => 'pass';
    };
  },
  async 'answers to the gateway lost'({ between: { gate } }) {
    gate.how = () => 'lose answer';
    return async () => {
      gate.how = () => 'pass';
    };
  },
};

const FAULTS: Readonly<Record<Database, Readonly<Record<'kills' | 'gentle', Faults>>>> = {
  sqlite: { kills: { ...KILLS, ...KILLS_SQLITE }, gentle: { ...GENTLE, ...OF_SQLITE } },
  postgres: { kills: KILLS, gentle: { ...GENTLE, ...OF_POSTGRES } },
};

/** For a walk through partitions alone. */
const PARTITIONS: typeof FAULTS = {
  sqlite: { kills: {}, gentle: OF_NETWORK.sqlite },
  postgres: { kills: {}, gentle: { ...OF_NETWORK.sqlite, ...OF_NETWORK.postgres } },
};

/** Milliseconds at the most; and what healing and looking take, about. */
const [PAUSE, HOLD, AFTER] = [1_500, 4_000, 2_500];

/**
 * The same for the same seed, whatever becomes of it. Each fault comes once before any comes again.
 *
 * @param seconds that it takes, about
 * @param through partitions alone, where this process has a network of its own
 */
export function scheduleOf(
  database: Database,
  seed: number,
  seconds: number,
  through: 'all' | 'partitions' = 'all',
): readonly Step[] {
  const chance: Chance = chanceOf(`walk ${database}`, seed);
  const { kills, gentle } = (through === 'all' ? FAULTS : PARTITIONS)[database];
  const steps: Step[] = [];
  let deck: string[] = [];
  for (let planned = 0; planned < seconds * 1_000; ) {
    const is_late = planned > (seconds * 1_000 * 2) / 3;
    if (is_late) deck = deck.filter((name) => name in gentle);
    if (deck.length === 0) deck = [...(is_late ? [] : Object.keys(kills)), ...Object.keys(gentle)];
    const [fault = ''] = deck.splice(chance.below(deck.length), 1);
    const [replica, pause_ms, hold_ms] = [chance.below(2), chance.below(PAUSE), 500 + chance.below(HOLD - 500)];
    steps.push({ fault, replica, pause_ms, hold_ms, seed: chance.below(1 << 30) });
    planned += pause_ms + hold_ms + AFTER;
  }
  return steps;
}

export function begin(site: WalkSite, step: Step): Promise<Undo> {
  const { replicas } = site.brokers;
  const replica = replicas[step.replica % replicas.length];
  const { kills, gentle } = FAULTS[site.database];
  const fault = kills[step.fault] ?? gentle[step.fault] ?? PARTITIONS[site.database].gentle[step.fault];
  if (!replica || !fault) throw new TypeError(`no such fault: ${step.fault}`);
  return fault(site, replica, step);
}
