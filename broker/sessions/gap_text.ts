// Gaps as the store has them: `[[start, length], …]`.

import type { Gap } from '../../shared/session.ts';
import type { Seconds } from '../../shared/time.ts';

export function textOfGaps(gaps: readonly Gap[]): string {
  return gaps.length === 0 ? '[]' : JSON.stringify(gaps.map(({ start, length }) => [start, length]));
}

export function parseGaps(text: string): readonly Gap[] {
  if (text === '[]') return NONE;
  return (JSON.parse(text) as [Seconds, Seconds][]).map(([start, length]) => ({ start, length }));
}

const NONE: readonly Gap[] = [];
