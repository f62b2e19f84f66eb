// Which licences packages may have, and the texts that must go with what is shipped of them.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import parse from 'spdx-expression-parse';
import type { LockedPackage } from './lock_file.ts';

/** Of what is shipped: permissive, compatible with Apache-2.0, asking for nothing but their texts. */
export const SHIPPED: ReadonlySet<string> = new Set(['Apache-2.0', 'BSD-2-Clause', 'BSD-3-Clause', 'ISC', 'MIT']);

/** Of what only builds and tests use: also these. */
export const USED: ReadonlySet<string> = new Set([...SHIPPED, 'CC-BY-3.0', 'CC0-1.0', 'PSF-2.0', 'Unlicense']);

/** Packages that ship no text of their licence, each with where theirs is: a part of a file, or what their licence says in their author's name. */
const TEXTS_ELSEWHERE: Readonly<
  Record<string, { readonly file: string; readonly after: string } | { readonly mit: string }>
> = {
  'pg-types': { file: 'README.md', after: '## license' },
  pgpass: { file: 'README.md', after: '## License' },
  'abstract-logging': { mit: 'James Sumners' },
};

const TEXT_FILE = /^(licen[cs]e|copying|notice|unlicense)/i;

/**
 * Whether a package may be used under this licence.
 *
 * @param expression as its manifest says it: an SPDX expression
 * @returns what is wrong, in words; undefined if nothing is
 */
export function licenceFault(expression: string | undefined, allowed: ReadonlySet<string>): string | undefined {
  if (expression === undefined || expression === '') return 'names no licence';
  let tree: parse.Info;
  try {
    tree = parse(expression);
  } catch {
    return `"${expression}" is not an SPDX expression`;
  }
  return admits(tree, allowed) ? undefined : `${expression} is not an allowed licence`;
}

function admits(tree: parse.Info, allowed: ReadonlySet<string>): boolean {
  if ('conjunction' in tree) {
    const [left, right] = [admits(tree.left, allowed), admits(tree.right, allowed)];
    return tree.conjunction === 'or' ? left || right : left && right;
  }
  const exception = tree.exception === undefined ? '' : ` WITH ${tree.exception}`;
  return allowed.has(`${tree.license}${tree.plus ? '+' : ''}${exception}`);
}

/** Each package that may not be used as it is, with why. */
export function licenceFaults(packages: Iterable<LockedPackage>, allowed: ReadonlySet<string>): string[] {
  return [...packages].flatMap(({ name, version, licence }) => {
    const fault = licenceFault(licence, allowed);
    return fault === undefined ? [] : [`${name} ${version}: ${fault}`];
  });
}

/**
 * The texts of a package's licence and notices, from where it is installed.
 *
 * @throws Error if it has none, nor is it known where else its text is: nothing of it can be shipped
 */
export function licenceTexts(root: string, { place, name, version }: LockedPackage): string[] {
  const folder = path.join(root, place);
  if (!existsSync(folder)) throw new Error(`${place} is not installed: its licence cannot be read`);
  const texts = textFilesIn(folder).map((file) => readFileSync(file, 'utf8').trim());
  if (texts.length > 0) return texts;
  const elsewhere = TEXTS_ELSEWHERE[name];
  if (elsewhere === undefined)
    throw new Error(`${name} ${version} ships no text of its licence (scripts/supply/licences.ts)`);
  if ('mit' in elsewhere) return [mitText(elsewhere.mit)];
  const [, text] = readFileSync(path.join(folder, elsewhere.file), 'utf8').split(elsewhere.after);
  if (text === undefined || !/copyright/i.test(text))
    throw new Error(`${name} ${version}: no licence in ${elsewhere.file}`);
  return [text.trim()];
}

/** Also those of parts that it holds of others, deeper down. */
function textFilesIn(folder: string): string[] {
  const entries = readdirSync(folder, { withFileTypes: true }).sort((one, other) => (one.name < other.name ? -1 : 1));
  return entries.flatMap((entry) => {
    const at = path.join(folder, entry.name);
    if (entry.isDirectory()) return entry.name === 'node_modules' ? [] : textFilesIn(at);
    return entry.isFile() &&
      TEXT_FILE.test(entry.name) &&
      /^(\.(md|txt|markdown|rst))?$/i.test(path.extname(entry.name))
      ? [at]
      : [];
  });
}

function mitText(owner: string): string {
  return `MIT License

Copyright (c) ${owner}

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation files (the
"Software"), to deal in the Software without restriction, including without limitation the rights to use, copy, modify, merge, publish,
distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is furnished to do so, subject to
the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF
MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY
CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE
SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.`;
}
