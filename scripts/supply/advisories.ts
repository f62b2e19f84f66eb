// Asks the registry for advisories about what is in the lock file: npm run advisories. A registry that does not answer fails nothing, and
// is said; a finding that is high fails, unless somebody has looked at it and wrote down why it can stay, and until when.

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { run } from '../run.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');

export interface Advisory {
  /** As in its address: GHSA-... */
  readonly id: string;
  readonly name: string;
  readonly severity: string;
  readonly title: string;
}

/** One that can stay: advisories.json beside this file holds a list of them. */
export interface Exception {
  readonly advisory: string;
  readonly reason: string;
  /** The day (YYYY-MM-DD) after which somebody has to look again. */
  readonly until: string;
}

interface Report {
  readonly auditReportVersion?: number;
  readonly message?: string;
  readonly vulnerabilities?: Readonly<Record<string, { readonly via: readonly (string | Via)[] }>>;
}
interface Via {
  readonly source: number;
  readonly name: string;
  readonly url: string;
  readonly severity: string;
  readonly title: string;
}

const FAILING: ReadonlySet<string> = new Set(['high', 'critical']);

/** What `npm audit --json` has found, each once; undefined where nothing was asked or answered. */
export function advisoriesIn(output: string): Advisory[] | undefined {
  let report: Report;
  try {
    report = JSON.parse(output) as Report;
  } catch {
    return undefined;
  }
  if (report.auditReportVersion === undefined || report.vulnerabilities === undefined) return undefined;
  const direct = Object.values(report.vulnerabilities).flatMap(({ via }) =>
    via.filter((one) => typeof one !== 'string'),
  );
  const found = direct.map(({ source, name, url, severity, title }): [string, Advisory] => {
    const id = /GHSA(-[\w]{4}){3}$/.exec(url)?.[0] ?? String(source);
    return [`${id} ${name}`, { id, name, severity, title }];
  });
  return [...new Map(found).values()];
}

/** @returns what must not stay, and what is told only @param today YYYY-MM-DD */
export function judge(
  found: readonly Advisory[],
  exceptions: readonly Exception[],
  today: string,
): { readonly faults: string[]; readonly notes: string[] } {
  const [faults, notes]: [string[], string[]] = [[], []];
  for (const { id, name, severity, title } of found) {
    const line = `${name}: ${severity}: ${title} (${id})`;
    const exception = exceptions.find(({ advisory }) => advisory === id);
    if (!FAILING.has(severity)) notes.push(line);
    else if (!exception) faults.push(line);
    else if (exception.until < today) faults.push(`${line}; was to be looked at again by ${exception.until}`);
    else notes.push(`${line}; stays until ${exception.until}: ${exception.reason}`);
  }
  const unused = exceptions.filter(({ advisory }) => !found.some(({ id }) => id === advisory));
  notes.push(...unused.map(({ advisory }) => `${advisory} is not found any more: take it out of advisories.json`));
  return { faults, notes };
}

/** @throws Error that names what is wrong with it */
export function exceptionsIn(text: string): Exception[] {
  const list = JSON.parse(text) as Exception[];
  for (const { advisory, reason, until } of list) {
    if (!/^GHSA(-[\w]{4}){3}$/.test(advisory)) throw new Error(`advisories.json: not an advisory: ${advisory}`);
    if (typeof reason !== 'string' || reason.length < 20)
      throw new Error(`advisories.json: ${advisory} says no reason`);
    if (!/^\d{4}-\d\d-\d\d$/.test(until)) throw new Error(`advisories.json: ${advisory} has no day: ${until}`);
  }
  return list;
}

if (import.meta.main) {
  const exceptions = exceptionsIn(readFileSync(path.join(import.meta.dirname, 'advisories.json'), 'utf8'));
  const patience = ['--fetch-retries=1', '--fetch-timeout=30000'];
  const { stdout } = await run('npm', ['audit', '--json', '--package-lock-only', ...patience], {
    cwd: ROOT,
    timeout: 180_000,
  });
  const found = advisoriesIn(stdout);
  if (!found) {
    console.log('not checked: the registry did not answer');
  } else {
    const { faults, notes } = judge(found, exceptions, new Date().toISOString().slice(0, 10));
    for (const line of [...faults, ...notes]) console.log(line);
    console.log(faults.length > 0 ? `${faults.length} must not stay` : 'checked: nothing that must not stay');
    if (faults.length > 0) process.exitCode = 1;
  }
}
