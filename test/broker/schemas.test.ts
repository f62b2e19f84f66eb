// The tables of both databases, as their migrations leave them: the same tables, columns and indexes. And which version of them a program
// may use.

import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { after, before, beforeEach, describe, test } from 'node:test';
import { openAuditLog } from '../../broker/store/audit_log.ts';
import { MIGRATIONS } from '../../broker/store/migrations.ts';
import type { Store } from '../../broker/store/store.ts';
import { VERSION } from '../../broker/store/version.ts';
import { seconds } from '../../shared/time.ts';
import { DATABASES, type Stores, startStores } from '../support/stores.ts';

/** What one of them has and the other has not, each with its reason. */
const ONLY = {
  sqlite: {
    audit_head: 'one chain, and its head',
    sqlite_sequence: 'of SQLite itself, for numbers that are never given twice',
  },
  postgres: { audit_lane: 'a chain for each connection, and their heads' },
} as const;
/** Columns and indexes likewise: rows of one chain need no lane, and those of 0.1.0 got their hash later; a file has no server. */
const DIFFERENT: readonly string[] = [
  ...['audit.lane', 'audit.primary', 'audit(at,lane,seq)', 'audit.hash'],
  ...['store_state.system_id', 'store_state.timeline'],
];

interface Table {
  /** Type, whether null is allowed, and the default. */
  readonly columns: Readonly<Record<string, string>>;
  /** By what is indexed: whether unique, and which rows. */
  readonly indexes: Readonly<Record<string, string>>;
}
type Tables = Readonly<Record<string, Table>>;

const TYPES: Readonly<Record<string, string>> = { integer: 'bigint', blob: 'bytea' };

