// The power of the machine goes off under load: under a broker with its store in SQLite, and under a database server, whose brokers are
// elsewhere. The disk has what was synced, and of all else whatever it likes (test/support/disk.ts).

import assert from 'node:assert/strict';
import { chownSync, mkdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { countOf } from '../counts.ts';
import { type Brokers, makeBrokers } from '../support/brokers.ts';
import { type Chance, chanceOf } from '../support/chance.ts';
import { Crowd } from '../support/crowd.ts';
import { type Disk, makeDisk } from '../support/disk.ts';
import { until } from '../support/patience.ts';
import { type Postgres, processesIn, startPostgres } from '../support/postgres.ts';
import { faultsOfRecord, KEEPS_COMMIT_TIMES } from '../support/record_check.ts';
import { buildVariant, type Edits } from '../support/variant.ts';

const NAME = 'power';
const PEOPLE = 3;
/** Milliseconds. */
const PAUSE = 200;
/** Until what is planted is found. */
const MOST_CUTS = 12;
/** Checkpoints come often, so that they are cut too; recovery reads its own files again and needs no sync of each. */
const SERVER = { ...KEEPS_COMMIT_TIMES, max_wal_size: '2MB', min_wal_size: '2MB', recovery_init_sync_method: 'syncfs' };
/** What SQLite syncs with each commit it syncs no more. */
const UNSYNCED = { 'broker/store/sqlite.ts': [[/pragma synchronous = full/, 'pragma synchronous = off']] } as const;

/** What is under power, and how it comes back. */
interface Powered {
  readonly brokers: Brokers;
  readonly disk: Disk;
  cut(): Promise<void>;
  start(): Promise<void>;
  remove(): Promise<void>;
  readonly server?: Postgres;
}

async function sqlite(edits?: Edits): Promise<Powered> {
  const file = 'curfew.db';
  // The witness would tell of what was lost before anybody notices it.
  const brokers = await makeBrokers({
    count: 1,
    ...(edits && { sections: { store: { sqlite: { file }, witness_file: false } } }),
  });
  const program = edits && (await buildVariant(edits, path.join(brokers.folder, 'variant.cjs')));
  const [broker] = brokers.replicas;
  assert.ok(broker);
  const folder = path.dirname(broker.configFile);
  const disk = await makeDisk(folder, brokers.folder);
  const start = async () => void (await broker.start({ env: disk.env, program }));
  await start();
  return {
    ...{ brokers, disk, start, remove: brokers.remove },
    async cut() {
      disk.cut();
      await broker.kill();
    },
  };
}

async function postgres(lies = false): Promise<Powered> {
  const server = await startPostgres(SERVER, ['--wal-segsize=1']);
  const brokers = await makeBrokers({ database: await server.createDatabase(NAME), count: 2 });
  for (const replica of brokers.replicas) await replica.start();
  await server.end('SIGINT');
  const { uid, gid } = statSync(server.data);
  const beside = path.join(path.dirname(server.data), 'power');
  mkdirSync(beside);
  chownSync(beside, uid, gid);
  const disk = await makeDisk(server.data, beside, { lies });
  server.configure({}, disk.env);
  await server.start();
  return {
    ...{ brokers, disk, server, start: server.start },
    async cut() {
      disk.cut();
      const ended = server.end('SIGKILL');
      // All at once: one that waits for another does not see that the server is gone.
      for (const pid of processesIn(server.data)) process.kill(pid, 'SIGKILL');
      await ended;
    },
    async remove() {
      await brokers.remove();
      await server.stop();
    },
  };
}

async function cutUnderLoad(
  { disk, cut, start }: Powered,
  crowd: Crowd,
  chance: Chance,
  share?: number,
): Promise<void> {
  const { count } = crowd;
  await until(() => crowd.count > count + 2 * PEOPLE || crowd.faults.length > 0, 'nothing is acknowledged');
  await sleep(chance.below(PAUSE));
  await cut();
  disk.restore(chance, share);
  await start();
}

const KINDS = { sqlite: () => sqlite(), postgres: () => postgres() } as const;

describe('a machine that loses its power', { concurrency: true }, () => {
  for (const [name, make] of Object.entries(KINDS)) {
    const cuts = countOf('power_cuts');
    test(`F1 ${name}: ${cuts} power cuts under load: what was acknowledged is on the disk, and nothing else is needed (F5, I2, I3)`, async (context) => {
      const chance = chanceOf(`${NAME} ${name}`);
      context.diagnostic(`SEED=${chance.seed}`);
      const powered = await make();
      const { brokers, server } = powered;
      context.after(powered.remove);
      const crowd = new Crowd({ issuer: brokers.issuer, urls: brokers.urls, chance });
      context.after(() => crowd.abandon());
      crowd.start(PEOPLE);
      for (let n = 0; n < cuts && crowd.faults.length === 0; n++) await cutUnderLoad(powered, crowd, chance);
      await crowd.stop();
      await crowd.settle();
      const record = await faultsOfRecord(brokers, crowd.acknowledged, server && { server, name: NAME });
      const faults = [...crowd.faults, ...record];
      const { logins, ends, tokens } = crowd.acknowledged;
      context.diagnostic(
        `${cuts} cuts: ${logins.size} logins, ${tokens.size} tokens, ${ends.size} ends acknowledged; ${faults.length} faults`,
      );
      assert.deepEqual(faults.slice(0, 10), []);
    });
  }

  test('power cuts show a store that does not sync: SQLite with synchronous = off', async (context) => {
    const powered = await sqlite(UNSYNCED);
    context.after(powered.remove);
    const found = await faultAfterCuts(powered, chanceOf(`${NAME} unsynced`));
    assert.ok(found, 'nothing was lost');
    context.diagnostic(found);
  });

  test('power cuts show a database whose syncs do nothing, as with fsync = off', async (context) => {
    const powered = await postgres(true);
    context.after(powered.remove);
    const found = await faultAfterCuts(powered, chanceOf(`${NAME} lies`));
    assert.ok(found, 'nothing was lost');
    context.diagnostic(found);
  });
});

/** What is left may be too little for a start. */
const DOES_NOT_START = /^Error: (?:postgres|the broker) ended/;

/** @returns what was lost: said by those who were told otherwise, or by the brokers */
async function faultAfterCuts(powered: Powered, chance: Chance): Promise<string | undefined> {
  const { brokers } = powered;
  const crowd = new Crowd({ issuer: brokers.issuer, urls: brokers.urls, chance });
  const said = () =>
    brokers.replicas.flatMap(
      (one) => /"reason":"([^"]*(?:was put back|went back)[^"]*)"/.exec(one.process?.log() ?? '')?.[1] ?? [],
    );
  const found = () => [...crowd.faults, ...said()][0];
  crowd.start(PEOPLE);
  try {
    for (let n = 0; n < MOST_CUTS; n++) {
      const failed = await cutUnderLoad(powered, crowd, chance, 0).catch(String);
      if (failed !== undefined && DOES_NOT_START.test(failed)) return failed;
      assert.equal(failed, undefined);
      const { count } = crowd;
      await until(() => found() !== undefined || crowd.count > count + 5 * PEOPLE, 'nothing is acknowledged');
      const fault = found();
      if (fault !== undefined) return fault;
    }
    return undefined;
  } finally {
    crowd.abandon();
  }
}
