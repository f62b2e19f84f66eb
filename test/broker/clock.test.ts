// What time it is for decisions, and whether the machine's clock is believed: all by numbers, with no clock at all.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { createBrokerClock } from '../../broker/clock/clock.ts';
import { seconds } from '../../shared/time.ts';

const T = 1_800_000_000;

/** A machine whose clock, and the one that is never set, are as told. */
function machine(newest: number, start = newest) {
  const state = { wall: start, elapsed: 0 };
  const clock = createBrokerClock({
    wall: () => seconds(state.wall),
    monotonic: () => state.elapsed,
    newest: seconds(newest),
  });
  return {
    clock,
    pass(length: number) {
      state.wall += length;
      state.elapsed += length;
    },
    set(length: number) {
      state.wall += length;
    },
    state,
  };
}

describe('S20 the clock of the broker', () => {
  const backwards: readonly (readonly [number, 'believed' | 'behind'])[] = [
    [0, 'believed'],
    [1, 'believed'],
    [5, 'believed'],
    [6, 'behind'],
    [60, 'behind'],
    [61, 'behind'],
    [3_540, 'behind'],
    [86_400 * 365, 'behind'],
  ];
  for (const [length, expected] of backwards) {
    test(`S20 set back by ${length} s while it runs: ${expected}, and time never goes back`, () => {
      const { clock, pass, set } = machine(T);
      pass(1_000);
      const before = clock.now();
      set(-length);
      assert.equal(clock.fault() ?? 'believed', expected);
      assert.equal(clock.now(), before);
      set(length);
      assert.equal(clock.fault(), undefined, 'it heals by itself');
      assert.equal(clock.now(), before);
    });

    test(`S20 ${length} s behind the newest instant at a start: ${expected}`, () => {
      const { clock } = machine(T, T - length);
      assert.equal(clock.fault() ?? 'believed', expected);
      assert.equal(clock.now(), T);
    });
  }

  test('S20 set back, it is not believed just because time passes until it is where it was', () => {
    const { clock, pass, set } = machine(T);
    pass(10);
    const before = clock.now();
    set(-3_540);
    for (let i = 0; i < 3_600; i += 60) {
      pass(60);
      assert.equal(clock.fault(), 'behind', `after ${i + 60} s`);
      assert.equal(clock.now(), before + i + 60, 'ends are still on time');
    }
    assert.equal(clock.newest(), undefined, 'nothing of it is written down');
    assert.equal(clock.confirm(seconds(T + 10 + 3_600)), false, 'nor where the identity provider knows better');
    set(3_540);
    assert.equal(clock.fault(), undefined);
  });

  const forwards: readonly (readonly [number, 'believed' | 'ahead'])[] = [
    [59, 'believed'],
    [60, 'believed'],
    [61, 'ahead'],
    [3_600, 'ahead'],
    [86_400 * 365 * 70, 'ahead'],
  ];
  for (const [length, expected] of forwards) {
    test(`S20 set ahead by ${length} s while it runs: ${expected} until the identity provider agrees`, () => {
      const { clock, pass, set, state } = machine(T);
      pass(100);
      const before = clock.now();
      set(length);
      assert.equal(clock.fault() ?? 'believed', expected);
      if (expected === 'believed') return;
      assert.equal(clock.now(), before, 'time goes on as it did');
      assert.equal(clock.newest(), undefined);
      assert.equal(clock.confirm(seconds(state.wall - 301)), false);
      assert.equal(clock.confirm(seconds(state.wall + 301)), false);
      assert.equal(clock.fault(), 'ahead');
      assert.equal(clock.confirm(seconds(state.wall - 300)), true);
      assert.equal(clock.fault(), undefined);
      assert.equal(clock.now(), state.wall);
    });
  }

  test('S20 many small steps ahead are a jump as well', () => {
    const { clock, set, pass } = machine(T);
    for (let i = 0; i < 6; i++) {
      set(10);
      pass(1);
      assert.equal(clock.fault(), undefined);
    }
    set(10);
    assert.equal(clock.fault(), 'ahead');
  });

  test('S20 at a start the clock is believed up to 15 min ahead of the newest instant, and further when the identity provider agrees', () => {
    assert.equal(machine(T, T + 900).clock.fault(), undefined);
    const { clock, state } = machine(T, T + 901);
    assert.equal(clock.fault(), 'unconfirmed');
    assert.equal(clock.now(), T, 'what must be recorded all the same is not from the future');
    assert.equal(clock.known(), false);
    assert.equal(clock.confirm(seconds(state.wall + 299)), true);
    assert.equal(clock.fault(), undefined);
    assert.equal(clock.now(), T + 901);
  });

  test('S20 the first start of all waits for the identity provider, and a start in 2099 leaves nothing behind', () => {
    const { clock } = machine(0, 4_070_908_800);
    assert.equal(clock.fault(), 'unconfirmed');
    assert.equal(clock.newest(), undefined);
    assert.equal(clock.confirm(seconds(T)), false);
    assert.equal(clock.fault(), 'unconfirmed');
    const right = machine(0, T).clock;
    assert.equal(right.confirm(seconds(T)), true);
    assert.equal(right.newest(), T);
  });

  test('S20 an accepted clock is believed, however far back it is', () => {
    const { clock, set } = machine(T);
    set(-1_000_000);
    assert.equal(clock.fault(), 'behind');
    clock.accept(seconds(T - 1_000_000));
    assert.equal(clock.fault(), undefined);
    assert.equal(clock.now(), T - 1_000_000);
  });

  test('S20 whatever is done to it: time never goes back, and nothing is written down that is not believed', () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('pass' as const), length: fc.integer({ min: 0, max: 5_000 }) }),
      fc.record({
        kind: fc.constant('set' as const),
        length: fc.oneof(fc.integer({ min: -100, max: 100 }), fc.integer({ min: -100_000, max: 100_000 })),
      }),
      fc.record({ kind: fc.constant('confirm' as const), length: fc.integer({ min: -1_000, max: 1_000 }) }),
      fc.record({ kind: fc.constant('observe' as const), length: fc.integer({ min: -1_000, max: 1_000 }) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 50 }), fc.integer({ min: 0, max: 2_000 }), (steps, ahead) => {
        const { clock, pass, set, state } = machine(T, T + ahead);
        let last = clock.now();
        for (const { kind, length } of steps) {
          if (kind === 'pass') pass(length);
          if (kind === 'set') set(length);
          if (kind === 'confirm') clock.confirm(seconds(state.wall + length));
          if (kind === 'observe') clock.observe(seconds(T + Math.max(0, length)));
          const now = clock.now();
          assert.ok(now >= last, 'time went back');
          last = now;
          assert.equal(clock.newest() === undefined, clock.fault() !== undefined);
          if (clock.fault() === undefined) assert.ok(state.wall <= now);
        }
      }),
    );
  });
});

test('S20 a first start whose clock is ahead, and is put right while it runs: time is what the right clock says', () => {
  for (const length of [310, 3_600, 600_000_000]) {
    const { clock, pass, set } = machine(0, T);
    set(length);
    assert.equal(clock.fault(), 'unconfirmed');
    clock.now();
    assert.equal(clock.confirm(seconds(T)), false);
    set(-length);
    pass(10);
    assert.equal(clock.confirm(seconds(T + 10)), true);
    assert.deepEqual([clock.fault(), clock.now(), clock.newest()], [undefined, T + 10, T + 10]);
  }
});
