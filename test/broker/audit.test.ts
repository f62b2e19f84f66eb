// `audit verify|tail|export` on real stores: what was done to a record is found, and said where.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, createSecretKey, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, test } from 'node:test';
import { stringify } from 'yaml';
import { GENESIS, type Link, linkOf } from '../../broker/audit_log/chain.ts';
import { verifyAuditLog } from '../../broker/commands/audit_verify.ts';
import { loadConfig } from '../../broker/config/load.ts';
import type { Config } from '../../broker/config/settings.ts';
import { buildBundles } from '../../scripts/bundle.ts';
import { adopt, signalGroup } from '../../scripts/process.ts';
import { run } from '../../scripts/run.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { openStoreDatabase } from '../support/store_database.ts';

const { broker: MAIN } = await buildBundles();

let service: TestService;
let folder: string;
let config: Config;
let copies = 0;

before(async () => {
  service = await startTestService();
  folder = await mkdtemp(path.join(tmpdir(), 'curfew-audit-'));
  config = await loadConfig(service.configFile, { env: {} });
  for (let n = 0; n < 5; n++) {
    const holder = service.holder();
    const who = { sub: `sub-${n}`, email: `person-${n}@example.com` };
    const { refresh_token = '' } = (await service.login(holder, who, { audience: 'dev' })).granted;
    service.advance(60);
    assert.equal((await holder.renew(refresh_token, 'dev')).status, 200);
    await holder.revoke(refresh_token);
    await holder.renew(refresh_token, 'dev');
  }
});
after(async () => {
  await service.stop();
  await rm(folder, { recursive: true, force: true });
});

interface Row extends Link {
  readonly at: number;
  readonly event: string;
  readonly sid: string | null;
  readonly data: string;
}

/** A copy of the store as it is, in one file. */
function copy(): string {
  const file = path.join(folder, `${copies++}.db`);
  using database = openStoreDatabase(service.storeFile);
  database.prepare('vacuum into ?').run(file);
  return file;
}

function rowsOf(file: string): Row[] {
  using database = new DatabaseSync(file, { readOnly: true });
  return database.prepare('select * from audit order by seq').all() as unknown as Row[];
}

async function verify(file: string, ...anchors: readonly string[]): Promise<readonly string[]> {
  return (await verifyAuditLog({ ...config, store: { sqlite: { file } } }, anchors)).lines;
}

/** What is said of a copy to which this was done. */
function verifyAfter(...statements: readonly string[]): Promise<readonly string[]> {
  const file = copy();
  using database = new DatabaseSync(file);
  for (const statement of statements) database.exec(statement);
  return verify(file);
}

const sayRow = (row: Row | undefined) =>
  `row ${row?.seq} (${row?.event}, ${new Date((row?.at ?? 0) * 1000).toISOString().replace('.000', '')})`;

