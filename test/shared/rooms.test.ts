// The rooms, their doors and their floors: cli, broker and gateway meet only on the wire, shared/ is pure, nothing imports test/ and only tests scripts/, no import
// runs back up or in a circle, and clocks are read in main.ts alone.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { basename, dirname, join, relative, sep } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { FLOORS, WALLS } from './floors.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const ROOMS = ['cli', 'broker', 'gateway', 'serving', 'shared', 'scripts'] as const;
type Room = (typeof ROOMS)[number];

/** Which rooms a room may import from besides npm packages and node: modules. */
const DOORS: Readonly<Record<Room, readonly Room[]>> = {
  cli: ['cli', 'shared'],
  broker: ['broker', 'serving', 'shared'],
  // Never the broker: it holds no signing key and no store.
  gateway: ['gateway', 'serving', 'shared'],
  serving: ['serving', 'shared'],
  shared: ['shared'],
  // What builds the shipped files: the tests use it, and nothing that is shipped does.
  scripts: ['scripts'],
};

/** Programs that read the clock besides the main.ts, each with its reason. */
const CLOCKS: Readonly<Record<string, string>> = {
  'cli/kubectl_curfew.ts': 'where the bundle begins: the warm path of get-token, which must load nothing else',
};

/** Files that read the clock that is never set, besides main.ts, each with its reason: none. */
const STOPWATCHES: Readonly<Record<string, string>> = {};

/** Files that may make a `Date` of an instant that they are given, each with its reason. They read no clock. */
const DATES: Readonly<Record<string, string>> = {
  'broker/text/rfc3339.ts': 'times as people write and read them',
  'broker/rules/moment.ts': 'a CEL timestamp is a Date, and so is what a clock in a zone shows',
  'cli/warm/exec_info.ts': 'expirationTimestamp is RFC 3339',
  'cli/audit/world.ts': 'the day on which a certificate or a token ends',
  'cli/warm/instant.ts': 'a time of day as the person at the terminal reads it, in the local time zone',
};

interface Source {
  readonly path: string;
  readonly text: string;
}

const sources = new Map(ROOMS.map((room) => [room, read(room)]));

for (const room of ROOMS) {
  test(`${room} has files, and each can be read for what it imports`, () => {
    const files = of(room);
    assert.ok(files.length > 0, `no .ts files under ${room}`);
    for (const { path, text } of files) {
      assert.equal(importsOf(text).length, statements(text), `${path}: an import was not understood`);
    }
  });

  test(`${room} imports only ${DOORS[room].join(', ')}${room === 'shared' ? '' : ', its own packages and node:'}`, () => {
    const packages = new Set(room === 'shared' ? [] : dependencies(room));
    for (const { path, text } of of(room)) {
      for (const name of importsOf(text)) assertDoor(room, path, name, packages);
    }
  });
}

test('no files import one another in a circle', () => {
  assert.deepEqual(circlesOf(arrows()), []);
});

test('every room is on its floor, and no arrow runs back up', () => {
  const rooms = new Set([...arrows().keys()].map(roomOf).filter((room) => !/^(shared|scripts)\b/.test(room)));
  const listed = Object.entries(FLOORS).flatMap(([workspace, list]) => list.map((room) => `${workspace}/${room}`));
  assert.deepEqual([...rooms].sort(), [...listed].sort(), 'test/shared/floors.ts lists the rooms that there are');
  assert.deepEqual(backUp(arrows()), []);
});

test('no file is longer than 300 lines, and half of them are shorter than 100', () => {
  const lengths = [...sources.values()].flat().map(({ path, text }) => ({ path, lines: text.split('\n').length - 1 }));
  assert.deepEqual(
    lengths.filter(({ lines }) => lines > 300),
    [],
  );
  const sorted = lengths.map(({ lines }) => lines).sort((one, other) => one - other);
  assert.ok((sorted[Math.floor(sorted.length / 2)] ?? 0) < 100);
});

test('what stands behind a wall imports nothing from outside', () => {
  for (const [room, { why, doors }] of Object.entries(WALLS)) {
    const files = [...arrows()].filter(([file]) => roomOf(file) === room);
    assert.ok(files.length > 0, `${room} is empty`);
    for (const [file, imported] of files) {
      const outside = imported.filter((to) => ![room, 'shared', ...doors].some((door) => to.startsWith(`${door}/`)));
      assert.deepEqual(outside, [], `${file}: ${why}`);
    }
  }
});

test('what sessions are made of is read and written in broker/sessions alone, and made in broker/store', () => {
  const elsewhere = of('broker').filter(({ path }) => !/^broker[/](sessions|store|postgres)[/]/.test(path));
  assert.ok(elsewhere.length > 50);
  assert.deepEqual(
    elsewhere.filter(({ text }) => sqlOnSessions(text)).map(({ path }) => path),
    [],
  );
});

