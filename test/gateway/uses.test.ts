// Uses on their way to the broker: within two seconds, told again where a report failed, and none of sessions that are over.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { withAuthority } from '../support/lone_authority.ts';
import { type LoneGateway, startLoneGateway } from '../support/lone_gateway.ts';
import { assertKept, until } from '../support/patience.ts';

const PODS = '/api/v1/namespaces/dev/pods';

describe('G3 uses', () => {
  let lone: LoneGateway;
  before(async () => {
    lone = await startLoneGateway();
  });
  after(() => lone?.stop());

  const told = (sid: string) => lone.broker.asked.flatMap(({ uses }) => uses.filter((use) => use.sid === sid));

  test('reach the broker within 2 s: a request, and keys that are typed', async () => {
    const began = performance.now();
    const client = lone.client('typing');
    const exec = await client.exec('shell');
    await until(() => told('typing').length > 0, 'the exec is no use');
    const { length } = told('typing');
    exec.send('x');
    await until(() => told('typing').length > length, 'a key is no use');
    assertKept(performance.now() - began, 4_000, 'telling both');
    for (const { age_ms } of told('typing')) assertKept(age_ms, 2_000, 'telling');
    exec.close();
  });

  test('are told again where a report failed, as old as they are by then', async () => {
    const { broker } = lone;
    let failed = 0;
    broker.onAsk = ({ uses }) => {
      if (!uses.some(({ sid }) => sid === 'again') || failed >= 3) return undefined;
      failed += 1;
      return failed === 1 ? 'no answer' : 503;
    };
    assert.equal((await lone.client('again').get(PODS)).status, 200);
    await until(() => failed === 3 && told('again').length > 3, 'it is not told again');
    const ages = told('again').map(({ age_ms }) => age_ms);
    assert.deepEqual(
      ages,
      ages.toSorted((a, b) => a - b),
      'older each time',
    );
    broker.onAsk = () => undefined;
  });

  test('of a session that is over are not told, as of when that is heard', async () => {
    const { broker } = lone;
    // Nothing can be told for a moment.
    broker.onAsk = ({ uses }) => (uses.length > 0 ? 503 : undefined);
    assert.equal((await lone.client('over').get(PODS)).status, 200);
    assert.equal((await lone.client('on').get(PODS)).status, 200);
    await until(() => told('over').length > 0, 'it is no use');
    broker.tell({ type: 'end', sid: 'over', reason: 'logout', since: broker.now(), place: '1.a.b' });
    await until(async () => (await lone.client('over').get(PODS)).status === 401, 'it is not over');
    const [over, on] = [told('over').length, told('on').length];
    await until(() => told('on').length > on, 'the other is told no more');
    assert.equal(told('over').length, over);
    broker.onAsk = () => undefined;
  });
});

test('G3 uses of more sessions than one report holds are told in the same round', async () => {
  await withAuthority(async (broker, authority) => {
    for (let i = 0; i < 5_000; i += 1) authority.uses.note(`busy-${i}`);
    const reports = () => broker.asked.flatMap(({ uses }) => (uses.length > 0 ? [uses] : []));
    await until(() => reports().flat().length === 5_000, 'some are not told');
    assert.deepEqual(
      reports().map(({ length }) => length),
      [2_000, 2_000, 1_000],
    );
    for (const { age_ms } of reports().flat()) assertKept(age_ms, 2_000, 'telling');
  });
});
