// The files that are judged, each by itself and all together: who can read them, what is in two of them, what lies beside them.

import { readdirSync, realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { CurfewError } from '../../shared/errors.ts';
import { looksSecret } from '../../shared/secret_words.ts';
import { codeOf } from '../host/error_code.ts';
import type { Host, Owner } from '../host/host.ts';
import { kubeconfigFiles, readToLook } from '../kubeconfig/kubeconfig.ts';
import { TextFault } from '../kubeconfig/yaml.ts';
import type { Finding } from './finding.ts';
import { type Inspected, inspectText } from './inspect.ts';
import { sayName } from './words.ts';
import type { World } from './world.ts';

/** Beside one file; more are said to be there. */
const MOST_BESIDE = 500;
const LARGEST_BYTES = 8 * 1024 * 1024;

export interface Audited {
  /** Those that are there, in kubectl's order. */
  readonly files: readonly string[];
  readonly findings: readonly Finding[];
  /** By file, of those that could be read. */
  readonly inspected: ReadonlyMap<string, Inspected>;
}

/**
 * @param named by the person; without, all that kubectl reads
 * @throws CurfewError `configuration` where a file that was named is not there
 */
export function auditFiles(host: Owner & Pick<Host, 'platform'>, world: World, named: readonly string[]): Audited {
  const files =
    named.length > 0 ? named.flatMap((file) => kubeconfigFiles(host, file)) : kubeconfigFiles(host, undefined);
  const inspected = new Map<string, Inspected>();
  const findings: Finding[] = [];
  const there: string[] = [];
  for (const file of new Set(files)) {
    const read = look(file);
    if (read === undefined) {
      if (named.length > 0)
        throw new CurfewError('configuration', `${file} is not there`, { hint: 'name another file' });
      continue;
    }
    there.push(file);
    if (typeof read === 'string') {
      findings.push({ name: 'unreadable', file, line: 1, detail: read });
      continue;
    }
    const one = inspectText(file, read.text, world);
    inspected.set(file, one);
    findings.push(...one.found.map((found) => ({ file, ...found })));
    if (host.platform !== 'win32') findings.push(...modes(file, read.mode ?? 0, one, world));
  }
  findings.push(...copies(inspected, named.length === 0));
  const known = [...there, ...[...inspected.values()].flatMap(({ named: some }) => some.map(({ path }) => path))];
  const besides = [...new Set(files)].flatMap((file) => beside(file, known, world));
  findings.push(...new Map(besides.map((one) => [`${one.name} ${one.file}`, one])).values());
  return { files: there, findings, inspected };
}

/** @returns a word on why it cannot be read; `undefined` where it is not there */
function look(file: string): ReturnType<typeof readToLook> | string | undefined {
  try {
    const read = readToLook(file);
    return read.mode === undefined ? undefined : read;
  } catch (fault) {
    if (fault instanceof TextFault) return fault.message.trim();
    throw fault;
  }
}

function holdsSecret({ seen, found }: Inspected): boolean {
  return seen.length > 0 || found.some(({ name }) => name === 'secret_in_comment');
}

function modes(file: string, mode: number, one: Inspected, { read }: World): Finding[] {
  const found: Finding[] = [];
  if (holdsSecret(one)) found.push(...readableBy(mode).map((name) => ({ name, file, line: 1, detail: sayMode(mode) })));
  if ((mode & 0o022) !== 0) found.push({ name: 'writable_by_others', file, line: 1, detail: sayMode(mode) });
  for (const { path, line } of one.named) {
    const { stat } = read(path);
    for (const name of readableBy(stat?.mode ?? 0))
      found.push({ name, file, line, detail: `${path}: ${sayMode(stat?.mode ?? 0)}` });
  }
  return found;
}

function readableBy(mode: number): ('world_readable' | 'group_readable')[] {
  return (mode & 0o004) !== 0 ? ['world_readable'] : (mode & 0o040) !== 0 ? ['group_readable'] : [];
}

function sayMode(mode: number): string {
  return `mode ${mode.toString(8).padStart(4, '0')}`;
}

/** @param listed whether kubectl reads them all, the first of each name counting */
function copies(inspected: ReadonlyMap<string, Inspected>, listed: boolean): Finding[] {
  const found: Finding[] = [];
  const first = new Map<string, { readonly file: string; readonly entry: string }>();
  const names = new Map<string, string>();
  for (const [file, { seen, parts }] of inspected) {
    const hidden = new Set<string>();
    for (const { list, name, lineOf } of listed ? (parts[0]?.entries ?? []) : []) {
      const entry = `${list.slice(0, -1)} ${sayName(name)}`;
      const before = names.get(entry);
      if (before === undefined) names.set(entry, file);
      else if (before !== file && seen.some((one) => one.entry === entry)) {
        hidden.add(entry);
        found.push({ name: 'shadowed_entry', file, line: lineOf(), entry, detail: `kubectl takes that of ${before}` });
      }
    }
    for (const { secret, line, entry } of seen) {
      const before = first.get(secret);
      if (before === undefined) first.set(secret, { file, entry });
      else if (before.file !== file && !hidden.has(entry))
        found.push({ name: 'copied_secret', file, line, entry, detail: `${before.entry} in ${before.file}` });
    }
  }
  return found;
}

/** Backups, editors' copies, kubeconfigs that were put there and forgotten. */
function beside(file: string, files: readonly string[], world: World): Finding[] {
  const [folder, base] = [dirname(file), basename(file)];
  const judged = new Set(files.flatMap(realOf));
  let names: string[];
  try {
    names = readdirSync(folder, { withFileTypes: true })
      .filter((one) => (one.isFile() || one.isSymbolicLink()) && isLikeIt(one.name, base, folder))
      .map((one) => one.name)
      .toSorted();
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [];
    return [{ name: 'unreadable', file, line: 1, detail: 'what lies beside it cannot be listed' }];
  }
  const others = names
    .map((name) => join(folder, name))
    .filter((path) => !realOf(path).some((real) => judged.has(real)));
  const found = others.slice(0, MOST_BESIDE).flatMap((path): Finding[] => {
    const { content } = world.read(path);
    const secrets = content === undefined ? 0 : secretsIn(path, content, world);
    if (secrets === 0) return [];
    return [{ name: 'backup_beside', file: path, line: 1, detail: `beside ${base}` }];
  });
  const left = others.length - MOST_BESIDE;
  if (left <= 0) return found;
  return [...found, { name: 'unreadable', file, line: 1, detail: `${left} more files beside it were not looked at` }];
}

function realOf(path: string): readonly string[] {
  try {
    return [realpathSync(path)];
  } catch {
    return [];
  }
}

/** In `~/.kube` each file may be one; elsewhere those that bear its name. */
function isLikeIt(name: string, base: string, folder: string): boolean {
  if (basename(folder) === '.kube') return name !== 'kuberc';
  return name !== base && (name.startsWith(base) || /^(?:[.#]|Copy of )/.test(name)) && name.includes(base);
}

/** What is broken, as an editor's copy is, is searched as it is. */
function secretsIn(path: string, content: string, world: World): number {
  if (content.length > LARGEST_BYTES) return 0;
  const { seen, parts } = inspectText(path, content, world);
  if (seen.length > 0) return seen.length;
  const foreign = parts.every(({ entries }) => entries.length === 0);
  return looksSecret(content) || (foreign && RAW.test(content)) ? 1 : 0;
}

const RAW = /(?:token|password|client-key-data)["']?\s*:\s*\S{6,}/;
