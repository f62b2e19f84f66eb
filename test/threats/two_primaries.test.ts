// A standby that is promoted while the primary goes on, as nobody fenced it: what brokers notice of that, and what they do not.

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fromMilliseconds } from '../../shared/time.ts';
import { type Brokers, makeBrokers } from '../support/brokers.ts';
import { Holder } from '../support/holder.ts';
import { nextSecond, until } from '../support/patience.ts';
import { type Postgres, startPostgres } from '../support/postgres.ts';
import { startStandby } from '../support/postgres_standby.ts';
import { ISSUER } from '../support/service.ts';

const NAME = 'primaries';
/** Of the two brokers. */
const [BOTH, CUT_OFF] = [0, 1] as const;

describe('R4 two primaries at once', () => {
  let old: Postgres;
  let promoted: Postgres;
  let brokers: Brokers;
  let both: string;
  before(async () => {
    old = await startPostgres();
    await old.createDatabase(NAME);
    promoted = await startStandby(old);
    const at = (...servers: readonly Postgres[]) =>
      `postgres://postgres@${servers.map(({ port }) => `127.0.0.1:${port}`).join(',')}/${NAME}`;
    both = at(old, promoted);
    brokers = await makeBrokers({ database: both, count: 2 });
    // One that reaches the old one alone.
    await writeFile(fileOf(CUT_OFF), at(old));
    for (const replica of brokers.replicas) await replica.start();
  });
  after(async () => {
    await brokers?.remove();
    await promoted?.stop();
    await old?.stop();
  });

  /** Where a broker has the address of its database. */
  const fileOf = (n: number) => path.join(path.dirname(brokers.replicas[n]?.configFile ?? ''), 'database');
  const now = () => fromMilliseconds(Date.now());
  /** A person who asks this broker, or the other one. */
  const person = (sub: string, n: 0 | 1) => {
    const place = { issuer: ISSUER, url: brokers.replicas[n]?.url ?? '' };
    const holder = new Holder(place, now);
    const ask = async <T>(other: 0 | 1, question: () => Promise<T>) => {
      place.url = brokers.replicas[other]?.url ?? '';
      return question();
    };
    const login = () => {
      const at = now();
      const claims = { iss: brokers.issuer.issuer, aud: 'curfew', sub, iat: at, exp: at + 300, auth_time: at };
      const more = { nonce: holder.nonce, email: `${sub}@example.com`, email_verified: true, groups: ['dev'] };
      return holder.exchange(brokers.issuer.sign({ ...claims, ...more }));
    };
    return { holder, ask, login };
  };
  const ready = async (n: 0 | 1) => (await fetch(`${brokers.replicas[n]?.url}/readyz`)).status;

  test('R4 a broker that reaches both uses the new one alone; what the old one alone would commit is not acknowledged', async () => {
    const { holder, ask, login } = person('one', BOTH);
    const handle = (await login()).granted.refresh_token ?? '';
    await promoted.query('select pg_promote()');
    // Of its connections none is left to the old one, which waits for a standby that is gone.
    await until(async () => (await ask(BOTH, () => holder.renew(handle, 'dev'))).status === 200, 'it is not found');
    assert.equal((await ask(BOTH, () => holder.revoke(handle))).status, 200);
    assert.notEqual((await ask(CUT_OFF, () => holder.renew(handle, 'dev'))).status, 200);
    await until(async () => (await ready(CUT_OFF)) === 503, 'it stays ready');
    await until(async () => (await ready(BOTH)) === 200, 'it does not get ready');
    assert.equal((await ask(BOTH, () => holder.renew(handle, 'dev'))).refused.end_reason, 'logout');
  });

  test('R4 what the old one did acknowledge is missing in the new one: a broker that knows of it serves nobody there', async () => {
    // As somebody would who wants it to work again.
    await old.query(`alter system set synchronous_standby_names = ''`);
    await old.query('select pg_reload_conf()');
    await until(async () => (await ready(CUT_OFF)) === 200, 'it does not get ready');
    const { holder, ask, login } = person('split', CUT_OFF);
    const handle = (await login()).granted.refresh_token ?? '';
    assert.equal((await ask(BOTH, () => holder.renew(handle, 'dev'))).refused.error, 'invalid_grant');
    await brokers.replicas[CUT_OFF]?.kill();
    await old.end('SIGKILL');
    await writeFile(fileOf(CUT_OFF), both);
    await assert.rejects(async () => brokers.replicas[CUT_OFF]?.start(), /was put back to an earlier state/);

    await nextSecond();
    const { code, stderr } = await brokers.command('store', 'accept');
    assert.equal(code, 0, stderr);
    await brokers.replicas[CUT_OFF]?.start();
    await until(async () => (await ready(BOTH)) === 200, 'it does not get ready');
    await nextSecond();
    const after = person('after', BOTH);
    const granted = (await after.login()).granted.refresh_token ?? '';
    for (const n of [BOTH, CUT_OFF])
      assert.equal((await after.ask(n, () => after.holder.renew(granted, 'dev'))).status, 200);
  });
});
