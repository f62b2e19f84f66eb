// Lines of a text, and places in it.

/** Characters from the line's start. */
export function columnOf(text: string, at: number): number {
  return at - lineStart(text, at);
}

/** Spaces at the start of the line. */
export function indentOf(text: string, at: number): number {
  const [spaces = ''] = /^ */.exec(text.slice(lineStart(text, at))) ?? [];
  return spaces.length;
}

export function lineStart(text: string, at: number): number {
  return text.lastIndexOf('\n', at - 1) + 1;
}

/** Before the line end. */
export function lineEnd(text: string, at: number): number {
  if (at > 0 && text[at - 1] === '\n') return at - (text[at - 2] === '\r' ? 2 : 1);
  const end = text.indexOf('\n', at);
  if (end === -1) return text.length;
  return text[end - 1] === '\r' && end > at ? end - 1 : end;
}

/** Each line so far to the right, with the line ends that are wanted, one after the last too. */
export function asLines(newline: string, text: string, indent: number): string {
  const lines = text.trimEnd().split('\n');
  return lines.map((line) => (line === '' ? '' : ' '.repeat(indent) + line) + newline).join('');
}

/** The same, for a line that is there already. */
export function within(newline: string, text: string, indent: number): string {
  return asLines(newline, text, indent).trim();
}

/** What comes in the place of a part of the text. */
export interface Splice {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** From the end, so that places before stay good; at one place what was meant first comes first. */
export function spliced(text: string, splices: readonly Splice[]): string {
  return splices
    .map((splice, order) => ({ ...splice, order }))
    .toSorted((a, b) => b.start - a.start || b.order - a.order)
    .reduce((whole, { start, end, text: put }) => whole.slice(0, start) + put + whole.slice(end), text);
}

/** Puts whole lines after the line that holds a place. */
export function insertLines(text: string, newline: string, after: number, lines: string): Splice {
  const blockScalar = after > 0 && text[after - 1] === '\n';
  const at = blockScalar ? after : lineEnd(text, after);
  if (blockScalar) return { start: at, end: at, text: lines };
  if (at === text.length) return { start: at, end: at, text: newline + lines };
  const next = text.indexOf('\n', at) + 1;
  return { start: next, end: next, text: lines };
}
