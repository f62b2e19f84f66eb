// The table of dependencies in ARCHITECTURE.md against package.json and the lock file, both ways.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type LockedPackage, resolve } from '../../scripts/supply/lock_file.ts';
import { lockOf } from '../../scripts/supply/programs.ts';
import { namesIn, read, rowsOf } from './documents.ts';

const HEADER = ['dependency', 'of', 'what, why', 'version of', 'pulls in'] as const;
const WORKSPACES = {
  cli: 'cli',
  broker: 'broker',
  gateway: 'gateway',
  serving: 'serving',
  '': 'build and tests',
} as const;
const lock = lockOf();

interface Used {
  readonly of: string[];
  readonly package: LockedPackage;
}

/** What the workspaces ask for, by its own name. */
function used(): ReadonlyMap<string, Used> {
  const found = new Map<string, Used>();
  for (const [folder, word] of Object.entries(WORKSPACES)) {
    const file = folder === '' ? 'package.json' : `${folder}/package.json`;
    const { devDependencies = {} } = JSON.parse(read(file)) as { devDependencies?: Record<string, string> };
    for (const name of Object.keys(devDependencies)) {
      const locked = resolve(lock, folder === '' ? '.' : folder, name);
      assert.ok(locked, `${name} is not in the lock file`);
      const one = found.get(locked.name) ?? { of: [], package: locked };
      one.of.push(word);
      found.set(locked.name, one);
    }
  }
  return found;
}

function pullsIn(one: LockedPackage): number {
  const seen = new Set([one.place]);
  const open = [one];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    for (const name of next.dependencies) {
      const to = resolve(lock, next.place, name);
      if (!to || seen.has(to.place)) continue;
      seen.add(to.place);
      open.push(to);
    }
  }
  return seen.size - 1;
}

/** What the table says that is not so, and what it leaves out. */
function differences(text: string): string[] {
  const rows = new Map(rowsOf(text, ...HEADER).map((row) => [namesIn(row[0] ?? '')[0] ?? '', row]));
  const real = used();
  const gone = [...rows.keys()].filter((name) => !real.has(name)).map((name) => `nothing uses ${name}`);
  const wrong = [...real].flatMap(([name, { of, package: locked }]) => {
    const [, where, why = '', day = '', pulls] = rows.get(name) ?? [];
    if (where === undefined) return [`${name} is not listed`];
    return [
      ...(where === of.join(', ') ? [] : [`${name} is of ${of.join(', ')}`]),
      ...(Number(pulls) === pullsIn(locked) ? [] : [`${name} pulls in ${pullsIn(locked)}`]),
      ...(why.length >= 5 && /^20\d\d-\d\d-\d\d/.test(day) ? [] : [`${name} says neither why nor since when`]),
    ];
  });
  return [...gone, ...wrong];
}

test('each dependency is in the table with who uses it and what it pulls in, and no other', () => {
  assert.ok(used().size > 25);
  assert.deepEqual(differences(read('ARCHITECTURE.md')), []);
});

test('a row too many, one too few and a wrong number are seen', () => {
  const text = read('ARCHITECTURE.md');
  const [row = ''] = /^\| `fastify` .*$/m.exec(text) ?? [];
  assert.ok(row);
  assert.deepEqual(differences(text.replace(row, `${row}\n${row.replace('fastify', 'express')}`)), [
    'nothing uses express',
  ]);
  assert.deepEqual(differences(text.replace(`${row}\n`, '')), ['fastify is not listed']);
  assert.match(differences(text.replace(row, row.replace(/\d+ \|$/, '1 |'))).join(), /^fastify pulls in \d+$/);
  assert.deepEqual(differences(text.replace(row, row.replace('| broker |', '| cli |'))), ['fastify is of broker']);
});
