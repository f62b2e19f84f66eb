// What NIST SP 800-63B-4 allows at each authenticator assurance level, as lengths no limit may exceed.

import { formatDuration } from '../../shared/duration.ts';
import type { WholeLimits } from '../../shared/limits.ts';
import { type Seconds, seconds } from '../../shared/time.ts';

export type Preset = 'aal1' | 'aal2' | 'aal3';

interface Ceiling {
  readonly clause: string;
  /** Overall timeout. */
  readonly max_age: Seconds;
  /** Absent where the level asks for none. */
  readonly inactivity_timeout?: Seconds;
}

const HOUR_SECONDS = 3600;
/** "Should" counts as "shall" here: who chooses a preset wants to be told. */
const PRESETS: Readonly<Record<Preset, Ceiling>> = {
  aal1: { clause: 'NIST SP 800-63B-4 2.1.3', max_age: seconds(30 * 24 * HOUR_SECONDS) },
  aal2: {
    clause: 'NIST SP 800-63B-4 2.2.3',
    max_age: seconds(24 * HOUR_SECONDS),
    inactivity_timeout: seconds(HOUR_SECONDS),
  },
  aal3: {
    clause: 'NIST SP 800-63B-4 2.3.3',
    max_age: seconds(12 * HOUR_SECONDS),
    inactivity_timeout: seconds(15 * 60),
  },
};

/** Each limit that is looser than the preset, in words: `max_age 24h is longer than the 12h of aal3 (…)`. */
export function looserThan(preset: Preset, limits: WholeLimits): string[] {
  const { clause, ...ceiling } = PRESETS[preset];
  return (['max_age', 'inactivity_timeout'] as const).flatMap((key) => {
    const longest = ceiling[key];
    if (longest === undefined || limits[key] <= longest) return [];
    return [
      `${key} ${formatDuration(limits[key])} is longer than the ${formatDuration(longest)} of ${preset} (${clause})`,
    ];
  });
}
