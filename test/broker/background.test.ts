// Rounds in the background: never two at once, none lost, and none after the stop.

import assert from 'node:assert/strict';
import { describe, it, mock } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { every, pauseAfter } from '../../serving/background.ts';

/** Rounds that end when they are let. */
function rounds() {
  const open: { readonly end: () => void; readonly fail: () => void }[] = [];
  let begun = 0;
  const round = () => {
    begun += 1;
    return new Promise<void>((resolve, reject) => open.push({ end: resolve, fail: () => reject(new Error('away')) }));
  };
  return { round, open, begun: () => begun };
}

describe('every', () => {
  it('begins a round each time, and none beside one that is under way', async (context) => {
    mock.timers.enable({ apis: ['setInterval'] });
    context.after(() => mock.timers.reset());
    const { round, open, begun } = rounds();
    const background = every(1_000, round, () => undefined);
    assert.equal(begun(), 0);
    mock.timers.tick(1_000);
    mock.timers.tick(5_000);
    assert.equal(begun(), 1);
    open[0]?.end();
    await turn();
    assert.equal(begun(), 1);
    mock.timers.tick(1_000);
    assert.equal(begun(), 2);
    const stopped = background.stop();
    open[1]?.end();
    await stopped;
    mock.timers.tick(5_000);
    assert.equal(begun(), 2);
  });

  it('is told why a round failed, and goes on', async (context) => {
    mock.timers.enable({ apis: ['setInterval'] });
    context.after(() => mock.timers.reset());
    const { round, open, begun } = rounds();
    const errors: unknown[] = [];
    const background = every(1_000, round, (error) => errors.push(error));
    mock.timers.tick(1_000);
    open[0]?.fail();
    await turn();
    assert.equal(String(errors), 'Error: away');
    mock.timers.tick(1_000);
    assert.equal(begun(), 2);
    open[1]?.end();
    await background.stop();
  });

  it('that is woken while a round is under way has one more after it, however often it was woken', async () => {
    const { round, open, begun } = rounds();
    const background = every(1_000_000, round, () => undefined);
    const woken = background.wake();
    void background.wake();
    void background.wake();
    assert.equal(begun(), 1);
    open[0]?.end();
    await turn();
    assert.equal(begun(), 2);
    open[1]?.end();
    await woken;
    assert.equal(begun(), 2);
    await background.stop();
    await background.wake();
    assert.equal(begun(), 2);
  });

  it('waits at its stop for the round that is under way, and no other', async () => {
    const { round, open, begun } = rounds();
    const background = every(1_000_000, round, () => undefined);
    void background.wake();
    void background.wake();
    let stopped = false;
    const stop = background.stop().then(() => {
      stopped = true;
    });
    await turn();
    assert.equal(stopped, false);
    open[0]?.end();
    await stop;
    assert.equal(begun(), 1);
  });
});

describe('the pause between tries', () => {
  it('doubles up to the longest', () => {
    assert.deepEqual(
      [0, 1, 2, 3, 4, 5, 100].map((attempts) => pauseAfter(attempts, 10)),
      [1, 2, 4, 8, 10, 10, 10],
    );
  });
});
