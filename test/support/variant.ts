// The broker with a few lines of its source changed: the release that comes next, or one with a fault planted in it.

import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { MIGRATIONS } from '../../broker/store/migrations.ts';
import { bundleBroker } from '../../scripts/bundle.ts';

/** By file from the root: what is there, and what takes its place. */
export type Edits = Readonly<Record<string, readonly (readonly [RegExp, string])[]>>;

const ROOT = path.resolve(import.meta.dirname, '../..');

/** @param out where the program goes @throws Error where what is to be changed is not there */
export async function buildVariant(edits: Edits, out: string): Promise<string> {
  const left = new Set(Object.keys(edits));
  await bundleBroker(
    [
      {
        name: 'variant',
        setup({ onLoad }) {
          onLoad({ filter: /\/broker\/.*\.ts$/ }, async ({ path: file }) => {
            const name = path.relative(ROOT, file);
            const changes = edits[name];
            if (!changes) return undefined;
            left.delete(name);
            let contents = await readFile(file, 'utf8');
            for (const [from, to] of changes) {
              if (!from.test(contents)) throw new Error(`${name} has no ${from}`);
              contents = contents.replace(from, to);
            }
            return { contents, loader: 'ts' };
          });
        },
      },
    ],
    out,
  );
  if (left.size > 0) throw new Error(`not part of the broker: ${[...left].join(', ')}`);
  return out;
}

export const NEXT_MIGRATION = '9999_next';

/** Whatever a statement of this release reads has more than it knows. */
const migration = (seconds: number) => `'${NEXT_MIGRATION}': declared('${NEXT_MIGRATION}', async (db) => {
  for (const { name } of await db.introspection.getTables())
    await sql.raw('alter table ' + name + ' add column of_next text').execute(db);
  if (${seconds} > 0) await sql.raw('select pg_sleep(${seconds})').execute(db);
  await sql.raw('create table next (id integer primary key)').execute(db);
}),`;

/**
 * The release that comes after this one: it has one more migration, which adds to the tables, and says that this release may continue
 * beside it (docs/decisions/schema-versions.md). All else is as it is.
 *
 * @param seconds that its migration waits half-way, in PostgreSQL
 */
export function nextVersion(seconds = 0): Edits {
  return {
    'broker/store/migrations.ts': [
      [/(?<=const MIGRATIONS = \[[^\]]*)(?=\] as const)/, `, '${NEXT_MIGRATION}'`],
      [/(?<=const OLDEST_READERS\b[^{]*\{)/, `'${NEXT_MIGRATION}': ${MIGRATIONS.length},`],
      [/(?<=function migrationsWith\b[\s\S]*?return \{)/, migration(0)],
    ],
    'broker/postgres/schema.ts': [[/(?<=const POSTGRES_MIGRATIONS\b[^{]*\{)/, migration(seconds)]],
  };
}
