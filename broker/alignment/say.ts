// The findings for a person, as JSON, and as SARIF 2.1.0. Names out of manifests are anybody's: each in one line, and none that looks like a
// secret.

import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { printSarifLog } from '../../shared/sarif.ts';
import { oneLine } from '../text/one_line.ts';
import { fingerprintOf } from './baseline.ts';
import type { Finding } from './finding.ts';
import { FINDINGS } from './names.ts';
import { sayName } from './say_name.ts';

export interface Said {
  readonly findings: readonly Finding[];
  /** What whoever reads should know besides: what was not judged, what a baseline holds. */
  readonly notices: readonly string[];
  /** In words, such as `12 objects in 3 files, segment payments`. */
  readonly judged: string;
  readonly version: string;
}

export const TRANSPORT =
  'transport idle counts bytes, and pings are bytes: an idle timeout that fits proves that what was abandoned goes, never that inactivity ends a session';

function shown({ object, route, detail, ...rest }: Finding): Finding {
  return {
    ...rest,
    ...(object !== undefined && { object: sayName(object) }),
    ...(route !== undefined && { route: sayName(route) }),
    detail: sayName(detail),
  };
}

/** A table for each file, and once for each name what to do. */
export function printText({ findings, notices, judged }: Said): string {
  const lines: string[] = [];
  const files = new Map<string, Finding[]>();
  for (const one of findings) files.set(one.file, [...(files.get(one.file) ?? []), shown(one)]);
  for (const [file, some] of files) {
    lines.push(oneLine(file));
    const rows = some.map((one) => [String(one.line), one.name, one.object ?? '', whatOf(one)]);
    const head = ['LINE', 'FINDING', 'OBJECT', 'WHAT'];
    const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]?.length ?? 0)));
    const cells = (row: readonly string[]) => row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join('  ');
    lines.push(...[head, ...rows].map((row) => `  ${cells(row).trimEnd()}`));
  }
  if (findings.length > 0) lines.push('');
  for (const name of new Set(findings.map((one) => one.name))) {
    const { rule, says, instead } = FINDINGS[name];
    lines.push(`${name}${rule === undefined ? '' : ` (${rule})`}: ${says}`, `  instead: ${instead}`);
  }
  for (const notice of notices) lines.push(`warning: ${oneLine(notice)}`);
  lines.push(
    findings.length === 0 ? `nothing found in ${judged}` : `${findings.length} findings in ${judged}`,
    `note: ${TRANSPORT}`,
  );
  return `${lines.join('\n')}\n`;
}

function whatOf({ route, detail }: Finding): string {
  return route === undefined ? detail : `${route}: ${detail}`;
}

export function printJson({ findings, notices, judged }: Said): string {
  const all = findings.map((finding) => {
    const one = shown(finding);
    const { rule, level, instead } = FINDINGS[one.name];
    return {
      ...{ name: one.name, rule, level, file: one.file, line: one.line, object: one.object, route: one.route },
      ...{ detail: one.detail, instead, fingerprint: fingerprintOf(finding) },
    };
  });
  return `${JSON.stringify({ judged, findings: all, warnings: notices.map(oneLine), note: TRANSPORT }, null, 2)}\n`;
}

export function printSarif({ findings, notices, version }: Said): string {
  const results = findings.map((finding) => {
    const one = shown(finding);
    const { says, instead } = FINDINGS[one.name];
    const object = one.object === undefined ? '' : `${one.object}: `;
    return {
      ...{ name: one.name, uri: uriOf(one.file), line: one.line, fingerprint: fingerprintOf(finding) },
      text: `${object}${says}: ${whatOf(one)}. Instead: ${instead}`,
    };
  });
  return printSarifLog({ name: 'curfew-broker', version, rules: FINDINGS, notices }, results);
}

/** As it was named where that is below the folder, which is how CI shows it; else from the root. */
function uriOf(file: string): string {
  if (file === 'stdin' || file.startsWith('https://')) return encodeURI(file);
  if (file.startsWith('/') || file.startsWith('..')) return pathToFileURL(resolve(file)).href;
  return file.replace(/^\.\//, '').split('/').map(encodeURIComponent).join('/');
}
