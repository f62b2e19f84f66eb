// Faults in settings as a person reads them: the path, what was expected, what stands there.

import type { z } from 'zod';
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
  if (typeof value === 'string') return sayText(value);
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  return Array.isArray(value) ? 'a list' : 'a mapping';
}

/** 32 bytes in hex, base64 or base64url: a key or a token that is in the wrong place. */
const SECRET = /^(?:[0-9a-fA-F]{64}|[A-Za-z0-9+/_-]{43}=?)$/;

/** Without what may be a secret, and without what is before the host in a URL. */
function sayText(text: string): string {
  if (SECRET.test(text)) return 'what may be a secret';
  const shown = text.replace(/\/\/.*@/, '//…@');
  return JSON.stringify(shown.length > 60 ? `${shown.slice(0, 60)}…` : shown);
}

/**
 * A fault that zod found, in words. Needs `reportInput`.
 *
 * @param at where the value that was parsed stands
 * @param sayUnknown what is said of a key that no schema knows
 */
export function sayIssue(
  issue: z.core.$ZodIssue,
  at: readonly PropertyKey[] = [],
  sayUnknown: (steps: readonly PropertyKey[]) => string = (steps) => `${formatPath(steps)}: unknown setting`,
): string[] {
  const steps = [...at, ...issue.path];
  if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => sayUnknown([...steps, key]));
  if (issue.code !== 'invalid_type') return [`${formatPath(steps)}: ${issue.message}`];
  const expected = issue.expected === 'array' ? 'a list' : 'a mapping';
  return [
    `${formatPath(steps)}: ${issue.input === undefined ? `required: ${expected}` : `expected ${expected}, got ${sayValue(issue.input)}`}`,
  ];
}
