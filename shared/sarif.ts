// OASIS SARIF 2.1.0, as far as our audits say it: one run, a rule for each name of a finding, and a place in a file for each result.

/** As SARIF has them (3.27.10). */
export type SarifLevel = 'error' | 'warning' | 'note';

export interface SarifRule {
  readonly level: SarifLevel;
  /** What it is. */
  readonly says: string;
  readonly instead: string;
}

export interface SarifResult<Name extends string> {
  readonly name: Name;
  readonly text: string;
  readonly uri: string;
  /** From 1. */
  readonly line: number;
  /** The same for the same finding, wherever it moves to (3.27.17). */
  readonly fingerprint?: string;
}

interface Tool<Name extends string> {
  readonly name: string;
  readonly version: string;
  readonly rules: Readonly<Record<Name, SarifRule>>;
  /** What whoever reads the results should know besides (3.20.21). */
  readonly notices?: readonly string[];
}

/** @returns JSON with a newline at its end */
export function printSarifLog<Name extends string>(
  { name, version, rules, notices = [] }: Tool<Name>,
  results: readonly SarifResult<Name>[],
): string {
  const names = Object.keys(rules) as Name[];
  const index = new Map(names.map((one, i) => [one, i]));
  const driver = {
    ...{ name, version },
    rules: names.map((id) => ({
      id,
      shortDescription: { text: rules[id].says },
      help: { text: rules[id].instead },
      defaultConfiguration: { level: rules[id].level },
    })),
  };
  const invocations = [
    {
      executionSuccessful: true,
      toolExecutionNotifications: notices.map((text) => ({ level: 'warning', message: { text } })),
    },
  ];
  const run = {
    tool: { driver },
    ...(notices.length > 0 && { invocations }),
    results: results.map((one) => ({
      ...{ ruleId: one.name, ruleIndex: index.get(one.name), level: rules[one.name].level },
      message: { text: one.text },
      locations: [{ physicalLocation: { artifactLocation: { uri: one.uri }, region: { startLine: one.line } } }],
      ...(one.fingerprint !== undefined && { partialFingerprints: { 'curfew/v1': one.fingerprint } }),
    })),
    columnKind: 'utf16CodeUnits',
  };
  return `${JSON.stringify({ version: '2.1.0', $schema: SCHEMA, runs: [run] }, null, 2)}\n`;
}

const SCHEMA = 'https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json';
