// Where in a value the settings of the table are: paths with `[]` for each of a list and `*` for each of a map.

import { isObject } from '../../shared/wire.ts';
import type { Path } from '../manifests/values.ts';

export interface Selected {
  readonly path: Path;
  /** `undefined` where it, or a mapping above it, is not there. */
  readonly value: unknown;
}

export function* select(value: unknown, path: string): Generator<Selected> {
  yield* within(value, stepsOf(path), []);
}

function stepsOf(path: string): readonly string[] {
  return path.split('.').flatMap((step) => (step.endsWith('[]') ? [step.slice(0, -2), '[]'] : [step]));
}

function* within(value: unknown, steps: readonly string[], path: Path): Generator<Selected> {
  const [step, ...rest] = steps;
  if (step === undefined) return void (yield { path, value });
  if (step === '[]') {
    if (Array.isArray(value)) for (const [i, one] of value.entries()) yield* within(one, rest, [...path, i]);
    return;
  }
  if (!isObject(value)) return;
  if (step === '*') {
    for (const [key, one] of Object.entries(value)) yield* within(one, rest, [...path, key]);
    return;
  }
  const next = Object.hasOwn(value, step) ? value[step] : undefined;
  if (next !== undefined) yield* within(next, rest, [...path, step]);
  // Of a list or a map that is not there, nothing is missing.
  else if (!rest.some((one) => one === '[]' || one === '*')) yield { path: [...path, step], value: undefined };
}
