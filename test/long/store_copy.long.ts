// F12, long form: `store copy` is killed 200 times; and what it holds in memory does not grow with the store: prints the curve.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { run } from '../../scripts/run.ts';
import { startMovingStore } from '../support/moving_store.ts';
import { type Postgres, startPostgres } from '../support/postgres.ts';

process.env.CURFEW_LONG = '1';
await import('../threats/store_copy_kills.test.ts');

/** Each with a person and a row of the audit log. */
const SESSIONS = [2_000, 20_000, 100_000];
/** MiB that a store of any size may take beyond the smallest: a row that was kept of each session would be several times that. */
const GROWTH = 16;

describe('store copy', () => {
  let server: Postgres;
  before(async () => {
    server = await startPostgres();
  });
  after(() => server?.stop());

  test('I5 holds as much memory for a large store as for a small one', async (context) => {
    const curve: number[] = [];
    for (const sessions of SESSIONS) {
      const place = await startMovingStore(server);
      await place.service.halt();
      await place.fill(sessions);
      const [node, words] = place.copyingProcess();
      const { code, stdout, stderr } = await run(node, ['--expose-gc', ...words], { timeout: 600_000 });
      await place.service.stop();
      assert.equal(code, 0, stderr);
      const [rss = 0, held = 0] = (/^memory: (\d+) (\d+)$/m.exec(stdout) ?? [])
        .slice(1)
        .map((n) => Number(n) / 2 ** 20);
      context.diagnostic(
        `${sessions} sessions: held ${held.toFixed(1)} MiB at most, RSS ${Math.round(rss)} MiB at most`,
      );
      curve.push(held);
    }
    const [first = 0] = curve;
    assert.ok(first > 1, `${curve}`);
    for (const held of curve)
      assert.ok(held < first + GROWTH, `it grows: ${curve.map((mib) => mib.toFixed(1)).join(', ')} MiB`);
  });
});
