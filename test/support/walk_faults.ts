// The faults that a walk draws from, each with its end. Those that kill a process come first: in the last third of a walk none of them is
// drawn, so that processes live through many faults and are looked at afterwards.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { run } from '../../scripts/run.ts';
import type { Replica } from './brokers.ts';
import { type Chance, chanceOf } from './chance.ts';
import { processesIn } from './postgres.ts';
import type { Fault } from './static_issuer.ts';
import type { Database } from './stores.ts';
import type { WalkSite } from './walk_site.ts';

/** Ends it. */
type Undo = () => Promise<unknown>;
type Begin = (site: WalkSite, replica: Replica, step: Step) => Promise<Undo>;

export interface Step {
  readonly fault: string;
  /** Which broker, by its place. */
  readonly replica: number;
  /** Milliseconds before it, and how long it lasts. */
  readonly pause_ms: number;
  readonly hold_ms: number;
  /** For what is left to chance within it. */
  readonly seed: number;
}

const nothing = async () => undefined;

const pidOf = ({ process: running }: Replica) => running?.pid ?? 0;

async function stopped(site: WalkSite, replica: Replica): Promise<Undo> {
  site.still.add(replica);
  process.kill(pidOf(replica), 'SIGSTOP');
  return async () => {
    process.kill(pidOf(replica), 'SIGCONT');
    site.still.delete(replica);
  };
}

/** The calls of the process meet it, as strace injects it. */
const traced =
  (calls: string, how: string): Begin =>
  async (_, replica) => {
    const rules = ['-e', `trace=${calls}`, '-e', `inject=${calls}:${how}`];
    const tracer: ChildProcess = spawn(
      'strace',
      ['-f', '-qq', '-o', '/dev/null', ...rules, '-p', `${pidOf(replica)}`],
      {
        stdio: 'ignore',
      },
    );
    const exit = once(tracer, 'exit');
    await once(tracer, 'spawn');
    return async () => {
      tracer.kill('SIGINT');
      await exit;
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

const KILLS: Readonly<Record<string, Begin>> = {
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

const GENTLE: Readonly<Record<string, Begin>> = {
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

const OF_SQLITE: Readonly<Record<string, Begin>> = {
  'each sync fails': traced('fsync,fdatasync', 'error=EIO'),
  'no write is taken': traced('pwrite64', 'error=ENOSPC'),
  'syncs of half a second': traced('fsync,fdatasync', 'delay_enter=500000'),
};

/** For a while it works on the disk that may lose its power, or be full. */
async function powered(site: WalkSite, replica: Replica, seed: number): Promise<void> {
  await replica.stop();
  site.disk?.take();
  await site.start(replica, true);
  await sleep(1_000 + (seed % 1_000));
}

const KILLS_SQLITE: Readonly<Record<string, Begin>> = {
  async 'disk full'(site, replica, { seed }) {
    await powered(site, replica, seed);
    const end = site.disk?.fill();
    return async () => {
      end?.();
      await replica.kill();
      await site.start(replica);
    };
  },
  async 'power cut'(site, replica, { seed }) {
    await powered(site, replica, seed);
    site.disk?.cut();
    await replica.kill();
    site.disk?.restore(chanceOf('power', seed));
    return () => site.start(replica);
  },
};

const signalServer = (data: string, name: NodeJS.Signals) => {
  for (const pid of processesIn(data)) process.kill(pid, name);
};

const OF_POSTGRES: Readonly<Record<string, Begin>> = {
  async 'database killed'({ server }) {
    await server?.end('SIGKILL');
    return async () => server?.start();
  },
  async 'database restarted'({ server }) {
    await server?.end('SIGINT');
    return async () => server?.start();
  },
  async 'database stopped'({ server }) {
    const data = server?.data ?? '';
    signalServer(data, 'SIGSTOP');
    return async () => signalServer(data, 'SIGCONT');
  },
  async 'connections cut'({ server, commits }) {
    await server?.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${commits?.name}' and pid <> pg_backend_pid()`,
    );
    return nothing;
  },
  async 'database out of reach'({ links, brokers }, replica) {
    const link = links[brokers.replicas.indexOf(replica)];
    link?.become('hold');
    return async () => link?.become('pass');
  },
  async 'connections to the database reset'({ links, brokers }, replica) {
    const link = links[brokers.replicas.indexOf(replica)];
    link?.become('reset');
    return async () => link?.become('pass');
  },
};

const FAULTS: Readonly<Record<Database, Readonly<Record<'kills' | 'gentle', Readonly<Record<string, Begin>>>>>> = {
  sqlite: { kills: { ...KILLS, ...KILLS_SQLITE }, gentle: { ...GENTLE, ...OF_SQLITE } },
  postgres: { kills: KILLS, gentle: { ...GENTLE, ...OF_POSTGRES } },
};

/** Milliseconds at the most; and what healing and looking take, about. */
const [PAUSE, HOLD, AFTER] = [1_500, 4_000, 2_500];

/**
 * The same for the same seed, whatever becomes of it. Each fault comes once before any comes again.
 *
 * @param seconds that it takes, about
 */
export function scheduleOf(database: Database, seed: number, seconds: number): readonly Step[] {
  const chance: Chance = chanceOf(`walk ${database}`, seed);
  const { kills, gentle } = FAULTS[database];
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
  const fault = kills[step.fault] ?? gentle[step.fault];
  if (!replica || !fault) throw new TypeError(`no such fault: ${step.fault}`);
  return fault(site, replica, step);
}
