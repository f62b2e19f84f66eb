// A baseline: what was found when the audit was adopted. It holds findings by what they are about, not by line, so that a file may grow; it
// never hides another of the same object, and what of it is gone is told.

import { createHash } from 'node:crypto';
import { CurfewError } from '../../shared/errors.ts';
import { parseJson } from '../../shared/json.ts';
import { isObject } from '../../shared/wire.ts';
import type { Finding } from './finding.ts';
import { sayName } from './say_name.ts';

/** What a finding is about: the same wherever it moves to within its file. */
export function fingerprintOf({ name, file, object = '', route = '', detail }: Finding): string {
  return createHash('sha256')
    .update(JSON.stringify([name, file, object, route, detail]))
    .digest('hex')
    .slice(0, 32);
}

export interface Baseline {
  readonly known: ReadonlyMap<string, Known>;
}

interface Known {
  readonly name: string;
  readonly file: string;
  readonly object: string;
  /** How many of them there were: with the same words at several lines. */
  readonly count: number;
}

/** @throws CurfewError `configuration` where the text is no baseline */
export function readBaseline(file: string, text: string): Baseline {
  const value = parseJson(text);
  const list = isObject(value) && value.version === 1 && Array.isArray(value.findings) ? value.findings : undefined;
  if (!list)
    throw new CurfewError('configuration', `${file}: is not a baseline`, {
      hint: 'write one: layers audit --write-baseline FILE',
    });
  const known = new Map<string, Known>();
  for (const one of list) {
    if (!isObject(one) || typeof one.fingerprint !== 'string' || !/^[0-9a-f]{32}$/.test(one.fingerprint))
      throw new CurfewError('configuration', `${file}: is not a baseline: a finding without a fingerprint`);
    const count = typeof one.count === 'number' && Number.isSafeInteger(one.count) && one.count > 0 ? one.count : 1;
    known.set(one.fingerprint, {
      name: String(one.name),
      file: String(one.file),
      object: String(one.object ?? ''),
      count,
    });
  }
  return { known };
}

export function printBaseline(findings: readonly Finding[]): string {
  const all = new Map<string, Partial<Finding> & { readonly fingerprint: string; count: number }>();
  for (const finding of findings) {
    const { name, file, object } = finding;
    const fingerprint = fingerprintOf(finding);
    const before = all.get(fingerprint);
    if (before) before.count += 1;
    else all.set(fingerprint, { fingerprint, name, file, object: object && sayName(object), count: 1 });
  }
  return `${JSON.stringify({ version: 1, findings: [...all.values()] }, null, 2)}\n`;
}

export interface Compared {
  /** Those that it does not have. */
  readonly fresh: readonly Finding[];
  readonly adopted: number;
  /** What of it is not found any more. */
  readonly gone: readonly Known[];
}

export function compare(findings: readonly Finding[], { known }: Baseline): Compared {
  const left = new Map([...known].map(([print, { count }]) => [print, count]));
  const fresh = findings.filter((finding) => {
    const print = fingerprintOf(finding);
    const more = left.get(print) ?? 0;
    if (more > 0) left.set(print, more - 1);
    return more === 0;
  });
  const gone = [...known].flatMap(([print, one]) => {
    const count = left.get(print) ?? 0;
    return count > 0 ? [{ ...one, count }] : [];
  });
  return { fresh, adopted: findings.length - fresh.length, gone };
}
