// The id of a Kubernetes token: whatever is not exactly what we made, for exactly this session and cluster, is not ours.

import assert from 'node:assert/strict';
import { createSecretKey, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { createTokenIds } from '../../broker/tokens/token_id.ts';
import { type Seconds, seconds } from '../../shared/time.ts';

const newKey = () => createSecretKey(randomBytes(32));
const KEY = newKey();
const ids = createTokenIds(KEY);

const text = fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('', 'dev', '","', 'dev","x', '.', '1.2'));
const instant = fc.integer({ min: 0, max: 99_999_999_999 }).map(seconds);

test('H10 an id says its exp for its own session and cluster, on every replica with the same key', () => {
  fc.assert(
    fc.property(text, text, instant, (sid, audience, exp) => {
      const id = createTokenIds(createSecretKey(KEY.export())).make({ sid, audience }, exp);
      assert.equal(ids.expOf(id, { sid, audience }), exp);
    }),
  );
});

test('H10 an id of another session, of another cluster, or with its parts moved between the two is none', () => {
  fc.assert(
    fc.property(text, text, text, text, instant, (sid, audience, other_sid, other_audience, exp) => {
      fc.pre(sid !== other_sid || audience !== other_audience);
      assert.equal(
        ids.expOf(ids.make({ sid, audience }, exp), { sid: other_sid, audience: other_audience }),
        undefined,
      );
    }),
  );
});

test('H10 an id that was altered anywhere is none: characters changed, left out, added, spelled otherwise', () => {
  const of = { sid: 'a-session', audience: 'dev' };
  const id = ids.make(of, seconds(1_800_000_000));
  const alphabet = 'ABCXYZabcxyz0189-_.=+/ \n\u0000\u0661é';
  const [random, exp, mac] = id.split('.');
  const altered = new Set([
    ...[...id].flatMap((_, at) => [...alphabet].map((by) => id.slice(0, at) + by + id.slice(at + 1))),
    ...[...id].map((_, at) => id.slice(0, at) + id.slice(at + 1)),
    ...[...alphabet].flatMap((one) => [`${one}${id}`, `${id}${one}`]),
    ...[`${random}.0${exp}.${mac}`, `${random}.${exp}.${mac}.`, `${random}.${exp}`, `${random}..${mac}`, `JTI=${id}`],
    ...[id.toUpperCase(), id.toLowerCase(), `${id}\n${id}`, '', '..', 'some-jti', `${random}.1e9.${mac}`],
  ]);
  altered.delete(id);
  assert.ok(altered.size > 1000);
  for (const one of altered) assert.equal(ids.expOf(one, of), undefined, JSON.stringify(one));
});

test('H10 whatever text comes, it is none, and nothing is thrown', () => {
  fc.assert(fc.property(text, text, (id, sid) => assert.equal(ids.expOf(id, { sid, audience: 'dev' }), undefined)));
});

test('H10 an id of another key is none, unless that key is one of before', () => {
  const [own, before, foreign] = [newKey(), newKey(), newKey()];
  const of = { sid: 's', audience: 'dev' };
  const exp = 7 as Seconds;
  const rotated = createTokenIds(() => [own, before]);
  assert.equal(rotated.expOf(createTokenIds(before).make(of, exp), of), exp);
  assert.equal(createTokenIds(own).expOf(rotated.make(of, exp), of), exp, 'the first makes them');
  assert.equal(rotated.expOf(createTokenIds(foreign).make(of, exp), of), undefined);
});

test('I3 no id is made twice', () => {
  const made = Array.from({ length: 5000 }, () => ids.make({ sid: 's', audience: 'dev' }, 7 as Seconds));
  assert.equal(new Set(made).size, made.length);
});
