// The documents as a test reads them: sections, tables, names in backticks.

import { readFileSync } from 'node:fs';
import path from 'node:path';

export const ROOT = path.resolve(import.meta.dirname, '../..');

export function read(file: string): string {
  return readFileSync(path.join(ROOT, file), 'utf8');
}

/** The rows of all tables whose header is exactly this, each as its cells. @throws Error when there is no such table or no row */
export function rowsOf(text: string, ...header: readonly string[]): string[][] {
  const rows: string[][] = [];
  let inside = false;
  for (const line of text.split('\n')) {
    const cells = cellsOf(line);
    if (!cells) inside = false;
    else if (inside) rows.push(cells);
    else inside = header.length === cells.length && header.every((name, i) => name === cells[i]);
  }
  const body = rows.filter((cells) => !cells.every((cell) => /^-*$/.test(cell)));
  if (body.length === 0) throw new Error(`no table with the header ${header.join(' | ')}`);
  return body;
}

function cellsOf(line: string): string[] | undefined {
  if (!/^\|.*\|$/.test(line)) return undefined;
  return line
    .slice(1, -1)
    .split('|')
    .map((cell) => cell.trim());
}

/** All that stands in backticks. */
export function namesIn(text: string): string[] {
  return [...text.matchAll(/`([^`\n]+)`/g)].map(([, name = '']) => name);
}

/** The first name in backticks of each row's first cell, or all of them. */
export function firstNames(rows: readonly (readonly string[])[]): string[] {
  return rows.flatMap(([first = '']) => namesIn(first));
}

/** The text beneath each heading of this level that has a name in backticks, up to the next heading. */
export function sectionsByName(text: string, level: string): Map<string, string> {
  const parts = text.split(/^(?=#{1,6} )/m);
  const found = parts.flatMap((part): [string, string][] => {
    const [, marks, name] = /^(#+) `([^`]+)`$/m.exec(part) ?? [];
    return marks === level && name !== undefined ? [[name, part]] : [];
  });
  return new Map(found);
}

/** The content of fenced blocks of this language. */
export function blocks(text: string, language: string): string[] {
  return [...text.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)].flatMap(([, kind, body = '']) =>
    kind === language ? [body] : [],
  );
}
