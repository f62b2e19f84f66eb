// The text of a kubeconfig, changed at the places that are meant and nowhere else: whatever is not an entry of ours stays as it
// is, to the byte. Pure: text in, text out.

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
  type YAMLMap,
  type YAMLSeq,
} from 'yaml';

export type List = 'clusters' | 'users' | 'contexts';
const LISTS: readonly List[] = ['clusters', 'users', 'contexts'];

type Fields = Readonly<Record<string, unknown>>;

/** Why a text cannot be read or changed, in words that follow the file's name. */
export class TextFault extends Error {}

interface Splice {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** As kubectl's own parser reads values: `yes` and `0123` as text are quoted. */
const STYLE = { version: '1.1', merge: true, lineWidth: 0, indentSeq: false } as const;

/** Of several documents kubectl reads the first; so do we, and leave the others. */
export class KubeconfigText {
  readonly #text: string;
  readonly #document: Document.Parsed;
  readonly #root: YAMLMap | undefined;
  readonly #newline: '\n' | '\r\n';
  readonly #added = new Map<List, Fields[]>();
  readonly #replaced = new Map<YAMLMap, string>();
  /** Names of what is ours, by list: all else must be the same afterwards. */
  readonly #ours = new Map<List, Set<string>>();
  #current: string | undefined;

  /** @throws TextFault */
  constructor(text: string) {
    this.#text = text;
    this.#newline = /^[^\n]*\r\n/.test(text) ? '\r\n' : '\n';
    const [document, ...more] = parse(text);
    const contents = document?.contents;
    if (!document || contents === null || contents === undefined) {
      if (more.length > 0) throw new TextFault(' has several documents, and the first, which kubectl reads, is empty');
      this.#document = document ?? parseDocument('');
      return;
    }
    this.#document = document;
    if (!isMap(contents)) throw new TextFault(' is not a kubeconfig');
    this.#root = contents;
    for (const list of LISTS) {
      const value = this.#valueOf(list);
      if (value !== undefined && !isSeq(value) && !isNull(value)) throw new TextFault(`: ${list}: expected a list`);
    }
  }

  /** The whole, as kubectl reads it. */
  get value(): unknown {
    return this.#document.toJS();
  }

  /** What an entry says, by the field that its list has: `cluster`, `user`, `context`; `undefined` where there is no such entry. */
  find(list: List, name: string): Fields | undefined {
    const entry = this.#entriesOf(list).find((candidate) => nameOf(candidate) === name);
    return entry && toFields(entry, this.#document);
  }

  /** All entries of a list, in order. */
  entries(list: List): readonly Fields[] {
    return this.#entriesOf(list).map((entry) => toFields(entry, this.#document));
  }

  get currentContext(): string | undefined {
    const value = this.#root?.get('current-context');
    return typeof value === 'string' && value !== '' ? value : this.#current;
  }

  /**
   * Sets an entry of ours, or appends it. Fields of it that are not named stay, and so does the order.
   *
   * @param values by field of the entry, each a map; `undefined` leaves what is there
   * @throws TextFault where it is written so that it cannot be changed alone
   */
  set(list: List, name: string, values: Fields): void {
    const ours = this.#ours.get(list) ?? new Set();
    this.#ours.set(list, ours.add(name));
    const entry = this.#entriesOf(list).find((candidate) => nameOf(candidate) === name);
    if (entry) this.#change(list, name, entry, values);
    else this.#added.set(list, [...(this.#added.get(list) ?? []), { ...values, name }]);
  }

  setCurrentContext(name: string): void {
    this.#current = name;
  }

  /** @throws TextFault where the result would say anything else of what is not ours: then nothing is to be written */
  toString(): string {
    const splices = this.#splices();
    if (splices.length === 0) return this.#text;
    // From the end, so that places before stay good; at one place what was meant first stands first.
    const after = splices
      .map((splice, order) => ({ ...splice, order }))
      .toSorted((a, b) => b.start - a.start || b.order - a.order)
      .reduce((text, { start, end, text: put }) => text.slice(0, start) + put + text.slice(end), this.#text);
    this.#check(after);
    return after;
  }

  #valueOf(key: string): unknown {
    const pair = this.#root?.items.find(({ key: found }) => isScalar(found) && found.value === key);
    return pair === undefined ? undefined : (pair.value ?? null);
  }

  #entriesOf(list: List): YAMLMap[] {
    const entries = this.#valueOf(list);
    return isSeq(entries) ? entries.items.filter((entry): entry is YAMLMap => isMap(entry)) : [];
  }

