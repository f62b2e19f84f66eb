// YAML as kubectl reads it, and nodes of it with their places in the text.

import {
  type Document,
  isMap,
  isPair,
  isScalar,
  isSeq,
  type Node,
  type ParsedNode,
  parseAllDocuments,
  parseDocument,
  visit,
  type YAMLMap,
  type YAMLSeq,
} from 'yaml';
import { isObject } from '../../shared/wire.ts';

/** Why a text cannot be read or changed, in words that follow the file's name. */
export class TextFault extends Error {}

export type Fields = Readonly<Record<string, unknown>>;
/** As kubectl's own parser reads values: `yes` and `0123` as text are quoted. */
export const STYLE = { version: '1.1', merge: true, lineWidth: 0, indentSeq: false } as const;
export function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(([, field]) => field !== undefined);
  return Object.fromEntries(
    entries.toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([key, field]) => [key, sorted(field)]),
  );
}

/** @throws TextFault */
export function parse(text: string): Document.Parsed[] {
  const options = { ...STYLE, logLevel: 'silent', keepSourceTokens: true } as const;
  const documents = withinReach(() => parseAllDocuments(text, options));
  if (!Array.isArray(documents)) return [];
  const [fault] = documents[0]?.errors ?? [];
  // By code and place alone: the words of a parser quote what they stumble over, and that may be a secret.
  if (fault)
    throw new TextFault(`: not YAML that kubectl reads (${fault.code}) at line ${fault.linePos?.[0].line ?? 1}`);
  mustHaveValue(documents[0]);
  return documents as Document.Parsed[];
}

/** What is within itself thousands of times is more than the parser's stack. */
function withinReach<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof RangeError) throw new TextFault(' is nested too deeply');
    throw error;
  }
}

/** An alias of nothing, or what cannot be merged, is only found out as values are asked for. @throws TextFault */
function mustHaveValue(document: Document.Parsed | undefined): void {
  try {
    // Which also finds what is within itself.
    JSON.stringify(document?.toJS());
  } catch {
    throw new TextFault(': an alias or a merge in it has no value');
  }
}

export function stringify(value: unknown): string {
  const document = parseDocument('', STYLE);
  document.contents = document.createNode(value) as unknown as ParsedNode;
  return document.toString(STYLE);
}

/** Sets what is named, in maps within maps; all else stays. */
export function setFields(document: Document, item: YAMLMap, path: readonly string[], wanted: Fields): void {
  for (const [key, value] of Object.entries(wanted)) {
    if (value === undefined) continue;
    const before: unknown = item.getIn([...path, key], true);
    const plain = isNode(before) ? before.toJS(document) : before;
    if (includes(plain, value)) continue;
    if (isObject(value) && isObject(plain)) setFields(document, item, [...path, key], value);
    else item.setIn([...path, key], document.createNode(value));
  }
}

/** Whether all that is wanted is there already. */
export function includes(found: unknown, wanted: unknown): boolean {
  if (!isObject(wanted)) return JSON.stringify(sorted(found)) === JSON.stringify(sorted(wanted));
  return (
    isObject(found) &&
    Object.entries(wanted).every(([key, value]) => value === undefined || includes(found[key], value))
  );
}

export function toFields(entry: YAMLMap, document: Document): Fields {
  return entry.toJS(document) as Fields;
}

export function nameOf(entry: YAMLMap): string | undefined {
  const name: unknown = entry.get('name');
  return name === undefined || name === null ? undefined : String(name);
}

/** Whether others may refer to this, or to a part of it. */
export function hasAnchor(node: Node): boolean {
  let found = false;
  visit(node, {
    Node(_, inner) {
      if ('anchor' in inner && inner.anchor !== undefined) found = true;
    },
  });
  return found;
}

export function dashes(list: YAMLSeq): readonly number[] {
  const token = list.srcToken;
  if (token?.type !== 'block-seq') return [];
  return token.items.flatMap(({ start }) =>
    start.filter(({ type }) => type === 'seq-item-ind').map(({ offset }) => offset),
  );
}

export function rangeOf(node: Node): readonly [number, number] {
  const { range } = node;
  if (!range) throw new TypeError('a node without a place');
  return [range[0], range[1]];
}

export function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && 'range' in value;
}

export function isNull(value: unknown): boolean {
  return value === null || (isScalar(value) && value.value === null);
}

/** After the last character of a value, without the comments and blank lines that follow. */
export function endOf(value: unknown): number {
  let end = 0;
  const visit = (node: unknown): void => {
    if (isPair(node)) {
      visit(node.key);
      visit(node.value);
    } else if ((isMap(node) || isSeq(node)) && !node.flow) {
      for (const item of node.items) visit(item);
    } else if (isNode(node)) end = Math.max(end, rangeOf(node)[1]);
  };
  visit(value);
  return end;
}

/** The value of a key: `null` where nothing stands there, `undefined` where the key is not. */
export function fieldOf(root: YAMLMap | undefined, key: string): unknown {
  const pair = pairOf(root, key);
  return pair === undefined ? undefined : (pair.value ?? null);
}

/** The place after the colon of a key that is there. */
export function afterKey(text: string, root: YAMLMap | undefined, key: string): number {
  return text.indexOf(':', rangeOf(pairOf(root, key)?.key as Node)[1]) + 1;
}

function pairOf(root: YAMLMap | undefined, key: string) {
  return root?.items.find(({ key: found }) => isScalar(found) && found.value === key);
}
