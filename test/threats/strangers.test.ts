// H7: what strangers may cause to be written is bounded, however often they come, with how many keys, from how many addresses.
// The long form: test/long/strangers.long.ts.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { statSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { startTestService, type TestService } from '../support/service.ts';
import { openStoreDatabase } from '../support/store_database.ts';
import { addressOf, KINDS } from '../support/strangers.ts';

let service: TestService;

/** Rows of the audit log that strangers may cause at once, and each minute after that; with the one that stands for the others. */
const [AT_ONCE, A_MINUTE] = [100, 12] as const;

before(async () => {
  service = await startTestService({
    trusted_proxies: ['127.0.0.0/8'],
  });
});
after(() => service.stop());

/** Rows of every table. */
function rows(): Readonly<Record<string, number>> {
  using database = openStoreDatabase(service.storeFile);
  const tables = database.prepare("select name from sqlite_master where type = 'table'").all();
  return Object.fromEntries(
    tables.map(({ name }) => [
      String(name),
      Number(database.prepare(`select count(*) as n from ${String(name)}`).get()?.n),
    ]),
  );
}
const pages = () => ['', '-wal'].reduce((sum, suffix) => sum + statSync(service.storeFile + suffix).size, 0);

async function flood(kinds: typeof KINDS, count: number, from: (i: number) => string): Promise<void> {
  for (let i = 0; i < count; i += 20) {
    const some = Array.from({ length: Math.min(20, count - i) }, async (_, j) => {
      const kind = kinds[(i + j) % kinds.length];
      assert.ok(kind);
      const { status } = await kind.send(service, service.holder(), from(i + j));
      assert.ok(kind.statuses.includes(status), `${kind.name}: ${status}`);
    });
    await Promise.all(some);
  }
}

function grown(before: ReturnType<typeof rows>): Readonly<Record<string, number>> {
  const more = Object.entries(rows()).map(([table, count]) => [table, count - (before[table] ?? 0)] as const);
  return Object.fromEntries(more.filter(([, count]) => count !== 0));
}

describe('strangers', () => {
  for (const kind of KINDS) {
    test(`H7 a ${kind.name}, 40 times with keys made on the spot: at most a row of the audit log, and no other`, async () => {
      service.advance(3600);
      await service.sweep();
      const before = rows();
      await flood([kind], 40, () => '203.0.113.9');
      const { audit = 0, ...others } = grown(before);
      assert.deepEqual(others, {});
      // Where logins fail: the refusal, then that they do, twice as often each time, and that it is waited for now.
      assert.ok(audit <= (kind.statuses.includes(429) ? 4 : 1), `${audit} rows`);
    });
  }

  test('H7 1,000 requests of every kind from as many networks: a bounded number of rows, and of pages', async () => {
    service.advance(3600);
    await service.sweep();
    const [before, size] = [rows(), pages()];
    await flood(KINDS, 1000, addressOf);
    const { audit = 0, ...others } = grown(before);
    assert.deepEqual(others, {});
    assert.ok(audit <= AT_ONCE + A_MINUTE, `${audit} rows`);
    assert.ok(pages() - size < 2_000_000, 'the log of the database is bounded by itself');
    service.advance(61);
    await service.sweep();
    assert.ok((grown(before).audit ?? 0) <= AT_ONCE + 3 * A_MINUTE, 'also with what was counted');
    const counted = service.audit.flatMap((event) => (event.event === 'refusal' ? [event.repeated ?? 0] : []));
    assert.ok(counted.reduce((sum, repeated) => sum + repeated, 0) > 300, 'and none of it is hidden');
  });

  test('H7 a stranger with a handle that is another’s has a few rows a minute that say whose, and the owner keeps theirs', async () => {
    service.advance(3600);
    const holder = service.holder();
    const { granted } = await service.login(holder, { sub: 'owner', email: 'owner@example.com' });
    const handle = granted.refresh_token ?? '';
    const before = service.audit.length;
    for (let i = 0; i < 40; i++) {
      assert.equal((await service.holder().renew(handle, 'dev')).refused.reason, 'unknown_session');
    }
    const tried = service.audit.slice(before);
    const whose = tried.flatMap(({ sid }) => sid ?? []);
    assert.deepEqual(new Set(whose), new Set([granted.session.sid]));
    assert.ok(whose.length >= 1 && whose.length <= 5, `${whose.length} rows`);
    for (let i = 0; i < 30; i++) {
      assert.equal((await holder.renew(handle, 'nowhere')).refused.reason, 'invalid_target');
    }
    const own = service.audit
      .slice(before)
      .filter((event) => event.event === 'refusal' && event.reason === 'invalid_target');
    assert.equal(own.length, 30);
  });

  test('H7 somebody with a session who is refused on and on has a row for each, within bounds; the rest is counted', async () => {
    service.advance(3600);
    const holder = service.holder();
    const { granted } = await service.login(holder, { sub: 'wild', email: 'wild@example.com' });
    const handle = granted.refresh_token ?? '';
    const before = service.audit.length;
    for (let i = 0; i < 160; i++) await holder.renew(handle, 'nowhere');
    const own = () => service.audit.slice(before).filter(({ event, sub }) => event === 'refusal' && sub === 'wild');
    assert.equal(own().length, 101, 'a hundred, and the first of those that are counted');
    service.advance(61);
    await service.sweep();
    const last = own().at(-1);
    assert.deepEqual(last?.event === 'refusal' && [last.username, last.repeated], ['curfew:wild@example.com', 58]);
    const mints = () => service.audit.filter(({ event }) => event === 'mint').length;
    const minted = mints();
    for (let i = 0; i < 30; i++) assert.equal((await holder.renew(handle, 'dev')).status, 200);
    assert.equal(mints() - minted, 30, 'a token is never without its row');
  });

  test('H7 a flood of failing logins from many networks is told and reported a bounded number of times', async () => {
    service.advance(3600);
    const before = service.audit.length;
    const [login] = KINDS.filter(({ name }) => name.startsWith('login with'));
    assert.ok(login);
    // 20 from each network are enough to be told once.
    await flood([login], 1600, (i) => addressOf(Math.floor(i / 20) * 2));
    const told = service.audit.slice(before).filter(({ event }) => event === 'failed_logins');
    assert.ok(told.length > 0 && told.length <= AT_ONCE, `${told.length}`);
  });

  test('H7 what is refused of nobody’s session does not wait for the store', async () => {
    service.advance(3600);
    // The row of the first; those after it need none.
    await service.holder().renew('x', 'dev');
    using other = openStoreDatabase(service.storeFile);
    other.exec('begin immediate');
    try {
      // All at once: what the broker does in the background may wait for the store meanwhile, and holds up this process.
      const asked = Array.from({ length: 20 }, () =>
        service.holder().renew(randomBytes(32).toString('base64url'), 'dev'),
      );
      for (const { status } of await Promise.all(asked)) assert.equal(status, 400);
    } finally {
      other.exec('rollback');
    }
  });
});