/** Without what the databases write differently of the same expression. */
function plain(expression: string | null): string {
  return (expression ?? '').toLowerCase().replaceAll(/::\w+|[()\s"]|collate\s*"c"/g, '');
}

function tablesOfSqlite(file: string): Tables {
  const database = new DatabaseSync(file, { readOnly: true });
  try {
    const all = (text: string, ...values: string[]) =>
      database.prepare(text).all(...values) as Record<string, string | number | null>[];
    const tables = all(`select name from sqlite_master where type = 'table' and name not like 'kysely%'`);
    return Object.fromEntries(
      tables.map(({ name }) => {
        const table = String(name);
        const found = all('select * from pragma_table_info(?)', table);
        const columns = Object.fromEntries(
          found.map(({ name, type, notnull, pk, dflt_value }) => [
            name,
            [
              TYPES[String(type).toLowerCase()] ?? String(type).toLowerCase(),
              notnull === 1 || pk !== 0 ? 'not null' : 'null',
              plain(dflt_value as string | null),
            ].join(' '),
          ]),
        );
        const key = found.filter(({ pk }) => pk !== 0).sort((a, b) => Number(a.pk) - Number(b.pk));
        const indexes: Record<string, string> = { primary: key.map(({ name }) => name).join(',') };
        for (const { name, unique, origin } of all('select * from pragma_index_list(?)', table)) {
          if (origin === 'pk') continue;
          const [made] = all('select sql from sqlite_master where name = ?', String(name));
          const [, on = '', where = ''] =
            /\(((?:[^()]|\([^()]*\))*)\)(?:\s*where (.*))?$/is.exec(String(made?.sql ?? '')) ?? [];
          const keys = all('select name from pragma_index_info(?)', String(name)).map(({ name }) => name);
          const of = on === '' ? keys.join(',') : plain(on);
          indexes[`(${of})`] = [unique === 1 ? 'unique' : '', plain(where)].join(' ');
        }
        return [table, { columns, indexes }];
      }),
    );
  } finally {
    database.close();
  }
}

async function tablesOfPostgres({ server, place }: Stores): Promise<Tables> {
  const name = new URL(place).pathname.slice(1);
  const all = async (text: string) => ((await server?.query(text, name)) ?? []) as Record<string, string | boolean>[];
  const columns =
    await all(`select table_name, column_name, data_type, is_nullable, column_default from information_schema.columns
    where table_schema = 'public' and table_name not like 'kysely%'`);
  const indexes = await all(`select t.relname as table, i.indisprimary as primary, i.indisunique as unique,
      pg_get_expr(i.indpred, i.indrelid) as where,
      array_to_string(array(select pg_get_indexdef(i.indexrelid, k, true) from generate_series(1, i.indnatts) as k), ',') as keys
    from pg_index i join pg_class t on t.oid = i.indrelid
    where t.relnamespace = 'public'::regnamespace and t.relname not like 'kysely%'`);
  const names = [...new Set(columns.map(({ table_name }) => String(table_name)))];
  return Object.fromEntries(
    names.map((table) => [
      table,
      {
        columns: Object.fromEntries(
          columns
            .filter(({ table_name }) => table_name === table)
            .map(({ column_name, data_type, is_nullable, column_default }) => [
              column_name,
              [data_type, is_nullable === 'YES' ? 'null' : 'not null', plain(column_default as string)].join(' '),
            ]),
        ),
        indexes: Object.fromEntries(
          indexes
            .filter((index) => index.table === table)
            .map(({ primary, unique, where, keys }) =>
              primary
                ? ['primary', String(keys)]
                : [`(${plain(keys as string)})`, [unique ? 'unique' : '', plain(where as string)].join(' ')],
            ),
        ),
      },
    ]),
  );
}

/** One line for each table, column and index. */
function linesOf(tables: Tables, only: Readonly<Record<string, string>>): string[] {
  for (const name of Object.keys(only)) assert.ok(name in tables, `${name} is not there`);
  return Object.entries(tables)
    .filter(([name]) => !(name in only))
    .flatMap(([name, { columns, indexes }]) =>
      [
        name,
        ...Object.entries(columns).map(([column, what]) => [`${name}.${column}`, what] as const),
        ...Object.entries(indexes).map(
          ([index, what]) => [index === 'primary' ? `${name}.primary` : `${name}${index}`, what] as const,
        ),
      ].flatMap((line) => (typeof line === 'string' ? [line] : DIFFERENT.includes(line[0]) ? [] : [line.join(': ')])),
    )
    .sort();
}

describe('the tables', () => {
  const stores: Partial<Record<(typeof DATABASES)[number], Stores>> = {};
  before(async () => {
    for (const database of DATABASES) {
      stores[database] = await startStores(database);
      await stores[database].open();
    }
  });
  after(async () => {
    for (const one of Object.values(stores)) await one.stop();
  });

  test('are the same in both databases: names, columns, types, nulls, defaults, keys and indexes', async () => {
    assert.ok(stores.sqlite && stores.postgres);
    const ofSqlite = linesOf(tablesOfSqlite(stores.sqlite.place), ONLY.sqlite);
    const ofPostgres = linesOf(await tablesOfPostgres(stores.postgres), ONLY.postgres);
    assert.ok(ofSqlite.length > 150, `${ofSqlite.length} lines`);
    const without = (lines: readonly string[], others: readonly string[]) =>
      lines.filter((one) => !others.includes(one));
    assert.deepEqual(
      { sqlite: without(ofSqlite, ofPostgres), postgres: without(ofPostgres, ofSqlite) },
      { sqlite: [], postgres: [] },
    );
  });
});

for (const database of DATABASES) {
  describe(`a version of the tables in ${database}`, () => {
    let stores: Stores;
    before(async () => {
      stores = await startStores(database);
    });
    after(() => stores?.stop());
    beforeEach(() => stores.renew());

    /** As a later program leaves it, which changed the tables and says who may still use them. */
    const bringOn = async (oldest_reader: number) => {
      const texts = [
        `insert into kysely_migration (name, timestamp) values ('9999_later', 'later')`,
        `alter table session add column of_tomorrow text`,
        `update store_state set oldest_reader = ${oldest_reader}`,
      ];
      if (stores.server) {
        const name = new URL(stores.place).pathname.slice(1);
        for (const text of texts) await stores.server.query(text, name);
        return;
      }
      const file = new DatabaseSync(stores.place);
      for (const text of texts) file.exec(text);
      file.close();
    };
    const write = (store: Store) =>
      store.transaction(async ({ publish }) => publish({ kind: 'keys', at: seconds(1_800_000_000) }));

    test('one that a later program made is used while that says so, also by who opens it then (F10)', async () => {
      const store = await stores.open();
      await write(store);
      await bringOn(VERSION);
      await write(store);
      const again = await stores.open();
      await write(again);
      assert.equal((await again.feed.after(0, 0)).head, 3);
      if (database === 'sqlite') await (await openAuditLog(stores.place)).destroy();
    });

    test('one that only later programs may use is refused at the start (F10)', async () => {
      await (await stores.open()).close();
      await bringOn(VERSION + 1);
      await assert.rejects(stores.open(), { code: 'store', message: /later version \(9999_later\)/ });
      if (database === 'sqlite') await assert.rejects(openAuditLog(stores.place), { code: 'configuration' });
    });

    test('one that is brought there while it is open: nothing is written or read from then on, and that is said (R6)', async () => {
      const store = await stores.open();
      await write(store);
      await bringOn(VERSION + 1);
      await assert.rejects(write(store), { code: 'store', message: /later version/ });
      assert.match(store.fault ?? '', /later version/);
      await assert.rejects(
        store.read((db) => db.selectFrom('store_state').select('id').execute()),
        { code: 'store' },
      );
    });

    test('each migration since versions run side by side says who may go on; this one leaves that in the store', async () => {
      const store = await stores.open();
      const { oldest_reader } = await store.standing();
      assert.ok(oldest_reader >= 5 && oldest_reader <= MIGRATIONS.length, `${oldest_reader}`);
    });
  });
}
