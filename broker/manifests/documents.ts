// The YAML documents of a text, one after the other, and the line of each value in it. Each is read by itself, so that neither a
// thousand of them nor one that is broken weighs on the others. Faults are said by code and line alone: the words of a parser quote
// what they stumble over, and that may be a secret.

import { type Document, isAlias, isCollection, isMap, isScalar, isSeq, LineCounter, parseDocument } from 'yaml';
import { parseJson } from '../../shared/json.ts';
import type { Path } from './values.ts';

/** A document, or one item of a list of objects. */
interface Piece {
  readonly text: string;
  /** Of its first character, from 1. */
  readonly line: number;
  /** Whether it is an item: a list of one. */
  readonly item: boolean;
}

export interface Read {
  readonly value: unknown;
  /** Of what is nearest to a path, in the whole text. */
  readonly lineOf: (...path: Path) => number;
}

export interface Unread {
  readonly fault: string;
  readonly line: number;
}

/** As go-yaml reads it, which is what kubectl does. */
const STYLE = { version: '1.1', merge: true, stringKeys: true, prettyErrors: false, logLevel: 'silent' } as const;
const MOST_ALIASES = 100;
const MIB = 1024 * 1024;
/** The tree of a document is a hundred times as large as its text. */
const MOST_OF_ONE = 4 * MIB;

/**
 * @param isWanted whether a document with this `kind` is looked at; asked only where the text shows it without being parsed
 * @param onSkipped with the kind of each that was not
 */
export function* readDocuments(
  text: string,
  isWanted: (kind: string) => boolean,
  onSkipped: (kind: string) => void,
): Generator<Read | Unread> {
  const json = text.length > MOST_OF_ONE && /^\s*\{/.test(text) ? parseJson(text) : undefined;
  // As large as this it is what a program wrote, in one line or in millions: its lines help nobody.
  if (json !== undefined) return void (yield { value: json, lineOf: () => 1 });
  for (const piece of piecesOf(text.replace(/^\ufeff/, ' '))) {
    const [, kind] =
      (piece.item ? /^ {2}kind: *["']?(\w+)["']? *\r?$/m : /^kind: *["']?(\w+)["']? *\r?$/m).exec(piece.text) ?? [];
    if (kind !== undefined && !isWanted(kind)) {
      onSkipped(kind);
      continue;
    }
    if (piece.text.length > MOST_OF_ONE) {
      yield { fault: `is one document of more than ${MOST_OF_ONE / MIB} MiB: split it`, line: piece.line };
      continue;
    }
    const read = readPiece(piece);
    if (read) yield read;
  }
}

/** A line that begins with `---` ends a document wherever it is, also in a text block (YAML 1.2.2, 9.1.2). */
function* piecesOf(text: string): Generator<Piece> {
  let line = 1;
  let start = 0;
  for (const { index, 0: marker } of text.matchAll(/^(?:---|\.\.\.)(?=[ \t\r\n]|$)/gm)) {
    yield* itemsOf(text.slice(start, index), line);
    line += count(text, start, index);
    start = index + marker.length;
  }
  yield* itemsOf(text.slice(start), line);
}

/** A list as kubectl prints it, of which the items begin in the first column. */
function* itemsOf(text: string, line: number): Generator<Piece> {
  const [, before] = /^((?:[^\n]*\n)*?items:[ \t]*\r?\n)- /.exec(text.slice(0, 4096)) ?? [];
  if (before === undefined || /[&*<]/.test(before)) {
    if (/\S/.test(text)) yield { text, line, item: false };
    return;
  }
  const end = (/^[A-Za-z]/gm.exec(text.slice(before.length))?.index ?? text.length - before.length) + before.length;
  const dashes = [...text.slice(before.length, end).matchAll(/^- /gm)].map(({ index }) => index + before.length);
  let at = line + count(text, 0, before.length);
  for (const [i, dash] of dashes.entries()) {
    const next = dashes[i + 1] ?? end;
    yield { text: text.slice(dash, next), line: at, item: true };
    at += count(text, dash, next);
  }
}

function count(text: string, from: number, to: number): number {
  let lines = 0;
  for (let i = text.indexOf('\n', from); i !== -1 && i < to; i = text.indexOf('\n', i + 1)) lines++;
  return lines;
}

function readPiece({ text, line, item }: Piece): Read | Unread | undefined {
  const lines = new LineCounter();
  const document = parse(text, lines);
  if (document === undefined) return { fault: 'is nested too deeply', line };
  const [error] = document.errors;
  if (error) return { fault: faultOf(text, error.code), line: line + lines.linePos(error.pos[0]).line - 1 };
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: MOST_ALIASES });
    // What is within itself is found out here.
    if (text.includes('*')) JSON.stringify(value);
  } catch {
    return { fault: 'is not YAML that kubectl reads (an alias)', line };
  }
  if (item) value = Array.isArray(value) ? value[0] : undefined;
  if (value === null || value === undefined) return undefined;
  // The tree is much larger than the value: it is made again for whoever asks for a line.
  const lineOf = (...path: Path) => line + lineWithin(text, item ? [0, ...path] : path) - 1;
  return { value, lineOf };
}

function faultOf(text: string, code: string): string {
  return text.includes('{{') ? 'is a template: render it first' : `is not YAML that kubectl reads (${code})`;
}

function parse(text: string, lineCounter: LineCounter): Document.Parsed | undefined {
  try {
    return parseDocument(text, { ...STYLE, lineCounter });
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

let last: { readonly text: string; readonly document: Document.Parsed; readonly lines: LineCounter } | undefined;

/** Findings come one object after the other: the tree of the last one is kept. */
function treeOf(text: string): NonNullable<typeof last> | undefined {
  if (last?.text === text) return last;
  const lines = new LineCounter();
  const document = parse(text, lines);
  last = document && { text, document, lines };
  return last;
}

function lineWithin(text: string, path: Path): number {
  const tree = treeOf(text);
  if (!tree) return 1;
  const { document, lines } = tree;
  const lineAt = (node: unknown, otherwise: number) => {
    const range = isScalar(node) || isCollection(node) || isAlias(node) ? node.range : undefined;
    return range ? lines.linePos(range[0]).line : otherwise;
  };
  let node: unknown = document.contents;
  let line = lineAt(node, 1);
  for (const key of path) {
    const within = isAlias(node) ? node.resolve(document) : node;
    if (isMap(within)) {
      const pair = within.items.find((one) => isScalar(one.key) && String(one.key.value) === String(key));
      if (!pair) return line;
      line = lineAt(pair.key, line);
      node = pair.value;
    } else if (isSeq(within)) {
      const next = within.items[Number(key)];
      if (next === undefined) return line;
      line = lineAt(next, line);
      node = next;
    } else return line;
  }
  return line;
}