describe('verify', () => {
  test('a record that nobody touched is ok, with its newest row', async () => {
    const file = copy();
    const rows = rowsOf(file);
    const newest = rows.at(-1);
    assert.ok(rows.length >= 26);
    assert.deepEqual(await verify(file), [`ok: ${rows.length} rows, anchor ${newest?.seq}:${newest?.hash}`]);
    assert.deepEqual(await verify(service.storeFile), await verify(file), 'also while the broker has it open');
  });

  test('a changed row is named, with its time and what it is', async () => {
    const row = rowsOf(copy())[16];
    const faults = await verifyAfter(
      `update audit set data = replace(data, 'example.com', 'example.org') where seq = 17`,
    );
    assert.deepEqual(faults, [
      `error: ${sayRow(row)} was changed, or a row before it: its hash does not follow from row 16`,
    ]);
  });

  test('a changed column that is looked for, and a changed hash, are found as well', async () => {
    for (const [column, value] of Object.entries({ at: '1', event: `'mint'`, sid: `'nobody'` })) {
      const [fault = '', ...more] = await verifyAfter(`update audit set ${column} = ${value} where seq = 6`);
      assert.match(fault, new RegExp(`^error: row 6 .* was changed: its column ${column} differs`));
      assert.deepEqual(more, []);
    }
    const faults = await verifyAfter(`update audit set hash = '${'0'.repeat(64)}' where seq = 6`);
    assert.deepEqual(
      faults.map((fault) => /^error: row \d+/.exec(fault)?.[0]),
      ['error: row 6', 'error: row 7'],
    );
  });

  test('removed rows are named, wherever they stood', async () => {
    const rows = rowsOf(copy());
    const last = rows.length;
    assert.deepEqual(await verifyAfter('delete from audit where seq between 5 and 7'), [
      `error: rows 5 to 7 were removed: after row 4 comes ${sayRow(rows[7])}`,
    ]);
    assert.deepEqual(await verifyAfter('delete from audit where seq = 1'), [
      `error: row 1 was removed: at the beginning comes ${sayRow(rows[1])}`,
    ]);
    assert.deepEqual(await verifyAfter(`delete from audit where seq > ${last - 2}`), [
      `error: rows ${last - 1} to ${last} were cut off at the end: the seal is of row ${last}`,
    ]);
    assert.deepEqual(await verifyAfter('delete from audit'), [
      `error: rows 1 to ${last} were cut off at the end: the seal is of row ${last}`,
    ]);
  });

  test('two rows that changed places are found', async () => {
    const faults = await verifyAfter(
      'update audit set seq = -1 where seq = 9',
      'update audit set seq = 9 where seq = 10',
      'update audit set seq = 10 where seq = -1',
    );
    assert.deepEqual(
      faults.map((fault) => /^error: row \d+/.exec(fault)?.[0]),
      ['error: row 9', 'error: row 10', 'error: row 11'],
    );
  });

  test('added rows are found: before the first, in the place of another, after the sealed one', async () => {
    const row = (seq: number) => `insert into audit select ${seq}, at, event, sid, data, hash from audit where seq = 3`;
    assert.match((await verifyAfter(row(0)))[0] ?? '', /^error: row 0 .* is before the first: it was added$/);
    const within = await verifyAfter(
      'update audit set seq = -seq where seq > 3',
      row(4),
      'update audit set seq = 1 - seq where seq < 0',
    );
    assert.match(within[0] ?? '', /^error: row 4 .* its hash does not follow from row 3$/);
    const last = rowsOf(copy()).length;
    const [fault, at_end] = await verifyAfter(row(last + 1));
    assert.match(fault ?? '', new RegExp(`^error: row ${last + 1} .* does not follow from row ${last}$`));
    assert.equal(at_end, `error: row ${last + 1} was added at the end: the seal is of row ${last}`);
  });

  test('the seal: removed, replaced, of an earlier row', async () => {
    assert.match(
      (await verifyAfter('delete from audit_head'))[0] ?? '',
      /^error: the seal of the newest row is missing/,
    );
    const foreign = await verifyAfter(`update audit_head set seal = '${'0'.repeat(64)}'`);
    assert.match(foreign[0] ?? '', /^error: the seal of the newest row does not fit the encryption key/);
    const earlier = await verifyAfter(
      'delete from audit where seq > 10',
      'update audit_head set seq = 10, hash = (select hash from audit where seq = 10)',
    );
    assert.match(earlier[0] ?? '', /^error: the seal of the newest row does not fit the encryption key/);
  });

  /** Makes the whole chain anew, with what was changed in it. @returns the new head */
  function remake(file: string): Link {
    using database = new DatabaseSync(file);
    database.exec(`update audit set data = replace(data, 'person-3', 'person-4')`);
    let link = GENESIS;
    for (const { data } of rowsOf(file)) {
      link = linkOf(link, data);
      database.prepare('update audit set hash = ? where seq = ?').run(link.hash, link.seq);
    }
    return link;
  }

  test('a chain made again without the key does not fit the seal', async () => {
    const file = copy();
    remake(file);
    assert.deepEqual(await verify(file), [`error: row ${rowsOf(file).length} is not the one that was sealed`]);
    const forged = copy();
    const { seq, hash } = remake(forged);
    using database = new DatabaseSync(forged);
    database.prepare('update audit_head set seq = ?, hash = ?').run(seq, hash);
    assert.match((await verify(forged))[0] ?? '', /^error: the seal of the newest row does not fit/);
  });

  test('an anchor noted earlier shows an audit log that was made again, or taken back, together with its seal', async () => {
    const early = copy();
    const { seq, hash } = rowsOf(early).at(-1) ?? GENESIS;
    const anchor = `${seq}:${hash}`;
    const held = `ok: row ${seq} is the one of the anchor`;
    assert.equal((await verify(early, anchor))[1], held);

    await service.login(service.holder(), { sub: 'later', email: 'later@example.com' });
    const late = copy();
    assert.equal((await verify(late, anchor))[1], held, 'the chain has grown and still contains it');
    const newest = rowsOf(late).at(-1) ?? GENESIS;
    const [lost] = await verify(early, `${newest.seq}:${newest.hash}`);
    assert.match(lost ?? '', new RegExp(`^error: row ${newest.seq}, which the anchor names, is not there`));

    const own = { ...config, store: { sqlite: { file: late } }, encryption_key: createSecretKey(randomBytes(32)) };
    const head = remake(late);
    using database = new DatabaseSync(late);
    const { createSealer } = await import('../../broker/audit_log/chain.ts');
    database
      .prepare('update audit_head set hash = ?, seal = ?')
      .run(head.hash, createSealer(own.encryption_key).seal(head));
    assert.match((await verifyAuditLog(own)).lines[0] ?? '', /^ok: /, 'with the key all can be made again');
    const found = (await verifyAuditLog(own, [anchor])).lines;
    assert.match(found[0] ?? '', new RegExp(`^error: row ${seq} is not the one of the anchor`));
  });

  test('any one byte of a row that is changed in the file is found', async () => {
    const file = copy();
    const row = rowsOf(file)[9];
    assert.ok(row);
    const whole = readFileSync(file);
    const stored = Buffer.from(`${row.event}${row.sid ?? ''}${row.data}${row.hash}`);
    const start = whole.indexOf(stored);
    assert.ok(start > 0 && whole.indexOf(stored, start + 1) < 0);
    // Its header stands before it, and before that the row that came next.
    for (let at = start - 16; at < start + stored.length; at++) {
      const changed = Buffer.from(whole);
      changed[at] = (changed[at] ?? 0) ^ 1;
      writeFileSync(file, changed);
      const [line = ''] = await verify(file);
      assert.match(line, /^error: /, `byte ${at - start}`);
    }
  });

  test('of many faults the first hundred are told, and the others counted', async () => {
    const file = copy();
    using database = new DatabaseSync(file);
    const more = database.prepare(`insert into audit (seq, at, event, data, hash) values (?, 0, 'x', '{}', '')`);
    for (let n = 0; n < 500; n++) more.run(n + 1000);
    const faults = await verify(file);
    assert.equal(faults.length, 101);
    assert.match(faults.at(-1) ?? '', /^error: and \d+ more$/);
  });

  test('what a changed row says of itself reaches no terminal as it is', async () => {
    const faults = await verifyAfter(`update audit set event = char(27) || '[2J', at = 9e15 where seq = 4`);
    assert.match(faults[0] ?? '', /^error: row 4 \(of no known event, at no known time\) was changed/);
  });
});

