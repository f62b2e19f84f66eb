// Mutations of inputs: of bytes, of words and numbers, of JSON, and of the parts of tokens.

import type { Chance } from '../support/chance.ts';
import { mutateJson } from './mutate_json.ts';
import { NUMBERS, ODD } from './odd.ts';

export type Mutate = (input: string, other: string) => string;

const LONGEST = 20_000;
const MOST_STEPS = 4;
const LONGEST_COPY = 32;

/**
 * @param words that stand in the sources, and those of the target: each half of the time
 * @param compared of the last run: what was there, and what it was compared with
 */
export function mutator(
  chance: Chance,
  [words, own]: readonly [readonly string[], readonly string[]],
  compared: ReadonlyMap<string, string>,
): Mutate {
  const word = () => (chance.below(2) === 0 ? chance.pick(own) : undefined) ?? chance.pick(words) ?? '';
  const plain: readonly Mutate[] = [
    ...ofBytes(chance),
    ...ofWords(chance, word),
    (text) => wanted(chance, text, compared),
    ...Array.from({ length: 4 }, (): Mutate => (text) => mutateJson(chance, word, text)),
  ];
  const steps: readonly Mutate[] = [...plain, (text, other) => ofToken(chance, plain, text, other)];
  return (input, other) => {
    let mutated = input;
    for (let left = chance.below(2) === 0 ? 1 : 1 + chance.below(MOST_STEPS); left > 0; left -= 1) {
      const step = chance.pick(steps);
      if (step) mutated = step(mutated, other);
    }
    return mutated.slice(0, LONGEST);
  };
}

function ofBytes({ below, pick }: Chance): readonly Mutate[] {
  const splice = (text: string, at: number, without: number, put: string) =>
    text.slice(0, at) + put + text.slice(at + without);
  return [
    (text) => splice(text, below(text.length + 1), 0, String.fromCharCode(below(256))),
    (text) => {
      const at = below(text.length);
      return splice(text, at, 1, String.fromCharCode(((text.charCodeAt(at) || 0) ^ (1 << below(8))) & 0xff));
    },
    (text) => splice(text, below(text.length), 1 + below(16), ''),
    (text) => {
      const at = below(text.length);
      return splice(text, below(text.length), 0, text.slice(at, at + 1 + below(LONGEST_COPY)));
    },
    (text) => splice(text, below(text.length + 1), 0, pick(ODD) ?? ''),
    (text, other) => text.slice(0, below(text.length)) + other.slice(below(other.length)),
  ];
}

function ofWords({ below, pick }: Chance, word: () => string): readonly Mutate[] {
  return [
    (text) => {
      const at = below(text.length + 1);
      return text.slice(0, at) + word() + text.slice(at);
    },
    (text) => text.replace(/[A-Za-z0-9_]+/g, (found) => (below(10) === 0 ? word() : found)),
    (text) => text.replace(/-?[0-9]+/g, (found) => (below(3) === 0 ? (pick(numbersNear(found)) ?? found) : found)),
    // One number wherever it stands, so that what must agree goes on agreeing.
    (text) => {
      const number = pick(text.match(/[0-9]{3,}/g) ?? []);
      const by = pick([-3600, -300, -10, -1, 1, 10, 300, 3600]) ?? 1;
      return number === undefined ? text : text.replaceAll(number, String(Math.max(0, Number(number) + by)));
    },
    (text) => {
      const parts = text.split(/([&.,/\n ])/);
      const [i, j] = [below(parts.length), below(parts.length)];
      return parts.map((part, at) => (at === i ? parts[j] : at === j ? parts[i] : part)).join('');
    },
    // One part twice: a parameter, a header, a line.
    (text) => {
      const mark = pick(['&', ',', '\n', '.', '/']) ?? '&';
      const parts = text.split(mark);
      const part = pick(parts) ?? '';
      return parts.toSpliced(below(parts.length + 1), 0, part).join(mark);
    },
  ];
}

function numbersNear(number: string): readonly string[] {
  const value = Number(number);
  return [...NUMBERS, String(value + 1), String(value - 1), String(value * 1000)];
}

/** What it was compared with stands in its place. */
function wanted({ below }: Chance, text: string, compared: ReadonlyMap<string, string>): string {
  for (const [had, other] of compared) if (below(3) > 0 && text.includes(had)) return text.replace(had, () => other);
  return text;
}

/** A part between dots is decoded, mutated and encoded again. */
function ofToken({ below, pick }: Chance, plain: readonly Mutate[], text: string, other: string): string {
  const parts = text.split('.');
  const at = below(parts.length);
  const part = parts[at] ?? '';
  if (!/^[A-Za-z0-9_-]{8,}$/.test(part)) return text;
  const inner = Buffer.from(part, 'base64url').toString('latin1');
  const mutated = Buffer.from(pick(plain)?.(inner, other) ?? inner, 'latin1');
  return parts.with(at, mutated.toString(below(10) === 0 ? 'base64' : 'base64url')).join('.');
}
