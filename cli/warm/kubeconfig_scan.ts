// What the prompt needs of a kubeconfig: its current context, and whom its users call. Reads the plain YAML that kubectl, setup
// and most people write, and JSON; what is written in any other way it leaves to a reader that knows all of YAML. Part of the
// warm path: loads nothing.

import { parseJson } from '../../shared/json.ts';
import { isObject } from '../../shared/wire.ts';

type Value = string | boolean | undefined | readonly Value[] | { readonly [key: string]: Value };

/** A kubeconfig as values, `undefined` where it cannot be read here. Of several documents the first, as kubectl does it. */
export function scanKubeconfig(text: string): unknown {
  if (/^(?: |\r?\n)*\{/.test(text)) return parseJson(text);
  try {
    const lines = linesOf(text);
    const yaml = new PlainYaml(lines);
    const value = lines.length === 0 ? {} : yaml.value(0);
    return yaml.done ? value : undefined;
  } catch (error) {
    if (error instanceof Unusual) return undefined;
    throw error;
  }
}

/** What a file of `KUBECONFIG` says, so far as it is what it should be. */
export class ReadKubeconfig {
  readonly #value: Readonly<Record<string, unknown>>;

  /** @param value of the whole file */
  constructor(value: unknown) {
    this.#value = isObject(value) ? value : {};
  }

  get currentContext(): string | undefined {
    const name = this.#value['current-context'];
    return typeof name === 'string' && name !== '' ? name : undefined;
  }

  /** The user that a context names; empty where it names none. */
  userOf(context: string): string | undefined {
    const found = this.#entry('contexts', context, 'context');
    return found && (typeof found.user === 'string' ? found.user : '');
  }

  /** The arguments with which a user calls its plugin; none where it calls none. */
  argumentsOf(user: string): readonly string[] | undefined {
    const found = this.#entry('users', user, 'user');
    if (!found) return undefined;
    const args = isObject(found.exec) ? found.exec.args : undefined;
    return Array.isArray(args) && args.every((word) => typeof word === 'string') ? args : [];
  }

  #entry(list: string, name: string, field: string): Readonly<Record<string, unknown>> | undefined {
    const entries = this.#value[list];
    if (!Array.isArray(entries)) return undefined;
    const entry: unknown = entries.find((candidate) => isObject(candidate) && candidate.name === name);
    if (!isObject(entry)) return undefined;
    return isObject(entry[field]) ? entry[field] : {};
  }
}

/** Something that is not read here. */
class Unusual extends Error {}

interface PlainLine {
  /** How many columns before it. */
  indent: number;
  text: string;
}

/** White space other than spaces, which YAML takes for part of a value or refuses, and what it does not allow at all. */
const ODD = /[^\S ]|[\p{Cc}\ufffd]/u;

function linesOf(text: string): PlainLine[] {
  const lines: PlainLine[] = [];
  let begun = false;
  for (const plain of text.replace(/^\ufeff/, '').split(/\r?\n/)) {
    const content = plain.replace(/^ +/, '');
    if (content === '' || content.startsWith('#')) continue;
    if (/^(---|\.\.\.)/.test(plain)) {
      // Spaces alone: what else JavaScript takes for white space is a value to YAML, or nothing that it allows.
      const mark = plain.replace(/ +$/, '');
      if (mark === '---' && lines.length === 0 && !begun) {
        begun = true;
        continue;
      }
      // Nothing before it: the first document is empty, and whether it is one the other reader knows.
      if (lines.length === 0 || (mark !== '---' && mark !== '...')) throw new Unusual();
      break;
    }
    const indent = plain.length - content.length;
    if (plain.startsWith('%') || ODD.test(plain)) throw new Unusual();
    lines.push({ indent, text: content });
  }
  return lines;
}

const KEY = /^([A-Za-z0-9_./-]+):(?: +(.*))?$/;

