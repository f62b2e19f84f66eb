// Places in the feed as gateways hand them back: nobody else makes one, and one of another store or time is none.

import assert from 'node:assert/strict';
import { createSecretKey, randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { FeedTail } from '../../broker/feed/tail.ts';
import { placeAt, placesOf } from '../../broker/gateways/places.ts';
import type { FeedEntry } from '../../broker/store/feed.ts';

const KEY = createSecretKey(randomBytes(32));
const STORE = { database_id: 'a'.repeat(32), epoch: 3 };

describe('a place', () => {
  const places = placesOf(KEY, STORE);

  test('comes back as it was', () => {
    fc.assert(
      fc.property(fc.nat(), fc.string(), (seq, text) => {
        const place = placeAt(seq, text);
        assert.deepEqual(places.parse(places.textOf(place)), place);
      }),
    );
  });

  test('R4 tells two changes of one number apart', () => {
    assert.notEqual(placeAt(7, 'one').digest, placeAt(7, 'two').digest);
    assert.equal(placeAt(7).digest, placeAt(7, '').digest);
  });

  test('G4 is nothing at another store, at another time, or by another key', () => {
    const text = places.textOf(placeAt(7, 'x'));
    for (const other of [
      placesOf(KEY, { ...STORE, epoch: 4 }),
      placesOf(KEY, { ...STORE, database_id: 'b'.repeat(32) }),
      placesOf(createSecretKey(randomBytes(32)), STORE),
    ])
      assert.equal(other.parse(text), undefined);
  });

  test('G4 cannot be made up or changed: no number, digest or MAC of it, and no other spelling', () => {
    const text = places.textOf(placeAt(7, 'x'));
    const [seq = '', digest = '', mac = ''] = text.split('.');
    const other = placeAt(7, 'y').digest;
    for (const made of [
      `8.${digest}.${mac}`,
      `07.${digest}.${mac}`,
      `${seq}.${other}.${mac}`,
      `${seq}.${digest}.${'A'.repeat(22)}`,
      `${text.slice(0, -1)}${text.endsWith('A') ? 'B' : 'A'}`,
      ` ${text}`,
      `${text}=`,
      `${seq}.${digest}`,
      '',
      '7',
      '9'.repeat(300),
    ])
      assert.equal(places.parse(made), undefined, made);
    fc.assert(fc.property(fc.string(), (made) => assert.equal(places.parse(made), undefined)));
  });
});

describe('what was read last', () => {
  const entry = (seq: number): FeedEntry => ({ seq, text: `${seq}`, change: undefined });
  const seqs = (entries: readonly FeedEntry[] | undefined) => entries?.map(({ seq }) => seq);

  test('is kept in order, and for a while: who is further behind reads the store', () => {
    const tail = new FeedTail(10);
    assert.deepEqual([tail.after(10), tail.after(9)], [[], undefined]);
    for (let seq = 11; seq <= 5_000; seq++) tail.add(entry(seq));
    assert.equal(tail.place, 5_000);
    assert.deepEqual(seqs(tail.after(4_998)), [4_999, 5_000]);
    assert.equal(seqs(tail.after(4_000))?.length, 1_000);
    assert.equal(tail.after(2_000), undefined);
    assert.deepEqual(tail.after(6_000), [], 'who knows more than this one');
  });

  test('is nothing after what was forgotten, and whoever listens is told each time until they stop', () => {
    const tail = new FeedTail(0);
    let told = 0;
    const stop = tail.onWake(() => {
      told += 1;
    });
    tail.add(entry(1));
    tail.skip(50);
    assert.deepEqual([tail.place, tail.after(1), tail.after(50), told], [50, undefined, [], 2]);
    tail.add(entry(51));
    assert.deepEqual(seqs(tail.after(50)), [51]);
    stop();
    tail.add(entry(52));
    assert.equal(told, 3);
  });
});
