// What is fuzzed. An input is bytes, held as a text with one character for each; a target throws where something does not hold.

import { CurfewError } from '../../shared/errors.ts';

export interface Target {
  readonly seeds: readonly string[];
  /** What the mutator puts in, beside the words of the sources. */
  readonly words?: readonly string[];
  /** @throws where an invariant is broken, or the product throws what is not its own */
  run(input: string): void | Promise<void>;
}

export type Targets = Readonly<Record<string, Target>>;

/** 2027-01-15, for all that is judged by a clock. */
export const NOW = 1_800_000_000;

export function bytesOf(input: string): Buffer {
  return Buffer.from(input, 'latin1');
}

export function textOf(input: string): string {
  return bytesOf(input).toString('utf8');
}

/** The input whose text this is. */
export function inputOf(text: string): string {
  return Buffer.from(text).toString('latin1');
}

export function encoded(value: unknown): string {
  return Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
}

/** As it is after it was written and read: without what is `undefined`, and without a minus before zero. */
export function readAgain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}

/** @returns `undefined` where the product refuses, which is an answer; `internal` is none */
export function refusable<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    return refusedOrThrow(error);
  }
}

export async function refusableLater<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    return refusedOrThrow(error);
  }
}

function refusedOrThrow(error: unknown): undefined {
  if (error instanceof CurfewError && error.code !== 'internal') return undefined;
  throw error;
}
