// Remembered answers. For pure functions only: what must be forgotten after some time is state, not a memo.

export interface MemoOptions<A> {
  /** What an argument is found by; without it the argument itself. */
  readonly keyOf?: (argument: A) => unknown;
  /** Of `most`, what one answer takes up; without it 1. */
  readonly weigh?: (argument: A) => number;
}

/**
 * `f` with its answers remembered, except `undefined`: that is computed each time.
 *
 * @param most that are remembered: for one more the oldest are forgotten, so that nobody fills the memory
 */
export function memo<A, V>(
  most: number,
  f: (argument: A) => V,
  { keyOf = (argument) => argument, weigh = () => 1 }: MemoOptions<A> = {},
): (argument: A) => V {
  const answers = new Map<unknown, { readonly value: V; readonly weight: number }>();
  let sum = 0;
  return (argument) => {
    const key = keyOf(argument);
    const before = answers.get(key);
    if (before) return before.value;
    const value = f(argument);
    if (value === undefined) return value;
    const weight = weigh(argument);
    if (weight > most) return value;
    for (const [oldest, { weight: freed }] of answers) {
      if (sum + weight <= most) break;
      answers.delete(oldest);
      sum -= freed;
    }
    answers.set(key, { value, weight });
    sum += weight;
    return value;
  };
}

/** `f` with its answer remembered for each object, as long as that exists. */
export function memoOf<O extends object, V>(f: (object: O) => V): (object: O) => V {
  const answers = new WeakMap<O, { readonly value: V }>();
  return (object) => {
    const before = answers.get(object);
    if (before) return before.value;
    const value = f(object);
    answers.set(object, { value });
    return value;
  };
}