function audit(...words: readonly string[]) {
  return run(process.execPath, [MAIN, 'audit', ...words]);
}

/** A configuration whose store is this file. */
async function configWith(file: string): Promise<string> {
  const name = path.join(folder, `${copies++}.yaml`);
  const { keys, ...rest } = await import('yaml').then(({ parse }) => parse(readFileSync(service.configFile, 'utf8')));
  const key = path.resolve(path.dirname(service.configFile), keys.encryption_key_file);
  await writeFile(name, stringify({ ...rest, keys: { encryption_key_file: key }, store: { sqlite: { file } } }));
  return name;
}

describe('as commands', () => {
  test('verify ends with 0 or 78, and works while the broker runs and writes', async () => {
    let writing = true;
    const writes = (async () => {
      for (let n = 0; writing; n++) {
        await service.login(service.holder(), { sub: `w-${n}`, email: `w-${n}@example.com` });
      }
    })();
    const good = await audit('verify', '--config', service.configFile);
    writing = false;
    await writes;
    assert.deepEqual([good.code, good.stderr], [0, '']);
    assert.match(good.stdout, /^ok: \d+ rows, anchor \d+:[0-9a-f]{64}\n$/);

    const file = copy();
    using database = new DatabaseSync(file);
    database.exec('delete from audit where seq = 2');
    const bad = await audit('verify', '--config', await configWith(file));
    assert.equal(bad.code, 78);
    assert.match(bad.stdout, /^error: row 2 was removed/);
  });

  test('a file that is not there, is no store, or is of another version is named, and nothing is made of it', async () => {
    const missing = path.join(folder, 'missing.db');
    const foreign = path.join(folder, 'foreign.db');
    const text = path.join(folder, 'text.db');
    const [older, newer] = [copy(), copy()];
    new DatabaseSync(foreign).exec('create table t (x)');
    await writeFile(text, 'not a database, but long enough to be looked at as one'.repeat(20));
    new DatabaseSync(older).exec(`delete from kysely_migration where name = '0002_ends'`);
    new DatabaseSync(newer).exec(
      `insert into kysely_migration values ('0999_later', ''); update store_state set oldest_reader = 999`,
    );
    const said = {
      [missing]: 'is not there',
      [foreign]: 'is not a store of curfew-broker',
      [text]: 'cannot be read as a store',
    };
    const cases = { ...said, [older]: 'is of an earlier version', [newer]: 'is of a later version' };
    for (const [file, what] of Object.entries(cases)) {
      const { code, stdout, stderr } = await audit('verify', '--config', await configWith(file));
      assert.deepEqual([code, stdout], [78, '']);
      assert.ok(stderr.includes(`store.sqlite.file: ${file} ${what}`), stderr);
    }
    assert.equal((await readdir(folder)).includes('missing.db'), false);
  });

  test('export prints each row as JSON, in order, with its place in the chain; --since from an instant on, or some time back', async () => {
    const file = copy();
    const rows = rowsOf(file);
    const name = await configWith(file);
    const whole = await audit('export', '--config', name);
    assert.equal(whole.code, 0);
    const lines = whole.stdout.trimEnd().split('\n');
    assert.deepEqual(
      lines.map((line) => JSON.parse(line)),
      rows.map(({ data, seq, hash }) => ({ ...JSON.parse(data), seq, hash })),
    );
    const since = rows[12]?.at ?? 0;
    const later = rows.filter(({ at }) => at >= since);
    assert.ok(later.length > 0 && later.length < rows.length);
    const time = new Date(since * 1000).toISOString();
    const part = await audit('export', '--config', name, '--since', time);
    assert.deepEqual(part.stdout.trimEnd().split('\n'), lines.slice(-later.length));
    // The test's clock is ahead of the machine's: all of it is later than an hour ago.
    assert.equal((await audit('export', '--config', name, '--since', '1h')).stdout, whole.stdout);
    assert.equal((await audit('export', '--config', name, '--since', '2099-01-01T00:00:00Z')).stdout, '');
    for (const words of [
      ['export', '--since', 'yesterday'],
      ['verify', '--anchor', '12'],
    ]) {
      const { code, stderr } = await audit(...words, '--config', name);
      assert.equal(code, 64);
      assert.match(stderr, /--(since|anchor): expected/);
    }
  });

  test('tail prints the last rows, and with --follow those that come, also after a restart of the broker', async () => {
    const plain = await audit('tail', '--config', service.configFile);
    const last = rowsOf(copy()).slice(-20);
    assert.deepEqual(
      plain.stdout
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line).seq),
      last.map(({ seq }) => seq),
    );
    const child = spawn(process.execPath, [MAIN, 'audit', 'tail', '--config', service.configFile, '--follow'], {
      stdio: ['ignore', 'pipe', 'inherit'],
      detached: true,
    });
    const release = adopt(child.pid ?? 0);
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const next = async () => JSON.parse((await lines.next()).value ?? '');
    for (const { seq } of last) assert.equal((await next()).seq, seq);
    const { granted } = await service.login(service.holder(), { sub: 'followed', email: 'followed@example.com' });
    const login = await next();
    assert.deepEqual([login.event, login.sid, login.seq], ['login', granted.session.sid, (last.at(-1)?.seq ?? 0) + 1]);
    await service.restart();
    assert.equal((await next()).event, 'policy');
    signalGroup(child.pid ?? 0, 'SIGTERM');
    await once(child, 'exit');
    release();
  });

  test('a reader that goes away ends an export', async () => {
    const child = spawn(process.execPath, [MAIN, 'audit', 'export', '--config', service.configFile], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    child.stdout.destroy();
    const [code] = await once(child, 'exit');
    assert.equal(code, 0);
  });
});

test('rows are hashed as bytes: text that reads the same is not the same', () => {
  const bytes = Buffer.from('{"a":"\uFFFD"}');
  const other = Buffer.from(bytes.toString('latin1').replace('\u00ef\u00bf\u00bd', '\u00ff'), 'latin1');
  assert.equal(other.toString(), bytes.toString());
  assert.notEqual(linkOf(GENESIS, other).hash, linkOf(GENESIS, bytes).hash);
  assert.equal(
    linkOf(GENESIS, bytes).hash,
    createHash('sha256').update(`${GENESIS.hash}\n1\n{"a":"\uFFFD"}`).digest('hex'),
  );
});
