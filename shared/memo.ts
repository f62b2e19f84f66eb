// What was reckoned before is not reckoned again. Pure functions only; what must be forgotten by time is state, and no memo.

export interface MemoOptions<A> {
  /** What an argument is found by; without it the argument itself. */
  readonly keyOf?: (argument: A) => unknown;
  /** Of `most`, what one answer takes up; without it 1. */
  readonly weigh?: (argument: A) => number;
}

/**
 * `f`, which remembers its answers. `undefined` is no answer, and is reckoned each time.
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
    const weight = weigh(argument);
    if (value === undefined || weight > most) return value;
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

/** `f`, which remembers its answer for each object as long as that is there. */
export function memoOf<O extends object, V>(f: (object: O) => V): (object: O) => V {
  const answers = new WeakMap<O, { readonly value: V }>();
  return (object) => {
    const before = answers.get(object) ?? { value: f(object) };
    answers.set(object, before);
    return before.value;
  };
}
