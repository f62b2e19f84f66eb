// Settings that nobody knows, and those that are not available yet.

import { formatPath } from '../../serving/config/faults.ts';

/**
 * Settings that have a name in the design and no effect yet. Refused rather than accepted and ignored: a limit that
 * someone wrote down and nobody enforces is worse than an error. A step `*` stands for any index.
 */
const NOT_AVAILABLE: ReadonlySet<string> = new Set(['log']);

/** A key that no schema knows. */
export function sayUnknown(steps: readonly PropertyKey[]): string {
  const pattern = steps.map((step) => (typeof step === 'number' ? '*' : String(step))).join('.');
  return `${formatPath(steps)}: ${NOT_AVAILABLE.has(pattern) ? 'not available in this version' : 'unknown setting'}`;
}
