// Replicas on one database: what one of them does at a time, while they stop, stand still and come back.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { startDeliveries } from '../../broker/hooks/delivery.ts';
import { takeTurns } from '../../broker/leases/turn.ts';
import type { Store } from '../../broker/store/store.ts';
import { adopt } from '../../scripts/process.ts';
import { seconds } from '../../shared/time.ts';
import { until } from '../support/patience.ts';
import { type Stores, startStores } from '../support/stores.ts';

interface Worker {
  readonly child: ChildProcess;
  /** What it has said. */
  readonly words: string[];
}

describe('replicas', () => {
  let stores: Stores;
  const workers: Worker[] = [];
  before(async () => {
    stores = await startStores('postgres');
  });
  after(async () => {
    for (const { child } of workers) child.kill('SIGKILL');
    await stores?.stop();
  });

  const start = (name: string): Worker => {
    const file = path.join(import.meta.dirname, '../support/replica_worker.ts');
    const child = spawn(process.execPath, [file, stores.place, name], {
      ...{ detached: true, stdio: ['ignore', 'pipe', 'inherit'] },
    });
    const release = adopt(child.pid ?? 0);
    child.once('exit', release);
    const words: string[] = [];
    child.stdout?.setEncoding('utf8').on('data', (text: string) => words.push(...text.trim().split('\n')));
    const worker = { child, words };
    workers.push(worker);
    return worker;
  };
  const says = (worker: Worker, word: string, more = 1) => {
    const from = worker.words.length;
    return until(
      () => worker.words.slice(from).filter((one) => one === word).length >= more,
      `it does not say "${word}": ${worker.words.slice(-5).join(', ')}`,
    );
  };
  /** Who worked, by which number, in the order of commits. */
  const worked = async (store: Store): Promise<string[]> => {
    const all: string[] = [];
    for (let place = 0; ; place = all.length) {
      const { entries } = await store.feed.after(place, 500);
      if (entries.length === 0) return all;
      all.push(...entries.map(({ change }) => (change?.kind === 'end' ? change.sid : '')));
    }
  };

  test('R5 a holder that is stopped and continues, or dies, works no more once another has taken over', async () => {
    const store = await stores.open();
    const first = start('first');
    await says(first, 'works', 3);
    const second = start('second');
    await says(second, 'waits', 3);
    first.child.kill('SIGSTOP');
    await says(second, 'works', 3);
    first.child.kill('SIGCONT');
    await says(first, 'waits', 3);
    await says(second, 'works', 3);
    second.child.kill('SIGKILL');
    await once(second.child, 'exit');
    await says(first, 'works', 3);
    const turns = (await worked(store)).filter((one, i, all) => one !== all[i - 1]);
    // Each number is one holder's, for one stretch of the feed, and the next one's is higher.
    const fences = turns.map((one) => Number(one.split(' ')[1]));
    assert.deepEqual(
      fences,
      [...new Set(fences)].sort((a, b) => a - b),
      turns.join(', '),
    );
    assert.deepEqual([turns[0], turns.at(-1)?.split(' ')[0]], ['first 1', 'first']);
    assert.ok(turns.some((one) => one.startsWith('second')));
    for (const { words } of workers) assert.ok(!words.includes('unexpected') && !words.includes('broken'));
  });

  test('R5 of several replicas one delivers: each report comes once, also where the one that delivers stops', async () => {
    await stores.renew();
    const received: string[] = [];
    const receiver = createServer((request, response) => {
      received.push(String(request.headers['webhook-id']));
      request.resume().on('end', () => response.writeHead(204).end());
    });
    await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/`;
    const now = () => seconds(1_800_000_000);
    const stopwatch = () => performance.now() / 1_000;
    const log = { info: () => undefined, warn: () => undefined, error: () => undefined };
    const hook = { url, secret: Buffer.alloc(32, 1) };
    const replicas = await Promise.all(
      [1, 2, 3].map(async () => {
        const store = await stores.open();
        const turn = takeTurns({ store, stopwatch, log }, 'background', 50);
        const stopDeliveries = startDeliveries({ config: { hooks: [hook as never] }, store, log, now, turn });
        return { store, turn, stopDeliveries };
      }),
    );
    const queue = (from: number) =>
      replicas[0]?.store.transaction(async ({ db }) => {
        const rows = Array.from({ length: 30 }, (_, n) => ({
          ...{
            url,
            body: JSON.stringify({ id: `report ${from + n}` }),
            created_at: now(),
            attempts: 0,
            next_at: now(),
          },
        }));
        await db.insertInto('hook_delivery').values(rows).execute();
      });
    await queue(0);
    await until(() => received.length >= 10, 'nothing is delivered');
    const working = replicas.find(({ turn }) => turn.held);
    assert.ok(working);
    assert.equal(replicas.filter(({ turn }) => turn.held).length, 1);
    await working.stopDeliveries();
    await working.turn.stop();
    await queue(30);
    await until(() => new Set(received).size === 60, 'not all are delivered');
    await Promise.all(
      replicas
        .filter((one) => one !== working)
        .map(async ({ stopDeliveries, turn }) => {
          await stopDeliveries();
          await turn.stop();
        }),
    );
    // What was under way at the stop is delivered again: at least once, never by two at a time.
    assert.ok(received.length <= 61, `${received.length} deliveries of 60 reports`);
    receiver.close();
    receiver.closeAllConnections();
  });
});
