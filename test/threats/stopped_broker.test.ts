// A broker whose process is stopped (SIGSTOP) between what it decided and what it signs, as a machine that is paused or moved: what was
// ended meanwhile at another one gets no token when it continues.

import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { fromMilliseconds } from '../../shared/time.ts';
import { type Brokers, makeBrokers } from '../support/brokers.ts';
import { Holder } from '../support/holder.ts';
import { until } from '../support/patience.ts';
import { type Postgres, startPostgres } from '../support/postgres.ts';
import { ISSUER } from '../support/service.ts';

const NAME = 'stopped';
/** More than the 2 s after which nothing is signed. */
const STOPPED_MS = 2_500;

describe('R1 a broker that is stopped after it decided', () => {
  let server: Postgres;
  let url: string;
  let brokers: Brokers;
  before(async () => {
    server = await startPostgres();
    url = await server.createDatabase(NAME);
    brokers = await makeBrokers({ database: url, count: 2 });
    for (const replica of brokers.replicas) await replica.start();
  });
  afterEach(() => signal('SIGCONT'));
  after(async () => {
    await brokers?.remove();
    await server?.stop();
  });

  const signal = (name: 'SIGSTOP' | 'SIGCONT') => {
    const pid = brokers?.replicas[0]?.process?.pid;
    if (pid !== undefined) process.kill(pid, name);
  };
  const now = () => fromMilliseconds(Date.now());
  /** A person who asks whichever broker is told. */
  const person = (sub: string) => {
    const [first, second] = brokers.urls();
    const place = { issuer: ISSUER, url: first ?? '' };
    const holder = new Holder(place, now);
    const at = now();
    const login = { iss: brokers.issuer.issuer, aud: 'curfew', sub, iat: at, exp: at + 300, auth_time: at };
    const more = { nonce: holder.nonce, email: `${sub}@example.com`, email_verified: true, groups: ['dev'] };
    const exchange = (fields = {}) => holder.exchange(brokers.issuer.sign({ ...login, ...more }), fields);
    const elsewhere = async <T>(ask: () => Promise<T>): Promise<T> => {
      const { url: before } = place;
      place.url = second ?? '';
      try {
        return await ask();
      } finally {
        place.url = before;
      }
    };
    return { holder, exchange, elsewhere };
  };
  /** What the first broker does in the database waits for what this statement locks, until it is released. */
  const blocking = async (statement: string, values: readonly string[] = []) => {
    const client = new Client({ connectionString: url });
    await client.connect();
    await client.query('begin');
    await client.query(statement, [...values]);
    return {
      /** Such a statement does; that of a sweep may as well. */
      waits: (like: string, otherwise: () => Promise<void> = async () => undefined) =>
        until(async () => {
          const text = `select from pg_stat_activity
            where datname = '${NAME}' and wait_event_type = 'Lock' and query ilike '${like}'`;
          const is_waiting = (await server.query(text)).length > 0;
          if (!is_waiting) await otherwise();
          return is_waiting;
        }, 'nothing waits'),
      async release() {
        await client.query('rollback');
        await client.end();
      },
    };
  };
  /** Nothing of it is at work in the database any more: what it asked for is done. */
  const idle = () =>
    until(async () => {
      const text = `select from pg_stat_activity where datname = '${NAME}' and state = 'active' and pid <> pg_backend_pid()`;
      return (await server.query(text)).length === 0;
    }, 'something is still at work');

  test('R1 I1 a renewal that was committed before the session ended elsewhere gets no token after that', async () => {
    const { holder, exchange, elsewhere } = person('renews');
    const { granted } = await exchange();
    const handle = granted.refresh_token ?? '';
    const row = await blocking('select from session where sid = $1 for update', [granted.session.sid]);
    let renewal = holder.renew(handle, 'dev');
    // A busy machine sends it away before it is decided.
    const again = async () => {
      const sent = renewal;
      const is_over = await Promise.race([sent.then(() => true), sleep(1_000).then(() => false)]);
      if (is_over) renewal = holder.renew(handle, 'dev');
    };
    await row.waits('%renew_commit%', again);
    signal('SIGSTOP');
    await row.release();
    await idle();
    // On a busy machine it may be sent away at first.
    await until(async () => (await elsewhere(() => holder.revoke(handle))).status === 200, 'it is not ended');
    await sleep(STOPPED_MS);
    signal('SIGCONT');
    assert.equal((await renewal).status, 503);
    await until(async () => (await holder.renew(handle, 'dev')).status !== 503, 'it does not heal');
    assert.equal((await holder.renew(handle, 'dev')).refused.reason, 'session_ended');
    // It was recorded, as it was committed: what the record shows is more than what was handed out, never less.
    const minted = `select from audit where event = 'mint' and sid = '${granted.session.sid}' and data like '%"dev"%'`;
    assert.equal((await server.query(minted, NAME)).length, 1);
  });

  test('R1 a login that was decided before it was stopped gets no token when it continues', async () => {
    const { exchange } = person('logs-in');
    const table = await blocking('lock table id_token_use in share mode');
    const login = exchange({ audience: 'dev' });
    await table.waits('insert into "id_token_use"%');
    signal('SIGSTOP');
    await table.release();
    await idle();
    await sleep(STOPPED_MS);
    signal('SIGCONT');
    assert.equal((await login).status, 503);
    // The holder's own retry.
    await until(async () => (await exchange({ audience: 'dev' })).status === 200, 'it does not heal');
  });
});
