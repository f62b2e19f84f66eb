// Medians and other quantiles of what was measured.

/** @throws RangeError when there is nothing to take it of */
export function quantile(values: ArrayLike<number>, share: number): number {
  const sorted = Float64Array.from(values).sort();
  const value = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
  if (value === undefined) throw new RangeError('nothing was measured');
  return value;
}

export function median(values: ArrayLike<number>): number {
  return quantile(values, 0.5);
}