test('the check of tables finds builders and texts, and nothing else', () => {
  for (const text of [
    "db.selectFrom('session')",
    "db.updateTable('bound_secret').set",
    "db.insertInto( 'login_after')",
    "db.deleteFrom('person')",
    "db.selectFrom(['audit', 'session'])",
    "query.innerJoin('session', 'a', 'b')",
    'sql`select 1 from session where`',
    'sql`update "person" set`',
    'sql`select 1 from audit join session on`',
    'sql`delete from login_after`',
  ]) {
    assert.ok(sqlOnSessions(text), text);
  }
  for (const text of [
    "db.selectFrom('audit')",
    "{ grant: 'session' }",
    '// comes from session to session',
    "x.from('session')",
  ]) {
    assert.ok(!sqlOnSessions(text), text);
  }
});

test('the checks of circles and floors can fail', () => {
  const circle = new Map([
    ['broker/net/a.ts', ['broker/net/b.ts']],
    ['broker/net/b.ts', ['broker/net/c.ts', 'shared/time.ts']],
    ['broker/net/c.ts', ['broker/net/a.ts']],
    ['broker/net/d.ts', ['broker/net/a.ts']],
  ]);
  assert.deepEqual(circlesOf(circle), ['broker/net/a.ts broker/net/b.ts broker/net/c.ts']);
  const up = new Map([
    ['broker/net/a.ts', ['broker/store/b.ts', 'broker/text/c.ts', 'broker/net/d.ts', 'shared/time.ts']],
  ]);
  assert.deepEqual(backUp(up), ['broker/net/a.ts -> broker/store/b.ts']);
});

test('shared reads no clock, no environment, no randomness, no network', () => {
  const impure =
    /\b(Date|Temporal|performance|process|fetch|crypto|console|setTimeout|setInterval|Math\.random|globalThis)\b/;
  for (const { path, text } of of('shared')) {
    assert.equal(impure.exec(code(text))?.[0], undefined, path);
  }
});

test('the clock is read in main.ts alone, and where it is said why', () => {
  const reads = /\bDate\.now\b|\bnew Date\b(?!\s*\(\s*[^\s)])|\bDate\(\)/;
  assert.deepEqual(besideMain(reads), Object.keys(CLOCKS).sort());
});

test('how time passes is read in main.ts alone, and where it is said why', () => {
  const readers = besideMain(/\bperformance\b/);
  assert.deepEqual(readers, Object.keys(STOPWATCHES).sort());
});

test('a Date is made in main.ts alone, and where it is said why', () => {
  assert.deepEqual(besideMain(/\bnew Date\b|\bDate\.now\b/), [...Object.keys(CLOCKS), ...Object.keys(DATES)].sort());
});

test('the reader of imports finds every form of import, and no comment', () => {
  const text = [
    `import fc from 'a';`,
    `import type { B } from 'b';`,
    `import {`,
    `  c,`,
    `  type C,`,
    `} from "c";`,
    `import 'd';`,
    `export * from 'e';`,
    `export { f } from 'f';`,
    `import json from 'g' with { type: 'json' };`,
    `const h = await import('h');`,
    `const i = require('i');`,
    `type J = import('j').J;`,
    `// import z from 'z'; import('z')`,
    `/* import('y') */`,
    `export const from = 'x';`,
    `const url = 'https://example.com'; await import('k');`,
  ].join('\n');
  assert.deepEqual(importsOf(text).sort(), [...'abcdefghijk']);
  assert.equal(statements(text), 11);
});

test('the check of doors can fail', () => {
  const fails = (room: Room, name: string) =>
    assert.throws(() => assertDoor(room, join(room, 'x.ts'), name, new Set(['jose'])), assert.AssertionError, name);
  for (const name of [
    '../broker/x.ts',
    '../test/x.ts',
    '../x.ts',
    'pg',
    'josephine',
    'fs',
    '/etc/x',
    'curfew-broker',
  ]) {
    fails('cli', name);
  }
  for (const name of ['node:fs', '../cli/x.ts', 'node:crypto']) fails('shared', name);
  for (const name of ['./y.ts', './deep/y.ts', '../shared/time.ts', 'jose', 'jose/x', 'node:fs']) {
    assertDoor('cli', join('cli', 'x.ts'), name, new Set(['jose']));
  }
});