  #change(list: List, name: string, entry: YAMLMap, values: Fields): void {
    const before = toFields(entry, this.#document);
    const same = Object.entries(values).every(([field, wanted]) => includes(before[field], wanted));
    if (same) return;
    const { start, end, indent } = this.#placeOf(list, entry);
    // Read once more by itself: comments of what comes after it are not its own.
    const alone = parseDocument(' '.repeat(indent) + this.#text.slice(start, end), { ...STYLE, logLevel: 'silent' });
    const [item] = isSeq(alone.contents) ? alone.contents.items : [alone.contents];
    if (
      alone.errors.length > 0 ||
      !isMap(item) ||
      /(?:^|[\s,[{:-])(?:[&*][^\s,\]}]|<<\s*:)/.test(this.#text.slice(start, end))
    ) {
      throw new TextFault(
        `: ${list}: the entry ${JSON.stringify(name)} is written with anchors, so it cannot be changed alone`,
      );
    }
    for (const [field, wanted] of Object.entries(values)) setFields(alone, item, [field], wanted as Fields);
    const was = this.#text.slice(start, end);
    const text = isJson(this.#text)
      ? JSON.stringify(item.toJS(alone), null, was.includes('\n') ? 2 : undefined)
      : alone.toString({ ...STYLE, flowCollectionPadding: /[{[] /.test(this.#text) });
    this.#replaced.set(entry, this.#within(text, indent));
  }

  #splices(): Splice[] {
    const splices: Splice[] = [];
    for (const [entry, text] of this.#replaced) {
      const list = LISTS.find((candidate) => this.#entriesOf(candidate).includes(entry)) ?? 'users';
      const { start, end } = this.#placeOf(list, entry);
      splices.push({ start, end, text });
    }
    if (!this.#root) return [...splices, ...this.#whole()];
    const keys: (readonly [string, unknown])[] = [];
    for (const list of LISTS) {
      const added = this.#added.get(list) ?? [];
      if (added.length === 0) continue;
      const value = this.#valueOf(list);
      if (value === undefined) keys.push([list, added]);
      else splices.push(...this.#append(list, value as Node | null, added));
    }
    if (this.#current !== undefined) {
      const value = this.#valueOf('current-context');
      if (value === undefined) keys.push(['current-context', this.#current]);
      else splices.push(...this.#setScalar(value as Node | null, 'current-context', this.#current));
    }
    if (keys.length > 0) splices.push(this.#appendKeys(keys));
    return splices;
  }

  /** For a file in which nothing is written yet. */
  #whole(): Splice[] {
    const config: Record<string, unknown> = { apiVersion: 'v1', kind: 'Config' };
    for (const list of LISTS) config[list] = this.#added.get(list) ?? [];
    if (this.#current !== undefined) config['current-context'] = this.#current;
    if (this.#added.size === 0 && this.#current === undefined) return [];
    const at = this.#text.length;
    const before = this.#text === '' || this.#text.endsWith('\n') ? '' : this.#newline;
    return [{ start: at, end: at, text: before + this.#asLines(stringify(config), 0) }];
  }

  #append(list: List, value: Node | null, added: readonly Fields[]): Splice[] {
    const last = isSeq(value) ? value.items.at(-1) : undefined;
    if (isSeq(value) && isNode(last)) {
      if (value.flow) return [this.#appendInFlow(last, added)];
      const indent = this.#columnOf(dashes(value)[0] ?? 0);
      return [this.#insertLines(this.#endOf(value), this.#asLines(stringify(added), indent))];
    }
    const [start, end] = isNode(value) ? rangeOf(value) : [this.#afterKey(list), this.#afterKey(list)];
    const inFlow = this.#root?.flow === true;
    if (inFlow) return [{ start, end, text: this.#flow(added, this.#indentOf(start)) }];
    const emptied = end > start ? [{ start, end, text: '' }] : [];
    return [...emptied, this.#insertLines(end, this.#asLines(stringify(added), this.#columnOfRoot()))];
  }

  /** After the last of a list in brackets. */
  #appendInFlow(last: Node, added: readonly Fields[]): Splice {
    const [start, end] = rangeOf(last);
    const ownLine = this.#text.slice(this.#lineStart(start), start).trim() === '';
    const indent = this.#indentOf(start);
    const parts = added.map((entry) => this.#flowValue(entry, indent, ownLine));
    const between = ownLine ? `,${this.#newline}${' '.repeat(indent)}` : ', ';
    return { start: end, end, text: parts.map((part) => between + part).join('') };
  }

  #flow(value: readonly Fields[], indent: number): string {
    return this.#flowValue(value, indent, this.#text.trimEnd().includes('\n'));
  }

  #flowValue(value: unknown, indent: number, inLines: boolean): string {
    return inLines ? this.#within(JSON.stringify(value, null, 2), indent) : JSON.stringify(value);
  }

  #setScalar(value: Node | null, key: string, wanted: string): Splice[] {
    const [start, end] = isNode(value) ? rangeOf(value) : [this.#afterKey(key), this.#afterKey(key)];
    const text = this.#root?.flow ? JSON.stringify(wanted) : stringify(wanted).trimEnd();
    return [{ start, end, text: /\s$/.test(this.#text.slice(0, start)) ? text : ` ${text}` }];
  }

  /** New keys of the whole, after all that it has. */
  #appendKeys(keys: readonly (readonly [string, unknown])[]): Splice {
    const root = this.#root as YAMLMap;
    if (!root.flow) {
      const text = stringify(Object.fromEntries(keys));
      return this.#insertLines(this.#endOf(root), this.#asLines(text, this.#columnOfRoot()));
    }
    const lines = this.#text.trimEnd().includes('\n');
    const [start, end] = rangeOf(root);
    const last = root.items.at(-1);
    const indent = this.#indentOf(start) + 2;
    const parts = keys.map(([key, value]) => {
      const text = this.#flowValue(value, indent, lines);
      return `${lines ? `${this.#newline}${' '.repeat(indent)}` : ''}${JSON.stringify(key)}:${lines ? ' ' : ''}${text}`;
    });
    const at = last ? this.#endOf(last.value ?? last.key) : start + 1;
    const closing = last || !lines ? '' : this.#newline;
    return {
      start: at,
      end: last ? at : Math.max(at, end - 1),
      text: `${last ? ',' : ''}${parts.join(',')}${closing}`,
    };
  }

  /** Where an entry stands: from its dash, or its brace, to the end of its last line. */
  #placeOf(list: List, entry: YAMLMap): { readonly start: number; readonly end: number; readonly indent: number } {
    const entries = this.#valueOf(list) as YAMLSeq;
    if (entries.flow) {
      const [start, end] = rangeOf(entry);
      return { start, end, indent: this.#indentOf(start) };
    }
    const start = dashes(entries)[entries.items.indexOf(entry)];
    if (start === undefined) throw new TypeError('an entry without a place');
    return { start, end: this.#lineEnd(this.#endOf(entry)), indent: this.#columnOf(start) };
  }

  /** After the last character of a value, without the comments and blank lines that follow. */
  #endOf(value: unknown): number {
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

  /** Puts whole lines after the line that holds a place. */
  #insertLines(after: number, lines: string): Splice {
    const blockScalar = after > 0 && this.#text[after - 1] === '\n';
    const at = blockScalar ? after : this.#lineEnd(after);
    if (blockScalar) return { start: at, end: at, text: lines };
    if (at === this.#text.length) return { start: at, end: at, text: this.#newline + lines };
    const next = this.#text.indexOf('\n', at) + 1;
    return { start: next, end: next, text: lines };
  }

  /** With the file's line ends, each line so far to the right, and a line end after the last. */
  #asLines(text: string, indent: number): string {
    const lines = text.trimEnd().split('\n');
    return lines.map((line) => (line === '' ? '' : ' '.repeat(indent) + line) + this.#newline).join('');
  }

  /** The same to stand within a line that is there already. */
  #within(text: string, indent: number): string {
    return this.#asLines(text, indent).trim();
  }

  #afterKey(key: string): number {
    const pair = this.#root?.items.find(({ key: found }) => isScalar(found) && found.value === key);
    const [, end] = rangeOf(pair?.key as Node);
    return this.#text.indexOf(':', end) + 1;
  }

  #columnOfRoot(): number {
    const [first] = this.#root?.items ?? [];
    return first ? this.#columnOf(rangeOf(first.key as Node)[0]) : 0;
  }

  #columnOf(at: number): number {
    return at - this.#lineStart(at);
  }

  #indentOf(at: number): number {
    const [spaces = ''] = /^ */.exec(this.#text.slice(this.#lineStart(at))) ?? [];
    return spaces.length;
  }

  #lineStart(at: number): number {
    return this.#text.lastIndexOf('\n', at - 1) + 1;
  }

  /** Before the line end. */
  #lineEnd(at: number): number {
    if (at > 0 && this.#text[at - 1] === '\n') return at - (this.#text[at - 2] === '\r' ? 2 : 1);
    const end = this.#text.indexOf('\n', at);
    if (end === -1) return this.#text.length;
    return this.#text[end - 1] === '\r' && end > at ? end - 1 : end;
  }

  /** The last look before anything is written: all that is not ours must read as before. */
  #check(after: string): void {
    const [before, now] = [others(this.#text, this.#ours), others(after, this.#ours)];
    const current = (side: Fields | undefined) => side?.['current-context'] || undefined;
    const kept = current(before) === undefined ? this.#current : current(before);
    const same =
      now !== undefined &&
      JSON.stringify(withoutCurrent(before)) === JSON.stringify(withoutCurrent(now)) &&
      current(now) === kept;
    if (!same) throw new TextFault(' is written in a way that cannot be changed safely');
    const text = new KubeconfigText(after);
    for (const [list, added] of this.#added) {
      for (const entry of added) {
        const found = text.find(list, String(entry.name));
        if (JSON.stringify(sorted(found)) !== JSON.stringify(sorted(entry))) {
          throw new TextFault(' is written in a way that cannot be changed safely');
        }
      }
    }
  }
}

/** All that is not ours, as values. */
function others(text: string, ours: ReadonlyMap<List, ReadonlySet<string>>): Fields | undefined {
  const [document] = parse(text);
  const value: unknown = document?.toJS() ?? undefined;
  const config = typeof value === 'object' && value !== null ? (value as Fields) : undefined;
  const written = config ?? { apiVersion: 'v1', kind: 'Config' };
  const lists = LISTS.map((list) => {
    const entries = (written[list] ?? []) as readonly { readonly name?: unknown }[];
    return [list, entries.filter((entry) => !ours.get(list)?.has(String(entry?.name)))];
  });
  return { ...written, ...Object.fromEntries(lists) };
}

function withoutCurrent(config: Fields | undefined): unknown {
  return sorted({ ...config, 'current-context': undefined });
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(([, field]) => field !== undefined);
  return Object.fromEntries(
    entries.toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([key, field]) => [key, sorted(field)]),
  );
}

/** @throws TextFault */
function parse(text: string): Document.Parsed[] {
  const options = { ...STYLE, logLevel: 'silent', keepSourceTokens: true } as const;
  const documents = parseAllDocuments(text, options);
  if (!Array.isArray(documents)) return [];
  const [fault] = documents[0]?.errors ?? [];
  if (fault) throw new TextFault(`: ${fault.message.split('\n', 1)[0]}`);
  return documents as Document.Parsed[];
}

function stringify(value: unknown): string {
  const document = parseDocument('', STYLE);
  document.contents = document.createNode(value) as unknown as ParsedNode;
  return document.toString(STYLE);
}

/** Sets what is named, in maps within maps; all else stays. */
function setFields(document: Document, item: YAMLMap, path: readonly string[], wanted: Fields): void {
  for (const [key, value] of Object.entries(wanted)) {
    if (value === undefined) continue;
    const before: unknown = item.getIn([...path, key], true);
    const plain = isNode(before) ? before.toJS(document) : before;
    if (includes(plain, value)) continue;
    if (isRecord(value) && isRecord(plain)) setFields(document, item, [...path, key], value);
    else item.setIn([...path, key], document.createNode(value));
  }
}

/** Whether all that is wanted is there already. */
function includes(found: unknown, wanted: unknown): boolean {
  if (!isRecord(wanted)) return JSON.stringify(sorted(found)) === JSON.stringify(sorted(wanted));
  return (
    isRecord(found) &&
    Object.entries(wanted).every(([key, value]) => value === undefined || includes(found[key], value))
  );
}

function toFields(entry: YAMLMap, document: Document): Fields {
  return entry.toJS(document) as Fields;
}

function nameOf(entry: YAMLMap): string | undefined {
  const name: unknown = entry.get('name');
  return name === undefined || name === null ? undefined : String(name);
}

function dashes(list: YAMLSeq): readonly number[] {
  const token = list.srcToken;
  if (token?.type !== 'block-seq') return [];
  return token.items.flatMap(({ start }) =>
    start.filter(({ type }) => type === 'seq-item-ind').map(({ offset }) => offset),
  );
}

function rangeOf(node: Node): readonly [number, number] {
  const { range } = node;
  if (!range) throw new TypeError('a node without a place');
  return [range[0], range[1]];
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && 'range' in value;
}

function isNull(value: unknown): boolean {
  return value === null || (isScalar(value) && value.value === null);
}

function isRecord(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
