// Rows that would repeat: what is written, what is counted, and what happens when there are more kinds than are remembered.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RefusalEvent } from '../../broker/audit_log/events.ts';
import { Repeated } from '../../broker/refusals/repeated.ts';
import { type Seconds, seconds } from '../../shared/time.ts';
import { T0 } from '../support/service.ts';

const refusal = (address: string, at: Seconds = T0): RefusalEvent => ({
  ...{ event: 'refusal', grant: 'authorization', reason: 'webhook_token', at, address },
});

test('the first of a kind is written, further ones within a minute are counted in the next', () => {
  const repeated = new Repeated<RefusalEvent>(500);
  assert.deepEqual(repeated.note(refusal('a')), refusal('a'));
  for (let i = 0; i < 7; i++) assert.equal(repeated.note(refusal('a', seconds(T0 + i))), undefined);
  assert.deepEqual(repeated.note(refusal('b')), refusal('b'), 'another kind');
  const later = seconds(T0 + 60);
  assert.deepEqual(repeated.note(refusal('a', later)), { ...refusal('a', later), repeated: 7 });
  assert.equal(repeated.note(refusal('a', later)), undefined);
});

test('more kinds than are remembered are counted together, in a row that names none of them; memory stays', () => {
  const repeated = new Repeated<RefusalEvent>(500);
  const rows = Array.from({ length: 12_000 }, (_, i) => repeated.note(refusal(`address-${i}`))).filter((row) => row);
  assert.equal(rows.length, 501);
  const last = rows.at(-1);
  assert.deepEqual([last?.address, last?.reason, last?.repeated], [undefined, 'webhook_token', undefined]);
  const later = seconds(T0 + 60);
  const next = repeated.note(refusal('address-11999', later));
  assert.deepEqual([next?.address, next?.repeated], [undefined, 11_499]);
});