/** Whether code has SQL, built or as text, on the tables that sessions are made of. */
function sqlOnSessions(text: string): boolean {
  const table =
    '(?:session|person|past_name|resting_name|bound_secret|session_role|connection|login_after|idle_gap|counted_login|id_token_use)';
  const built = new RegExp(`(?:selectFrom|updateTable|insertInto|deleteFrom|Join)\\(\\s*[^)]*['"]${table}['"]`);
  const typed = new RegExp(`\\b(?:from|update|into|join)\\s+"?${table}\\b`, 'i');
  return built.test(code(text)) || [...code(text).matchAll(/`[^`]*`/g)].some(([literal]) => typed.test(literal));
}

/** What each file of the project imports of it, by paths from the root. */
function arrows(): Map<string, readonly string[]> {
  return new Map(
    [...sources.values()].flat().map(({ path, text }) => {
      const near = importsOf(text).filter((name) => name.startsWith('.') && name.endsWith('.ts'));
      return [path, near.map((name) => relative(ROOT, join(ROOT, dirname(path), name)))];
    }),
  );
}

/** `broker/net`, or for a file beside the folders `broker/main.ts`. */
function roomOf(file: string): string {
  const [workspace, ...rest] = file.split(sep);
  return `${workspace}/${rest[0]}`;
}

function floorOf(file: string): number {
  const [workspace = '', room = ''] = roomOf(file).split('/');
  const list: readonly string[] = workspace in FLOORS ? FLOORS[workspace as keyof typeof FLOORS] : [];
  return list.indexOf(room);
}

function backUp(graph: ReadonlyMap<string, readonly string[]>): string[] {
  return [...graph].flatMap(([file, imported]) =>
    imported
      .filter((to) => to.split(sep)[0] === file.split(sep)[0] && floorOf(to) > floorOf(file))
      .map((to) => `${file} -> ${to}`),
  );
}

/** Files that can be reached from themselves, those of one circle together. */
function circlesOf(graph: ReadonlyMap<string, readonly string[]>): string[] {
  const reached = new Map([...graph.keys()].map((file) => [file, reachedFrom(graph, file)]));
  const among = (file: string) =>
    [...graph.keys()].filter((to) => reached.get(file)?.has(to) && reached.get(to)?.has(file));
  return [...new Set([...graph.keys()].map((file) => among(file).sort().join(' ')).filter((circle) => circle !== ''))];
}

function reachedFrom(graph: ReadonlyMap<string, readonly string[]>, file: string): ReadonlySet<string> {
  const seen = new Set<string>();
  const open = [...(graph.get(file) ?? [])];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (seen.has(next)) continue;
    seen.add(next);
    open.push(...(graph.get(next) ?? []));
  }
  return seen;
}

function assertDoor(room: Room, path: string, name: string, packages: ReadonlySet<string>): void {
  const fault = `${path} imports ${name}`;
  assert.ok(mayImport(room, path, name, packages), fault);
}

function mayImport(room: Room, path: string, name: string, packages: ReadonlySet<string>): boolean {
  if (name.startsWith('node:')) return room !== 'shared';
  if (name.startsWith('.')) {
    const [to] = relative(ROOT, join(ROOT, dirname(path), name)).split(sep);
    return DOORS[room].some((door) => door === to);
  }
  const [scope = '', inner = ''] = name.split('/');
  return packages.has(scope.startsWith('@') ? `${scope}/${inner}` : scope);
}

/** The specifiers of every static import and export, and of every `import()` and `require()`. */
function importsOf(text: string): string[] {
  const bare = code(text);
  const forms = [
    /^(?:import|export)\b[^;'"`]*?\bfrom\s*['"]([^'"]+)['"]/gm,
    /^import\s*['"]([^'"]+)['"]/gm,
    /\b(?:import|require)\s*\(\s*['"]([^'"]+)['"]/g,
  ];
  return forms.flatMap((form) => [...bare.matchAll(form)].map(([, name = '']) => name));
}

/** How many imports there seem to be, counted another way: an import of something computed is one that is not understood. */
function statements(text: string): number {
  const bare = code(text);
  const all = [/^import\b(?!\s*\(|\.)/gm, /^export\b[^;'"`=(]*?\bfrom\s*['"]/gm, /(?<![.\w])(?:import|require)\s*\(/g];
  return all.reduce((sum, form) => sum + [...bare.matchAll(form)].length, 0);
}

/** Files of the programs, main.ts aside, whose code has this. */
function besideMain(form: RegExp): string[] {
  return (['cli', 'broker', 'gateway', 'serving'] as const)
    .flatMap((room) => of(room))
    .filter(({ path, text }) => basename(path) !== 'main.ts' && form.test(code(text)))
    .map(({ path }) => path)
    .sort();
}

/** The text without its comments. Strings are stepped over whole, so that a `//` in one is none. */
function code(text: string): string {
  const tokens = /'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`|\/\/[^\n]*|\/\*[\s\S]*?\*\//g;
  return text.replace(tokens, (token) => (token.startsWith('//') || token.startsWith('/*') ? '' : token));
}

function dependencies(room: Room): string[] {
  const folder = room === 'scripts' ? '' : room;
  const manifest = JSON.parse(readFileSync(join(ROOT, folder, 'package.json'), 'utf8')) as {
    readonly devDependencies?: Readonly<Record<string, string>>;
  };
  const names = Object.keys({ ...manifest.devDependencies });
  assert.ok(names.every((name) => !builtinModules.includes(name)));
  return names;
}

function of(room: Room): readonly Source[] {
  return sources.get(room) ?? [];
}

function read(room: Room): Source[] {
  return readdirSync(join(ROOT, room), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)))
    .filter((path) => !path.split(sep).some((part) => part === 'node_modules' || part === 'dist'))
    .map((path) => ({ path, text: readFileSync(join(ROOT, path), 'utf8') }));
}