/** Also what only looks like one: the other reader knows. */
const NUMBER_OR_TIME = /^[-+.0-9][-+.:_0-9a-fox ]*(?:[tz][-+.:0-9z]*)?$|^[-+]?\.(?:inf|nan)$/i;

/** Of what is within another: no kubeconfig has so much. */
const DEEPEST = 100;

class PlainYaml {
  readonly #lines: PlainLine[];
  #at = 0;
  #depth = 0;

  constructor(lines: PlainLine[]) {
    this.#lines = lines;
  }

  get done(): boolean {
    return this.#at >= this.#lines.length;
  }

  /** The value that begins here, no less to the right than so. */
  value(least: number): Value {
    const line = this.#lines[this.#at];
    if (!line || line.indent < least) return undefined;
    if (this.#depth === DEEPEST) throw new Unusual();
    this.#depth++;
    const value = isItem(line) ? this.#list(line.indent) : this.#map(line.indent);
    this.#depth--;
    return value;
  }

  #list(indent: number): Value {
    const items: Value[] = [];
    for (
      let line = this.#lines[this.#at];
      line && line.indent === indent && isItem(line);
      line = this.#lines[this.#at]
    ) {
      const content = line.text.slice(1).trimStart();
      if (content === '' || content.startsWith('#')) {
        this.#at++;
        items.push(this.value(indent + 1));
      } else if (KEY.test(content) || /^-(?: |$)/.test(content)) {
        // What follows the dash is in a column of its own.
        line.indent += line.text.length - content.length;
        line.text = content;
        items.push(this.value(line.indent));
      } else {
        this.#at++;
        items.push(this.#scalar(content, indent));
      }
    }
    this.#ends(indent);
    return items;
  }

  #map(indent: number): Value {
    const entries = new Map<string, Value>();
    for (
      let line = this.#lines[this.#at];
      line && line.indent === indent && !isItem(line);
      line = this.#lines[this.#at]
    ) {
      const [, key, rest = ''] = KEY.exec(line.text) ?? [];
      if (key === undefined || entries.has(key)) throw new Unusual();
      this.#at++;
      entries.set(key, rest === '' || rest.startsWith('#') ? this.#below(indent) : this.#scalar(rest, indent));
    }
    this.#ends(indent);
    return Object.fromEntries(entries);
  }

  /** What belongs to a key: deeper, or a list in the key's own column. */
  #below(indent: number): Value {
    const line = this.#lines[this.#at];
    if (line && line.indent === indent && isItem(line)) return this.#list(indent);
    return this.value(indent + 1);
  }

  /** After a value nothing may be between its column and that of what it is part of. */
  #ends(indent: number): void {
    const line = this.#lines[this.#at];
    if (line && line.indent > indent) throw new Unusual();
  }

  #scalar(text: string, indent: number): Value {
    const next = this.#lines[this.#at];
    if (next && next.indent > indent) throw new Unusual();
    const [, double, single] = /^(?:"((?:[^"\\]|\\.)*)"|'((?:[^']|'')*)')\s*(?:\s#.*)?$/.exec(text) ?? [];
    if (double !== undefined) return quoted(double);
    if (single !== undefined) return single.replaceAll("''", "'");
    const bare = text.replace(/\s#.*$/, '').trimEnd();
    if (bare === '[]') return [];
    if (bare === '{}') return {};
    if (/^["'[\]{}&*!|>%@`,?]|^- |: |:$/.test(bare)) throw new Unusual();
    if (/^(?:~|null)?$/i.test(bare)) return undefined;
    // Not texts, so no names.
    if (/^(?:true|false|yes|no|on|off|y|n)$/i.test(bare)) return /^(?:true|yes|on|y)$/i.test(bare);
    if (NUMBER_OR_TIME.test(bare)) throw new Unusual();
    return bare;
  }
}

function quoted(text: string): string {
  try {
    return JSON.parse(`"${text}"`) as string;
  } catch {
    throw new Unusual();
  }
}

function isItem({ text }: PlainLine): boolean {
  return text === '-' || text.startsWith('- ');
}
