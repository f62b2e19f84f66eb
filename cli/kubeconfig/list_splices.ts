// Items of a list in a YAML text, put in and taken out where they are, and nothing else.

import { isSeq, type Node, type YAMLSeq } from 'yaml';
import { asLines, columnOf, indentOf, insertLines, lineEnd, lineStart, type Splice, within } from './lines.ts';
import { dashes, endOf, type Fields, isNode, rangeOf, stringify } from './yaml.ts';

export interface Written {
  readonly text: string;
  readonly newline: '\n' | '\r\n';
}

/** Where an item is: from its dash, or its brace, to the end of its last line. */
export function placeOf(
  text: string,
  list: YAMLSeq,
  item: Node,
): { readonly start: number; readonly end: number; readonly indent: number } {
  if (list.flow) {
    const [start, end] = rangeOf(item);
    return { start, end, indent: indentOf(text, start) };
  }
  const start = dashes(list)[list.items.indexOf(item)];
  if (start === undefined) throw new TypeError('an item without a place');
  return { start, end: lineEnd(text, endOf(item)), indent: columnOf(text, start) };
}

/**
 * @param value the list, or what is in its place
 * @param afterKey the place after the colon of its key
 */
export function appendItems(
  { text, newline }: Written,
  value: Node | null,
  afterKey: number,
  root: { readonly flow: boolean; readonly column: number },
  added: readonly Fields[],
): Splice[] {
  const last = isSeq(value) ? value.items.at(-1) : undefined;
  if (isSeq(value) && isNode(last)) {
    if (value.flow) return [appendInFlow({ text, newline }, last, added)];
    const indent = columnOf(text, dashes(value)[0] ?? 0);
    return [insertLines(text, newline, endOf(value), asLines(newline, stringify(added), indent))];
  }
  const [start, end] = isNode(value) ? rangeOf(value) : [afterKey, afterKey];
  if (root.flow) {
    const lines = text.trimEnd().includes('\n');
    return [{ start, end, text: flowValue(newline, added, indentOf(text, start), lines) }];
  }
  const emptied = end > start ? [{ start, end, text: '' }] : [];
  return [...emptied, insertLines(text, newline, end, asLines(newline, stringify(added), root.column))];
}

/** After the last of a list in brackets. */
function appendInFlow({ text, newline }: Written, last: Node, added: readonly Fields[]): Splice {
  const [start, end] = rangeOf(last);
  const ownLine = text.slice(lineStart(text, start), start).trim() === '';
  const indent = indentOf(text, start);
  const parts = added.map((entry) => flowValue(newline, entry, indent, ownLine));
  const between = ownLine ? `,${newline}${' '.repeat(indent)}` : ', ';
  return { start: end, end, text: parts.map((part) => between + part).join('') };
}

export function flowValue(newline: Written['newline'], value: unknown, indent: number, inLines: boolean): string {
  return inLines ? within(newline, JSON.stringify(value, null, 2), indent) : JSON.stringify(value);
}

/**
 * Takes items out, with their lines. Of a list of which nothing is left, `[]` stays.
 *
 * @param afterKey the place after the colon of its key
 */
export function removeItems(text: string, list: YAMLSeq, afterKey: number, gone: readonly unknown[]): Splice[] {
  const items = list.items.filter(isNode);
  const left = items.filter((item) => !gone.includes(item));
  if (left.length === items.length) return [];
  if (list.flow) return removeFromFlow(items, left);
  const splices = items
    .filter((item) => gone.includes(item))
    .map((item) => {
      const { start, end } = placeOf(text, list, item);
      const next = text.indexOf('\n', end);
      return { start: lineStart(text, start), end: next === -1 ? text.length : next + 1, text: '' };
    });
  return left.length > 0 ? splices : [{ start: afterKey, end: afterKey, text: ' []' }, ...splices];
}

/** With the comma that was between it and its neighbour. */
function removeFromFlow(items: readonly Node[], left: readonly Node[]): Splice[] {
  const [first, last, kept] = [items[0], items.at(-1), left[0]];
  if (!first || !last) return [];
  if (!kept) return [{ start: rangeOf(first)[0], end: rangeOf(last)[1], text: '' }];
  const before = kept === first ? [] : [{ start: rangeOf(first)[0], end: rangeOf(kept)[0], text: '' }];
  const after = items.slice(items.indexOf(kept)).flatMap((item, i, rest) => {
    const previous = rest[i - 1];
    if (!previous || left.includes(item)) return [];
    return [{ start: rangeOf(previous)[1], end: rangeOf(item)[1], text: '' }];
  });
  return [...before, ...after];
}
