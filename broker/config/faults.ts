// Faults in settings as a person reads them: the path, what was expected, what stands there.

import { CurfewError } from '../../shared/errors.ts';

/** A file that cannot be used, with all its faults. */
export function refused(file: string, faults: readonly string[]): CurfewError {
  const [first = 'cannot be used', ...rest] = faults;
  const message =
    rest.length === 0 ? `${file}: ${first}` : [`${file}: ${faults.length} faults`, ...faults].join('\n  ');
  return new CurfewError('configuration', message);
}

/** `policy.limits.max_age`, `clusters[0].server`. */
export function formatPath(steps: readonly PropertyKey[]): string {
  return steps.reduce<string>((path, step) => {
    if (typeof step === 'number') return `${path}[${step}]`;
    const name = /^[\w-]+$/.test(String(step)) ? String(step) : JSON.stringify(String(step)).slice(0, 80);
    return path ? `${path}.${name}` : name;
  }, '');
}

/** What stands there, short enough for one line: a text in quotes, a number as it is, else its kind. */
export function sayValue(value: unknown): string {
  if (value === null || value === undefined) return 'nothing';
  if (typeof value === 'string') return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value);
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  return Array.isArray(value) ? 'a list' : 'a mapping';
}

/**
 * Settings that have a name in the design and no effect yet. Refused rather than accepted and ignored: a limit that
 * someone wrote down and nobody enforces is worse than an error. A step `*` stands for any index.
 */
const NOT_AVAILABLE: ReadonlySet<string> = new Set(['log', 'clusters.*.api_servers']);

/** A key that no schema knows. */
export function sayUnknown(steps: readonly PropertyKey[]): string {
  const pattern = steps.map((step) => (typeof step === 'number' ? '*' : String(step))).join('.');
  return `${formatPath(steps)}: ${NOT_AVAILABLE.has(pattern) ? 'not available in this version' : 'unknown setting'}`;
}
