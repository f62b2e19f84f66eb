// The findings for a person, as JSON, and as SARIF 2.1.0.

import { pathToFileURL } from 'node:url';
import { printSarifLog } from '../../shared/sarif.ts';
import { oneLine } from '../warm/one_line.ts';
import { VERSION } from '../warm/version.ts';
import type { Finding } from './finding.ts';
import { FINDINGS, MACHINES } from './names.ts';

export function insteadOf({ name, machine }: Finding): string {
  return machine ? MACHINES : FINDINGS[name].instead;
}

/** A table for each file, and once for each name what to do. */
export function printTable(files: readonly string[], findings: readonly Finding[]): string {
  if (findings.length === 0) {
    if (files.length === 0) return 'there is no kubeconfig here\n';
    return `nothing found in ${files.map((file) => oneLine(file)).join(', ')}\n`;
  }
  const lines: string[] = [];
  for (const file of new Set(findings.map((one) => one.file))) {
    lines.push(oneLine(file));
    const rows = findings
      .filter((one) => one.file === file)
      .toSorted((a, b) => a.line - b.line)
      .map(({ line, name, entry = '', detail, machine }) => [
        ...[String(line), name, entry, machine ? `${detail}; a machine's` : detail],
      ]);
    const head = ['LINE', 'FINDING', 'ENTRY', 'WHAT'];
    const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]?.length ?? 0)));
    const cells = (row: readonly string[]) => row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join('  ');
    lines.push(...[head, ...rows].map((row) => `  ${cells(row).trimEnd()}`));
  }
  lines.push('');
  for (const name of new Set(findings.map((one) => one.name)))
    lines.push(`${name}: ${FINDINGS[name].says}`, `  instead: ${FINDINGS[name].instead}`);
  if (findings.some(({ machine }) => machine)) lines.push(`a machine's`, `  ${MACHINES}`);
  return `${lines.join('\n')}\n`;
}

export function printJson(files: readonly string[], findings: readonly Finding[]): string {
  const all = findings.map(({ machine = false, ...one }) => ({
    ...{ name: one.name, level: FINDINGS[one.name].level, file: one.file, line: one.line },
    ...{ entry: one.entry, detail: one.detail, machine, instead: insteadOf({ ...one, machine }) },
  }));
  return `${JSON.stringify({ files, findings: all }, null, 2)}\n`;
}

/** SARIF 2.1.0. */
export function printSarif(findings: readonly Finding[]): string {
  const results = findings.map((one) => ({
    name: one.name,
    text: `${one.entry === undefined ? '' : `${one.entry}: `}${FINDINGS[one.name].says}: ${one.detail}. Instead: ${insteadOf(one)}`,
    uri: pathToFileURL(one.file).href,
    line: one.line,
  }));
  return printSarifLog({ name: 'kubectl-curfew', version: VERSION, rules: FINDINGS }, results);
}
