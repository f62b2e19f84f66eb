// What is looked at, what was found, and what to do about it: for a person, and as JSON.

import { CurfewError } from '../../shared/errors.ts';
import { oneLine } from '../warm/one_line.ts';

/** In the order in which they are looked at. */
export const CHECKS = [
  ...['settings', 'launcher', 'kubectl', 'plugin', 'kuberc', 'kubeconfig', 'cache', 'keychain', 'ssh'],
  ...['proxy', 'broker', 'certificate', 'clock', 'identity_provider', 'session', 'background'],
] as const;

export interface Check {
  readonly name: string;
  /** `null` where it was not looked at, as something before it is at fault. */
  readonly ok: boolean | null;
  /** What was found. */
  readonly says: string;
  /** What to do, where it is not as it should be. */
  readonly todo?: string;
}

export function fine(name: string, says: string): Check {
  return { name, ok: true, says: oneLine(says) };
}

export function wrong(name: string, says: string, todo: string): Check {
  return { name, ok: false, says: oneLine(says), todo: oneLine(todo) };
}

/** @param before what is at fault: this would be no more than a consequence */
export function unseen(name: string, before: string): Check {
  return { name, ok: null, says: `not looked at: see ${before}` };
}

/** What an error says, and its hint. @throws whatever is not a CurfewError: our bug */
export function wrongBy(name: string, error: unknown): Check {
  if (!(error instanceof CurfewError)) throw error;
  return wrong(name, error.message, error.hint);
}

const WORDS = { true: 'ok   ', false: 'FAULT', null: '-    ' } as const;

export function printChecks(checks: readonly Check[]): string {
  const width = Math.max(...checks.map(({ name }) => name.length));
  const lines = checks.flatMap(({ name, ok, says, todo }) => [
    `${WORDS[`${ok}`]}  ${name.padEnd(width)}  ${says}`,
    ...(todo === undefined ? [] : [`${' '.repeat(width + 9)}do: ${todo}`]),
  ]);
  const faults = checks.filter(({ ok }) => ok === false).length;
  lines.push('', faults === 0 ? 'all is well' : `${faults} of ${checks.length} are not as they should be`);
  return `${lines.join('\n')}\n`;
}

export function printChecksAsJson(checks: readonly Check[]): string {
  return `${JSON.stringify({ ok: checks.every(({ ok }) => ok === true), checks }, null, 2)}\n`;
}
