// The documents of a kubeconfig, and where in the text their values are. Faults are said by code and line alone: the words of a
// parser quote what they stumble over, and that may be a secret.

import {
  type Document,
  isAlias,
  isCollection,
  isMap,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  parseAllDocuments,
} from 'yaml';
import { isObject } from '../../shared/wire.ts';
import type { List } from '../kubeconfig/others.ts';
import { STYLE } from '../kubeconfig/yaml.ts';

export interface Entry {
  readonly list: List;
  readonly name: string;
  /** Of the list's own field: `cluster`, `user` or `context`. */
  readonly fields: Readonly<Record<string, unknown>>;
  /** Beside its name and that field. */
  readonly more: Readonly<Record<string, unknown>>;
  /** Of a field within, or of what is nearest above it. */
  readonly lineOf: (...path: readonly string[]) => number;
  /** The same beside that field. */
  readonly lineBeside: (key: string) => number;
}

/** One document of a file: kubectl reads the first, but a secret in another is as good. */
export interface Part {
  readonly entries: readonly Entry[];
  /** Beside the lists. */
  readonly more: Readonly<Record<string, unknown>>;
  readonly lineOf: (...path: readonly string[]) => number;
}

export interface Unreadable {
  readonly fault: string;
  readonly line: number;
}

const SINGULAR = { clusters: 'cluster', users: 'user', contexts: 'context' } as const;
export const LISTS = ['clusters', 'users', 'contexts'] as const;

export function readParts(text: string): readonly Part[] | Unreadable {
  const lines = new LineCounter();
  const options = { ...STYLE, logLevel: 'silent', lineCounter: lines, prettyErrors: false } as const;
  let documents: readonly Document.Parsed[];
  try {
    const all = parseAllDocuments(text, options);
    documents = Array.isArray(all) ? (all as Document.Parsed[]) : [];
  } catch {
    return { fault: 'is nested too deeply', line: 1 };
  }
  const parts: Part[] = [];
  for (const document of documents) {
    const [fault] = document.errors;
    if (fault)
      return { fault: `is not YAML that kubectl reads (${fault.code})`, line: lines.linePos(fault.pos[0]).line };
    let value: unknown;
    try {
      value = document.toJS();
      // What is within itself is found out here.
      if (text.includes('*')) JSON.stringify(value);
    } catch {
      return { fault: 'is not YAML that kubectl reads (an alias)', line: 1 };
    }
    if (value === null || value === undefined) continue;
    if (!isObject(value)) return { fault: 'is not a kubeconfig', line: lineAt(lines, document.contents) };
    parts.push(partOf(document, value, lines));
  }
  return parts;
}

function partOf(document: Document.Parsed, value: Readonly<Record<string, unknown>>, lines: LineCounter): Part {
  const lineOf = (...path: readonly string[]) => lineWithin(document, document.contents, path, lines);
  const entries = LISTS.flatMap((list): Entry[] => {
    const items = value[list];
    const nodes = isMap(document.contents) ? document.contents.get(list, true) : undefined;
    if (!Array.isArray(items)) return [];
    return items.flatMap((item: unknown, i): Entry[] => {
      const node: unknown = isSeq(nodes) ? nodes.items[i] : undefined;
      return entryOf(list, item, (path) => lineWithin(document, node, path, lines));
    });
  });
  const more = Object.fromEntries(Object.entries(value).filter(([key]) => !(LISTS as readonly string[]).includes(key)));
  return { entries, more, lineOf };
}

/** @param lineOf of a path within the item */
export function entryOf(list: List, item: unknown, lineOf: (path: readonly string[]) => number): Entry[] {
  if (!isObject(item)) return [];
  const own = SINGULAR[list];
  const { name, [own]: fields, ...rest } = item;
  return [
    {
      ...{ list, name: String(name ?? '') },
      fields: isObject(fields) ? fields : {},
      more: isObject(fields) ? rest : { ...rest, [own]: fields },
      lineOf: (...path) => lineOf([own, ...path]),
      lineBeside: (key) => lineOf([key]),
    },
  ];
}

/** Where the last key of a path is; where that is not in the text, as behind a merge, what is nearest above it. */
function lineWithin(document: Document.Parsed, from: unknown, path: readonly string[], lines: LineCounter): number {
  let node = isAlias(from) ? from.resolve(document) : from;
  let line = lineAt(lines, from);
  for (const key of path) {
    if (!isMap(node) && !isSeq(node)) return line;
    const pair = isMap(node) ? node.items.find((item) => isScalar(item.key) && item.key.value === key) : undefined;
    const next: unknown = isSeq(node) ? node.items[Number(key)] : pair?.value;
    if (pair === undefined && next === undefined) return line;
    line = lineAt(lines, pair?.key ?? next);
    node = isAlias(next) ? next.resolve(document) : next;
  }
  return line;
}

function lineAt(lines: LineCounter, node: unknown): number {
  if (isPair(node)) return lineAt(lines, node.key);
  const range = isScalar(node) || isCollection(node) || isAlias(node) ? node.range : undefined;
  return range ? lines.linePos(range[0]).line : 1;
}
