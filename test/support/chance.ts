// Chance that can be had again: by its seed, which a test prints. SEED=NUMBER gives it the same one again.

export interface Chance {
  readonly seed: number;
  /** A whole number from 0 to below this. */
  below(count: number): number;
  pick<T>(all: readonly T[]): T | undefined;
}

/** @param text names what it is for, and makes it a sequence of its own */
export function chanceOf(text: string, seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31))): Chance {
  let state = [...text].reduce((sum, letter) => (Math.imul(sum, 31) + letter.charCodeAt(0)) | 0, seed | 0);
  // mulberry32
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (count: number) => Math.floor(next() * count);
  return { seed, below, pick: (all) => all[below(all.length)] };
}
