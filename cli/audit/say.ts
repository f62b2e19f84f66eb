// The findings for a person, as JSON, and as SARIF 2.1.0.

import { pathToFileURL } from 'node:url';
import { oneLine } from '../warm/one_line.ts';
import { VERSION } from '../warm/version.ts';
import type { Finding } from './finding.ts';
import { FINDINGS, type FindingName, MACHINES } from './names.ts';

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

/** OASIS SARIF 2.1.0: one run, a rule for each name. */
export function printSarif(findings: readonly Finding[]): string {
  const names = Object.keys(FINDINGS) as FindingName[];
  const rules = names.map((id) => ({
    id,
    shortDescription: { text: FINDINGS[id].says },
    help: { text: FINDINGS[id].instead },
    defaultConfiguration: { level: FINDINGS[id].level },
  }));
  const results = findings.map((one) => ({
    ...{ ruleId: one.name, ruleIndex: names.indexOf(one.name), level: FINDINGS[one.name].level },
    message: {
      text: `${one.entry === undefined ? '' : `${one.entry}: `}${FINDINGS[one.name].says}: ${one.detail}. Instead: ${insteadOf(one)}`,
    },
    locations: [
      {
        physicalLocation: {
          artifactLocation: { uri: pathToFileURL(one.file).href },
          region: { startLine: one.line },
        },
      },
    ],
  }));
  const driver = { name: 'kubectl-curfew', version: VERSION, rules };
  const log = {
    version: '2.1.0',
    $schema: SCHEMA,
    runs: [{ tool: { driver }, results, columnKind: 'utf16CodeUnits' }],
  };
  return `${JSON.stringify(log, null, 2)}\n`;
}

const SCHEMA = 'https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json';
