// `curfew-broker store copy`: a running installation moves from SQLite to PostgreSQL, and nothing of it is lost, comes back, or is in use in
// both places.

import assert from 'node:assert/strict';
import { copyFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { createClusterApis } from '../../broker/api_servers/apis.ts';
import { accept } from '../../broker/commands/administration_commands.ts';
import { verifyAuditLog } from '../../broker/commands/audit_verify.ts';
import { STEPS } from '../../broker/commands/store_copy.ts';
import { openForCommand, openStore } from '../../broker/open_store.ts';
import { type MovingStore, startMovingStore } from '../support/moving_store.ts';
import { type Postgres, startPostgres } from '../support/postgres.ts';
import { openStoreDatabase } from '../support/store_database.ts';

let server: Postgres;
before(async () => {
  server = await startPostgres();
});
after(() => server?.stop());

describe('store copy', () => {
  let place: MovingStore;
  beforeEach(async () => {
    place = await startMovingStore(server);
  });
  afterEach(() => place.service.stop());

  const login = async (sub: string, more: Readonly<Record<string, unknown>> = {}) => {
    const { service } = place;
    const holder = service.holder();
    const id_token = service.issuer.sign(service.claims(holder, { sub, email: `${sub}@example.com`, ...more }));
    const { granted } = await holder.exchange(id_token, { audience: 'dev' });
    return { holder, id_token, handle: granted.refresh_token ?? '', sid: granted.session.sid };
  };

  test('moves all: sessions continue, ended ones stay ended, what was used stays used, and the audit log is whole', async () => {
    const { service } = place;
    const [kept, ended] = [await login('kept'), await login('ended')];
    const proof = kept.holder.proof();
    assert.equal((await kept.holder.renew(kept.handle, 'dev', {}, proof)).status, 200);
    service.advance(5);
    const old = service.claims(ended.holder, { sub: 'ended', email: 'ended@example.com' });
    service.advance(5);
    assert.equal((await ended.holder.revoke(ended.handle)).status, 200);
    for (let n = 0; n < 6; n++) await service.login(service.holder(), { sub: 'fails', auth_time: service.now - 7_200 });
    await service.halt();
    const before = await verifyAuditLog(await place.load('sqlite'));
    const anchor = /anchor (\S+)/.exec(before.lines[0] ?? '')?.[1] ?? '';

    const lines = await place.copy();
    assert.match(lines[0] ?? '', /^ok: \d+ rows in \d+ tables were copied and compared$/);
    const verified = await verifyAuditLog(await place.load('postgres'), [`0:${anchor}`]);
    assert.equal(verified.exit, 0, verified.lines.join('\n'));

    await place.toPostgres();
    const fails = await service.login(service.holder(), { sub: 'fails', auth_time: service.now - 7_200 });
    assert.equal(fails.refused.reason, 'too_many_failures');
    assert.equal((await kept.holder.renew(kept.handle, 'dev')).status, 200);
    assert.notEqual((await kept.holder.renew(kept.handle, 'dev', {}, proof)).status, 200, 'a proof used twice');
    assert.equal((await ended.holder.renew(ended.handle, 'dev')).refused.reason, 'session_ended');
    const again = service.holder();
    const old_login = service.issuer.sign({ ...old, nonce: again.nonce, iat: service.now, exp: service.now + 300 });
    assert.equal((await again.exchange(old_login)).refused.reason, 'login_after');
    assert.notEqual((await service.holder().exchange(kept.id_token)).status, 200, 'an ID token used twice');
    service.advance(2);
    const fresh = await login('new');
    assert.equal((await fresh.holder.renew(fresh.handle, 'dev')).status, 200);
    const { lines: found, exit } = await verifyAuditLog(await place.load('postgres'), [`0:${anchor}`]);
    assert.equal(exit, 0, found.join('\n'));
    using database = openStoreDatabase(place.url);
    const copies = database.prepare(`select lane, data from audit where event = 'store_copy' order by lane`).all();
    assert.deepEqual(
      copies.map(({ lane, data }) => [lane === 0, JSON.parse(String(data)).step]),
      [
        [true, 'begun'],
        [false, 'done'],
      ],
    );
    assert.equal(database.prepare('select count(*) as count from audit_lane where lane = 0').get()?.count, 1);
  });

  test('leaves a file that no broker starts on, nor any command that writes, each naming where the store is', async () => {
    const { service, folder, file } = place;
    await login('somebody');
    await service.halt();
    const backup = path.join(folder, 'backup.db');
    copyFileSync(file, backup);
    await place.copy();
    const named = { code: 'configuration', message: /was moved to PostgreSQL \(database test_/ };
    const { store } = await place.load('sqlite');
    await assert.rejects(openStore(store, await place.options()), named);
    for (const make of [false, true]) await assert.rejects(openForCommand(store, await place.options(), make), named);
    // Also where the file is put back to what it was before.
    copyFileSync(backup, file);
    await assert.rejects(openStore(store, await place.options()), { code: 'store', hint: /store accept/ });
    assert.ok(await place.usable('postgres'));
  });

  test('run again says that it is done, and where the other database is another one, where the store is', async () => {
    await place.service.halt();
    await place.copy();
    assert.match((await place.copy()).join('\n'), /^ok: the store is in PostgreSQL/);
    writeFileSync(path.join(place.folder, 'database'), await server.createDatabase(), { mode: 0o600 });
    await assert.rejects(place.copy(), { code: 'configuration', message: new RegExp(`database ${place.name} at`) });
  });

  describe('changes nothing, and says why', () => {
    /** Refused so; then the broker continues on the file, and the same command can be run once more. */
    const refused = async (code: string, message: RegExp) => {
      await assert.rejects(place.copy(), (error: unknown) => {
        assert.ok(error instanceof Error && 'code' in error);
        assert.equal(error.code, code, error.message);
        assert.match(error.message, message);
        return true;
      });
      assert.equal(await place.usable('postgres'), false);
    };
    /** In the file, while nothing runs on it. */
    const inFile = (text: string) => {
      using database = openStoreDatabase(place.file);
      database.exec(text);
    };

    test('while a broker runs, or something reads', async () => {
      const { holder, handle } = await login('busy');
      await refused('store', /is in use: a process has it open/);
      assert.equal((await holder.renew(handle, 'dev')).status, 200);
      await place.service.halt();
      const reader = openStoreDatabase(place.file);
      reader.prepare('select * from session').all();
      await refused('store', /is in use/);
      reader.close();
      await place.copy();
    });

    test('with another encryption key', async () => {
      await place.service.halt();
      writeFileSync(path.join(place.folder, 'key'), Buffer.alloc(32, 7).toString('base64'), { mode: 0o600 });
      await refused('configuration', /encrypted with another encryption key/);
    });

    test('where the file was put back, or its audit log was changed', async () => {
      await login('one');
      await place.service.halt();
      const backup = path.join(place.folder, 'backup.db');
      copyFileSync(place.file, backup);
      await place.service.restart();
      await login('two');
      await place.service.halt();
      copyFileSync(backup, place.file);
      await refused('store', /was put back to an earlier state/);
      rmSync(path.join(place.folder, 'witness'), { recursive: true });
      await refused('store', /had a witness/);
      inFile(`update store_state set witnessed = 0; update audit set data = replace(data, 'one', 'two') where seq = 2`);
      await refused('store', /is not as it was written: row 2 /);
    });

    test('where the database is not empty: a store in use, an unfinished copy of another, tables of a stranger', async () => {
      await place.service.halt();
      const other = await startMovingStore(server);
      await other.service.halt();
      await other.copying('filled');
      const unfinished = other.url;
      await other.service.stop();
      const wrong = async (url: string, message: RegExp) => {
        writeFileSync(path.join(place.folder, 'database'), url, { mode: 0o600 });
        await refused('configuration', message);
      };
      await wrong(unfinished, /not empty: it holds an unfinished copy of another store/);
      const strangers = await server.createDatabase();
      await server.query('create table invoices (id int)', new URL(strangers).pathname.slice(1));
      await wrong(strangers, /not empty: it has a table invoices/);
      writeFileSync(path.join(place.folder, 'database'), place.url, { mode: 0o600 });
      await place.toPostgres();
      await place.service.halt();
      await assert.rejects(place.copy(), { code: 'configuration', message: /not empty: table \w+ has rows/ });
      assert.ok(await place.usable('sqlite'));
    });

    test('for a store of an earlier version, or of a later one', async () => {
      await place.service.halt();
      inFile(`insert into kysely_migration (name, timestamp) values ('9999_later', 'later')`);
      await refused('configuration', /is of a later version/);
      inFile(`delete from kysely_migration where name >= '0009'`);
      await refused('configuration', /is of an earlier version/);
    });

    const rows: Readonly<Record<string, readonly [change: string, message: RegExp]>> = {
      'a NUL character': [
        `insert into person (iss, sub, username) values ('i', 'a' || char(0) || 'b', 'u')`,
        /^table person, row \d+ \(iss "i", sub "a\\u0000b"\) has a NUL character in sub/,
      ],
      'half of a surrogate pair': [
        `insert into past_name (iss, username, sub) values ('i', cast(x'61eda080' as text), 's')`,
        /^table past_name, row 1 \(iss "i", username "a.*", sub "s"\) has text in username that is not UTF-8/,
      ],
      'a key that is too long': [
        `insert into login_after (iss, kind, id, instant) values ('i', 'sub', hex(randomblob(1500)), 1)`,
        /^table login_after, row 1 \(.*\.\.\."\) has a key that is too long for PostgreSQL \(iss, kind, id:/,
      ],
      'a number that is too large': [
        `insert into counted_login (iss, sub, raw, auth_time) values ('i', 's', 1, 9007199254740993)`,
        /^table counted_login, row 1 \(iss "i", sub "s", raw "1"\) has a number in auth_time/,
      ],
    };
    for (const [what, [change, message]] of Object.entries(rows)) {
      test(`for a row with ${what}, naming it`, async () => {
        const { holder, handle } = await login('kept');
        await place.service.halt();
        inFile(change);
        await refused('configuration', message);
        await place.service.restart();
        assert.equal((await holder.renew(handle, 'dev')).status, 200);
      });
    }
  });

  test('that is not finished is taken into use by store accept, where the file is lost', async () => {
    const { holder, handle } = await login('before');
    await place.service.halt();
    await place.copying('left');
    for (const part of ['', '-wal', '-shm']) rmSync(place.file + part, { force: true });
    assert.deepEqual([await place.usable('sqlite'), await place.usable('postgres')], [false, false]);
    place.service.advance(2);
    const around = { now: () => place.service.now, by: 'test', apis: createClusterApis(), log: console };
    const { exit, lines } = await accept('store accept', await place.load('postgres'), around);
    assert.equal(exit, 0, lines.join('\n'));
    assert.deepEqual([await place.usable('sqlite'), await place.usable('postgres')], [false, true]);
    await place.toPostgres();
    assert.notEqual((await holder.renew(handle, 'dev')).status, 200, 'everything of before is over');
    place.service.advance(2);
    const fresh = await login('after');
    assert.equal((await fresh.holder.renew(fresh.handle, 'dev')).status, 200);
    const verified = await verifyAuditLog(await place.load('postgres'));
    assert.equal(verified.exit, 0, verified.lines.join('\n'));
  });

  describe('that is killed', () => {
    for (const step of ['rows of audit', 'rows of session', ...STEPS]) {
      test(`F12 at "${step}": never both are in use, and the same command resumes there`, async () => {
        const { holder, handle } = await login('kept');
        await place.service.halt();
        const { signal } = await place.copying(step);
        assert.equal(signal, 'SIGKILL');
        const usable = [await place.usable('sqlite'), await place.usable('postgres')];
        const before = ['rows of audit', 'rows of session', 'checked', 'begun', 'filled', 'verified'].includes(step);
        // Between two databases that are written one after the other there is one moment when neither is.
        assert.deepEqual(usable, [before, step === 'taken']);
        if (before) {
          await place.service.restart();
          assert.equal((await holder.renew(handle, 'dev')).status, 200);
          await place.service.halt();
        }
        await place.copy();
        assert.deepEqual([await place.usable('sqlite'), await place.usable('postgres')], [false, true]);
        await place.toPostgres();
        assert.equal((await holder.renew(handle, 'dev')).status, 200);
        const { lines, exit } = await verifyAuditLog(await place.load('postgres'));
        assert.equal(exit, 0, lines.join('\n'));
      });
    }
  });
});
