// H7, long form: half a million requests of strangers, with keys made on the spot and from as many networks, leave the disk as it
// was. They take less than 10 min on two cores; STRANGERS=1000000 takes twice as long.

import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { test } from 'node:test';
import { startTestService } from '../support/service.ts';
import { openStoreDatabase } from '../support/store_database.ts';
import { addressOf, KINDS } from '../support/strangers.ts';

const COUNT = Number(process.env.STRANGERS ?? 500_000);
/** As many requests as one second brings. */
const A_SECOND = 500;
const AT_ONCE = 50;

test(`H7 ${COUNT} requests of strangers: the file as large as before, but for a few rows a minute`, async () => {
  const say = (what: string) => process.stdout.write(`# ${what}\n`);
  const service = await startTestService({ trusted_proxies: ['127.0.0.0/8'] });
  const rows = () => {
    using database = openStoreDatabase(service.storeFile);
    const count = (table: string) => Number(database.prepare(`select count(*) as n from ${table}`).get()?.n);
    return { audit: count('audit'), others: count('proof') + count('failed_login') + count('id_token_use') };
  };
  const size = () => ['', '-wal'].reduce((sum, suffix) => sum + statSync(service.storeFile + suffix).size, 0);
  const seen = () => ({ ...rows(), size: size(), memory: process.memoryUsage().rss });
  try {
    const before = seen();
    for (let i = 0; i < COUNT; i += AT_ONCE) {
      const holder = service.holder();
      const some = Array.from({ length: AT_ONCE }, (_, j) =>
        KINDS[(i + j) % KINDS.length]?.send(service, j % 10 === 0 ? service.holder() : holder, addressOf(i + j)),
      );
      await Promise.all(some);
      if (i % A_SECOND === 0) service.advance(1);
      if (i % (A_SECOND * 60) === 0) await service.sweep();
      if (i % (AT_ONCE * Math.ceil(COUNT / AT_ONCE / 20)) === 0) say(`${i} requests: ${JSON.stringify(seen())}`);
    }
    const after = seen();
    say(`${COUNT} requests of strangers: ${JSON.stringify({ before, after })}`);
    const minutes = Math.ceil(COUNT / A_SECOND / 60);
    assert.ok(after.audit - before.audit <= 200 + 25 * minutes, `${after.audit - before.audit} rows`);
    assert.equal(after.others, before.others);
    assert.ok(after.size - before.size < 8_000_000, `${after.size - before.size} bytes`);
  } finally {
    await service.stop();
  }
});
