// Every kind of token, in every form that the drafts know and in mixtures of them, as it is read here and as jose reads it by the
// words of its specification. Nothing that jose refuses is taken, and what jose takes is refused for a reason that has a name.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isObject } from '../../shared/wire.ts';
import { chanceOf } from '../support/chance.ts';
import { type Draft, tokenOf, type Variant } from './drafts.ts';
import type { Loose, Reading } from './reading.ts';
import { READINGS } from './readings.ts';

const { seed } = chanceOf('');
console.log(`SEED=${seed}`);

const MIXTURES = 2_000;
const MOST_MIXED = 3;

function looselyRead(token: string): Loose {
  const parts = token.split('.');
  const object = (part = '') => {
    try {
      const value: unknown = JSON.parse(
        Buffer.from(part, 'base64url')
          .toString()
          .replace(/^\ufeff/, ''),
      );
      return isObject(value) ? value : {};
    } catch {
      return {};
    }
  };
  return { token, parts, header: object(parts[0]), payload: object(parts[1]) };
}

interface Seen {
  readonly ours: boolean;
  readonly theirs: boolean;
  /** The names of what they differ in, where they do. */
  readonly reasons: readonly string[];
}

/** @throws AssertionError where the two differ without a reason that has a name */
async function compare(reading: Reading, draft: Draft, what: string): Promise<Seen> {
  const token = tokenOf(draft);
  const refusal = await reading.theirs(token).then(
    () => undefined,
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  );
  const [ours, theirs] = [await reading.ours(token), refusal === undefined];
  if (ours === theirs) return { ours, theirs, reasons: [] };
  const loose = looselyRead(token);
  const named = (ours ? reading.looser : reading.stricter) ?? [];
  const reasons = named.filter(({ holds }) => holds(loose)).map(({ name }) => name);
  const how = ours ? `taken, and jose refuses it (${refusal})` : 'refused, and jose takes it';
  assert.ok(reasons.length > 0, `${what}: ${how}: ${token.slice(0, 2_000)}`);
  return { ours, theirs, reasons };
}

const mixed = (draft: Draft, variants: readonly Variant[]) =>
  variants.reduce((made, { change }) => change(made), draft);

for (const [kind, reading] of Object.entries(READINGS)) {
  const { draft, variants, stricter, looser = [] } = reading;

  describe(`${kind} is read as jose reads it, or more strictly by name`, () => {
    test('as it should be it is taken by both', async () => {
      assert.deepEqual(await compare(reading, draft, 'as it should be'), { ours: true, theirs: true, reasons: [] });
    });

    test('T1 in each form by itself; each name of a difference is needed', async () => {
      assert.equal(new Set(variants.map(({ name }) => name)).size > 100, true, `${variants.length} forms`);
      const needed = new Set<string>();
      const counts = { taken: 0, stricter: 0, refused: 0 };
      for (const variant of variants) {
        const { ours, theirs, reasons } = await compare(reading, variant.change(draft), variant.name);
        if (reasons.length === 1) needed.add(reasons[0] ?? '');
        counts[ours ? 'taken' : theirs ? 'stricter' : 'refused'] += 1;
      }
      console.log(`${kind}: ${JSON.stringify(counts)}`);
      assert.ok(counts.taken > 10 && counts.refused > 50, JSON.stringify(counts));
      assert.deepEqual([...needed].sort(), [...stricter, ...looser].map(({ name }) => name).sort());
    });

    test(`T1 in ${MIXTURES} mixtures of up to ${MOST_MIXED} forms`, async () => {
      const chance = chanceOf(kind, seed);
      let taken = 0;
      for (let i = 0; i < MIXTURES; i += 1) {
        const some = Array.from({ length: 2 + chance.below(MOST_MIXED - 1) }, () => chance.pick(variants)).filter(
          (one) => one !== undefined,
        );
        const { ours } = await compare(
          reading,
          mixed(draft, some),
          `SEED=${seed} ${some.map(({ name }) => name).join(' + ')}`,
        );
        if (ours) taken += 1;
      }
      assert.ok(taken > 0, 'some mixtures are harmless');
    });
  });
}
