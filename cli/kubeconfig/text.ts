// The text of a kubeconfig, changed at the places that are meant and nowhere else: whatever is not an entry of ours stays as it
// is, to the byte. Pure: text in, text out.

import { type Document, isMap, isSeq, type Node, parseDocument, type YAMLMap, type YAMLSeq } from 'yaml';
import { parseJson } from '../../shared/json.ts';
import { asLines, columnOf, indentOf, insertLines, type Splice, spliced, within } from './lines.ts';
import { appendItems, flowValue, placeOf } from './list_splices.ts';
import { LISTS, type List, othersAreKept } from './others.ts';
import {
  afterKey,
  endOf,
  type Fields,
  fieldOf,
  hasAnchor,
  includes,
  isNode,
  isNull,
  nameOf,
  parse,
  rangeOf,
  STYLE,
  setFields,
  sorted,
  stringify,
  TextFault,
  toFields,
} from './yaml.ts';

/** Of several documents kubectl reads the first; so do we, and leave the others. */
export class KubeconfigText {
  readonly #text: string;
  readonly #document: Document.Parsed;
  readonly #root: YAMLMap | undefined;
  readonly #newline: '\n' | '\r\n';
  readonly #added = new Map<List, Fields[]>();
  readonly #replaced = new Map<YAMLMap, string>();
  readonly #changed: { readonly list: List; readonly name: string; readonly values: Fields }[] = [];
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

  /** Puts an entry of ours in the place of one of that name, whatever that said. @throws TextFault where others are written by it */
  replace(list: List, name: string, values: Fields): void {
    const entry = this.#entriesOf(list).find((candidate) => nameOf(candidate) === name);
    if (!entry || hasAnchor(entry)) throw new TextFault(`: ${list}: an entry that others refer to cannot be replaced`);
    this.#ours.set(list, (this.#ours.get(list) ?? new Set()).add(name));
    const { start, end, indent } = this.#placeOf(list, entry);
    const [whole, flow] = [{ name, ...values }, (this.#valueOf(list) as YAMLSeq).flow];
    const inLines = flowValue(this.#newline, whole, indent, this.#text.slice(start, end).includes('\n'));
    this.#replaced.set(entry, flow ? inLines : within(this.#newline, stringify([whole]), indent));
    this.#changed.push({ list, name, values });
  }

  setCurrentContext(name: string): void {
    this.#current = name;
  }

  /** @throws TextFault where the result would say anything else of what is not ours: then nothing is to be written */
  toString(): string {
    const splices = this.#splices();
    if (splices.length === 0) return this.#text;
    const after = spliced(this.#text, splices);
    this.#check(after);
    return after;
  }

  #valueOf(key: string): unknown {
    return fieldOf(this.#root, key);
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
    setFields(alone, item, [], values);
    const was = this.#text.slice(start, end);
    const text =
      parseJson(this.#text) !== undefined
        ? JSON.stringify(item.toJS(alone), null, was.includes('\n') ? 2 : undefined)
        : alone.toString({ ...STYLE, flowCollectionPadding: /[{[] /.test(this.#text) });
    this.#replaced.set(entry, within(this.#newline, text, indent));
    this.#changed.push({ list, name, values });
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
    return [{ start: at, end: at, text: before + asLines(this.#newline, stringify(config), 0) }];
  }

  #append(list: List, value: Node | null, added: readonly Fields[]): Splice[] {
    const place = { text: this.#text, newline: this.#newline };
    const root = { flow: this.#root?.flow === true, column: this.#columnOfRoot() };
    return appendItems(place, value, this.#afterKey(list), root, added);
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
      return insertLines(this.#text, this.#newline, endOf(root), asLines(this.#newline, text, this.#columnOfRoot()));
    }
    const lines = this.#text.trimEnd().includes('\n');
    const [start, end] = rangeOf(root);
    const last = root.items.at(-1);
    const indent = indentOf(this.#text, start) + 2;
    const parts = keys.map(([key, value]) => {
      const text = flowValue(this.#newline, value, indent, lines);
      return `${lines ? `${this.#newline}${' '.repeat(indent)}` : ''}${JSON.stringify(key)}:${lines ? ' ' : ''}${text}`;
    });
    const at = last ? endOf(last.value ?? last.key) : start + 1;
    const closing = last || !lines ? '' : this.#newline;
    return {
      start: at,
      end: last ? at : Math.max(at, end - 1),
      text: `${last ? ',' : ''}${parts.join(',')}${closing}`,
    };
  }

  /** Where an entry is: from its dash, or its brace, to the end of its last line. */
  #placeOf(list: List, entry: YAMLMap): { readonly start: number; readonly end: number; readonly indent: number } {
    return placeOf(this.#text, this.#valueOf(list) as YAMLSeq, entry);
  }

  #afterKey(key: string): number {
    return afterKey(this.#text, this.#root, key);
  }

  #columnOfRoot(): number {
    const [first] = this.#root?.items ?? [];
    return first ? columnOf(this.#text, rangeOf(first.key as Node)[0]) : 0;
  }

  /** The last look before anything is written: all that is not ours must read as before. */
  #check(after: string): void {
    if (!othersAreKept(this.#text, after, this.#ours, this.#current)) throw new TextFault(UNSAFE);
    const text = new KubeconfigText(after);
    for (const [list, added] of this.#added) {
      for (const entry of added) {
        const found = text.find(list, String(entry.name));
        if (JSON.stringify(sorted(found)) !== JSON.stringify(sorted(entry))) throw new TextFault(UNSAFE);
      }
    }
    for (const { list, name, values } of this.#changed)
      if (!includes(text.find(list, name), values)) throw new TextFault(UNSAFE);
  }
}

const UNSAFE = ' is written in a way that cannot be changed safely';
