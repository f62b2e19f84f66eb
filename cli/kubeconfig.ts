// The person's kubeconfig: edited in place, so that comments, order and fields that we do not know stay.

import { closeSync, mkdirSync, openSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { delimiter, dirname, resolve } from 'node:path';
import { type Document, isMap, isSeq, parseDocument, type YAMLMap } from 'yaml';
import { CurfewError } from '../shared/errors.ts';
import { codeOf, removeFile, writeWhole } from './files.ts';
import type { Host } from './host.ts';
import { beneathHome } from './paths.ts';

/** How long kubectl's own lock is waited for, in milliseconds. */
const LONGEST_WAIT = 5_000;
const LOOK = 100;

/** Where `kubectl config` would write (client-go, PathOptions.GetDefaultFilename). */
export function kubeconfigFile({ env }: Host, flag: string | undefined): string {
  if (flag !== undefined) return resolve(flag);
  const listed = (env.KUBECONFIG ?? '').split(delimiter).filter((file) => file !== '');
  const file = listed.find((candidate) => statSync(candidate, { throwIfNoEntry: false })) ?? listed.at(-1);
  if (file !== undefined) return resolve(file);
  const usual = beneathHome(env, '.kube/config');
  if (usual !== undefined) return usual;
  throw new CurfewError('configuration', 'there is no place for a kubeconfig', {
    hint: 'set HOME, or give --kubeconfig FILE',
  });
}

/**
 * Changes a kubeconfig as a whole, while kubectl's own lock `<file>.lock` is held.
 *
 * @throws CurfewError `busy` when the lock stays taken, `configuration` when the file is no kubeconfig or cannot be written
 */
export async function editKubeconfig<T>(host: Host, file: string, edit: (config: Document) => T): Promise<T> {
  const unlock = await lock(file);
  try {
    const target = realpathOf(file);
    const stat = statSync(target, { throwIfNoEntry: false });
    const text = stat ? readFileSync(target, 'utf8') : '';
    const config = parse(text, file);
    const result = edit(config);
    const after = print(config, text);
    if (after !== text) writeWhole(target, after, host, stat ? stat.mode & 0o777 : 0o600);
    return result;
  } catch (cause) {
    if (cause instanceof CurfewError) throw cause;
    throw new CurfewError('configuration', `${file} cannot be written (${codeOf(cause)})`, { cause });
  } finally {
    unlock();
  }
}

/** The entry of this name in one of the lists `clusters`, `users`, `contexts`. */
export function findEntry(config: Document, list: string, name: string): YAMLMap | undefined {
  const entries = config.get(list);
  if (!isSeq(entries)) return undefined;
  return entries.items.find((item): item is YAMLMap => isMap(item) && item.get('name') === name);
}

/** Sets fields of an entry, which is appended when it is not there; other fields of it stay. */
export function setEntry(
  config: Document,
  list: string,
  name: string,
  field: string,
  values: Readonly<Record<string, unknown>>,
): void {
  const entry = findEntry(config, list, name);
  if (!entry) {
    if (!isSeq(config.get(list))) config.set(list, config.createNode([]));
    config.addIn([list], config.createNode({ [field]: values, name }));
    return;
  }
  for (const [key, value] of Object.entries(values)) {
    const before = entry.getIn([field, key]);
    const same = JSON.stringify(toPlain(before)) === JSON.stringify(value);
    if (!same) entry.setIn([field, key], config.createNode(value));
  }
}

function toPlain(node: unknown): unknown {
  return isSeq(node) || isMap(node) ? node.toJSON() : node;
}

function parse(text: string, file: string): Document {
  const config = parseDocument(text, { logLevel: 'silent', keepSourceTokens: false });
  const [fault] = config.errors;
  if (fault)
    throw new CurfewError('configuration', `${file}: ${fault.message.split('\n', 1)[0]}`, { hint: 'correct the file' });
  if (config.contents === null) {
    for (const [name, value] of Object.entries({ apiVersion: 'v1', kind: 'Config' })) config.set(name, value);
  } else if (!isMap(config.contents)) {
    throw new CurfewError('configuration', `${file} is not a kubeconfig`, {
      hint: 'correct the file, or give --kubeconfig FILE',
    });
  }
  for (const list of ['clusters', 'users', 'contexts']) {
    const entries = config.get(list);
    if (entries !== null && entries !== undefined && !isSeq(entries)) {
      throw new CurfewError('configuration', `${file}: ${list}: expected a list`, { hint: 'correct the file' });
    }
    if (isSeq(entries) && entries.items.length === 0) entries.flow = false;
  }
  return config;
}

/** In the way that the file has: JSON, or YAML with its kind of lists (kubectl does not indent them) and braces. */
function print(config: Document, before: string): string {
  if (isJson(before)) return `${JSON.stringify(config.toJS(), null, 2)}\n`;
  const indentSeq = /^[a-z]+:\n +- /m.test(before);
  return config.toString({ lineWidth: 0, indentSeq, flowCollectionPadding: /[[{] /.test(before) });
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** As client-go does it: the file must not be there, and is gone afterwards. */
async function lock(file: string): Promise<() => void> {
  const name = `${file}.lock`;
  for (let spent = 0; ; spent += LOOK) {
    try {
      mkdirSync(dirname(file), { recursive: true, mode: 0o755 });
      closeSync(openSync(name, 'wx', 0o600));
      return () => void removeFile(name);
    } catch (cause) {
      const code = codeOf(cause);
      if (code !== 'EEXIST') throw new CurfewError('configuration', `${name} cannot be made (${code})`, { cause });
      if (spent >= LONGEST_WAIT) {
        const hint = `if no kubectl is changing it now, remove ${name}`;
        throw new CurfewError('busy', `${file} is locked by another program`, { hint });
      }
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK));
  }
}

/** A link stays a link: what it points to is written. */
function realpathOf(file: string): string {
  try {
    return realpathSync(file);
  } catch {
    return file;
  }
}
