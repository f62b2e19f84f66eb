// What remembers answers: it gives the same ones, asks once, and holds no more than it may.

import assert from 'node:assert/strict';
import { it } from 'node:test';
import { memo, memoOf } from '../../shared/memo.ts';

function counting<A, V>(f: (argument: A) => V): { readonly f: (argument: A) => V; readonly asked: A[] } {
  const asked: A[] = [];
  return {
    asked,
    f(argument) {
      asked.push(argument);
      return f(argument);
    },
  };
}

it('asks once for each argument, and gives the very same answer', () => {
  const { f, asked } = counting((text: string) => ({ text }));
  const remembered = memo(10, f);
  assert.equal(remembered('a'), remembered('a'));
  assert.notEqual(remembered('a'), remembered('b'));
  assert.deepEqual(asked, ['a', 'b']);
});

it('forgets the oldest for one more than it may hold', () => {
  const { f, asked } = counting((n: number) => n * 2);
  const remembered = memo(3, f);
  for (const n of [1, 2, 3, 1, 4, 2, 3, 4, 1]) assert.equal(remembered(n), n * 2);
  // 4 took the place of 1, and 1 that of 2.
  assert.deepEqual(asked, [1, 2, 3, 4, 1]);
  remembered(2);
  assert.deepEqual(asked.at(-1), 2);
});

it('weighs what it holds; what is too heavy for it is not held, and costs nobody else a place', () => {
  const { f, asked } = counting((text: string) => text.length);
  const remembered = memo(5, f, { weigh: (text) => text.length });
  for (const text of ['ab', 'cd', 'ab', 'abcdef', 'abcdef', 'ab', 'cd', 'ef', 'cd', 'ab']) remembered(text);
  assert.deepEqual(asked, ['ab', 'cd', 'abcdef', 'abcdef', 'ef', 'ab']);
});

it('finds an argument by what it is told; undefined is not remembered', () => {
  const { f, asked } = counting(({ id, fails }: { id: string; fails: boolean }) => (fails ? undefined : id));
  const remembered = memo(10, f, { keyOf: ({ id }) => id });
  for (const fails of [true, true, false, true]) remembered({ id: 'x', fails });
  assert.equal(asked.length, 3);
  assert.equal(remembered({ id: 'x', fails: true }), 'x');
});

it('remembers by object, an answer of undefined too', () => {
  const { f, asked } = counting((_: object) => undefined);
  const remembered = memoOf(f);
  const [one, other] = [{}, {}];
  for (const object of [one, one, other, one]) assert.equal(remembered(object), undefined);
  assert.equal(asked.length, 2);
});
