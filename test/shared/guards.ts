// What holds for every guard of the wire: it takes what it should, ignores what it does not know, and never throws.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';

type Path = readonly string[];

export interface GuardCase {
  readonly guard: (value: unknown) => boolean;
  /** Whole: with every member there can be. */
  readonly example: object;
  /** The paths that may be absent; all others are required. */
  readonly optional: readonly string[];
  /** Members that are true or false. */
  readonly flags?: readonly string[];
  /** The paths where any object will do. */
  readonly loose?: readonly string[];
}

export function testGuard({ guard, example, optional, flags = [], loose = [] }: GuardCase): void {
  const paths = pathsOf(example);
  const isOptional = (path: Path) => optional.includes(path.join('.'));
  const isItem = (path: Path) => /^\d+$/.test(path.at(-1) ?? '');

  test(`${guard.name} takes a whole example, and one with every optional member absent`, () => {
    assert.ok(guard(json(example)));
    const bare = paths.filter(isOptional).reduceRight<unknown>((sum, path) => changed(sum, path, undefined), example);
    assert.ok(guard(json(bare)));
  });

  test(`${guard.name} wants every other member`, () => {
    assert.ok(paths.length > 0);
    for (const path of paths.filter((path) => !isItem(path))) {
      assert.equal(guard(json(changed(example, path, undefined))), isOptional(path), path.join('.'));
    }
  });

  test(`${guard.name} refuses any member of another kind`, () => {
    for (const path of paths.filter((one) => !flags.includes(one.at(-1) ?? ''))) {
      const any = loose.includes(path.join('.'));
      for (const wrong of [null, true, '', -1, 0.5, 2 ** 53, [[]], [0], [''], [null], ...(any ? [] : [{ x: 1 }])]) {
        assert.ok(!guard(json(changed(example, path, wrong))), `${path.join('.')} = ${JSON.stringify(wrong)}`);
      }
    }
  });

  test(`${guard.name} ignores members it does not know`, () => {
    const known = Object.keys(example);
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (more) => {
        const unknown = Object.entries(more).filter(([name]) => !known.includes(name) && !OPTIONAL.has(name));
        assert.ok(guard({ ...Object.fromEntries(unknown), ...example }));
      }),
    );
  });

  test(`${guard.name} never throws on JSON, nor on an example with JSON put in`, () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.constantFrom(...paths), (value, path) => {
        assert.equal(typeof guard(value), 'boolean');
        assert.equal(typeof guard(changed(example, path, value)), 'boolean');
      }),
      { numRuns: 500 },
    );
    for (const value of [null, undefined, true, 1, 'text', [], {}, [example]]) assert.ok(!guard(value));
    assert.ok(!guard(JSON.parse(`${'['.repeat(5000)}${']'.repeat(5000)}`)));
    assert.ok(!guard(JSON.parse(`{"__proto__":${JSON.stringify(example)}}`)));
  });
}

export function json(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}

/** Names that some guard judges where the example at hand leaves them out. */
const OPTIONAL = new Set(['acr', 'segment', 'revalidate', 'revalidated_at']);

/** Every member and item inside `value`, innermost last. */
function pathsOf(value: unknown, base: Path = []): Path[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) => {
    const path = [...base, name];
    return [path, ...pathsOf(inner, path)];
  });
}

/** A copy with another value at `path`; `undefined` leaves it out. */
function changed(value: unknown, [name, ...rest]: Path, to: unknown): unknown {
  if (name === undefined) return to;
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map((item, at) => (String(at) === name ? changed(item, rest, to) : item));
  return { ...value, [name]: changed((value as Record<string, unknown>)[name], rest, to) };
}
