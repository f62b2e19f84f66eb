// All that paths lead to: objects of Kubernetes and files of proxies, and what could not be read. Secrets are never looked at.

import { readDocuments } from './documents.ts';
import type { NotRead, SourceText } from './files.ts';
import { isKnownKind, type KubeObject, objectsIn, type Place } from './objects.ts';
import { type RawFile, readRaw, readRawValue } from './raw.ts';
import { type Path, textsAt } from './values.ts';

export interface Collected {
  readonly objects: readonly KubeObject[];
  readonly files: readonly RawFile[];
  readonly unread: readonly Unread[];
  /** Files in which there was something, or could have been. */
  readonly sources: number;
  /** How often each kind was passed over. */
  readonly unknown: ReadonlyMap<string, number>;
}

export interface Unread {
  readonly file: string;
  readonly line: number;
  readonly fault: string;
}

/** What a file says of itself in its comments. */
function saidOf(text: string): Pick<RawFile, 'cutter' | 'hash'> {
  const found = HASH.exec(text);
  const hash =
    found?.[1] === undefined ? undefined : { is: found[1], line: text.slice(0, found.index).split('\n').length };
  return { cutter: CUTTER.exec(text)?.[1], hash };
}

const HASH = /^[ \t]*#[ \t]*curfew\.internal\/policy-hash:[ \t]*([0-9a-f]{1,64})[ \t]*\r?$/m;
const CUTTER = /^[ \t]*#[ \t]*curfew\.internal\/cutter:[ \t]*(\S+(?: \S+)?)[ \t]*\r?$/m;

export async function collect(sources: AsyncIterable<SourceText | NotRead>): Promise<Collected> {
  const collector = makeCollector();
  for await (const source of sources) collector.add(source);
  return collector.all;
}

export function makeCollector() {
  const objects: KubeObject[] = [];
  const files: RawFile[] = [];
  const unread: Unread[] = [];
  const unknown = new Map<string, number>();
  let sources = 0;
  const pass = (kind: string) => unknown.set(kind, (unknown.get(kind) ?? 0) + 1);
  const take = (object: KubeObject) => {
    objects.push(object);
    if (object.kind !== 'ConfigMap') return;
    const { found, faults } = filesOf(object);
    files.push(...found);
    unread.push(...faults);
  };
  return {
    all: {
      objects,
      files,
      unread,
      unknown,
      get sources() {
        return sources;
      },
    } satisfies Collected as Collected,
    /** One object of a cluster, which has no lines. */
    addObject(value: unknown, file: string): void {
      for (const object of objectsIn(value, { file, lineOf: () => 1 }, pass)) take(object);
    },
    add(source: SourceText | NotRead): void {
      sources += 1;
      if (!('text' in source)) return void unread.push({ file: source.file, line: 1, fault: source.fault });
      const { file, text } = source;
      if (isYaml(file, text)) readYaml(file, text, { take, files, unread, pass });
      else {
        const base = file.split('/').at(-1) ?? file;
        const read = readRaw(base, text, { file, lineOf: lineOf(1) });
        if (read && 'fault' in read) unread.push({ file, ...read });
        else if (read) files.push({ ...read, ...saidOf(text) });
      }
    },
  };
}

/** Of a text whose paths are lines. */
function lineOf(first: number) {
  return (...path: Path): number => first + (typeof path[0] === 'number' ? path[0] - 1 : 0);
}

interface Into {
  readonly take: (object: KubeObject) => void;
  readonly files: RawFile[];
  readonly unread: Unread[];
  readonly pass: (kind: string) => void;
}

function readYaml(file: string, text: string, { take, files, unread, pass }: Into): void {
  for (const read of readDocuments(text, isKnownKind, pass)) {
    if ('fault' in read) {
      unread.push({ file, ...read });
      continue;
    }
    const place: Place = { file, lineOf: read.lineOf };
    const raw = readRawValue(file, read.value, place);
    if (raw) files.push({ ...raw, ...saidOf(text) });
    for (const object of objectsIn(read.value, place, pass)) {
      if (isTemplate(object)) unread.push({ file, line: place.lineOf(), fault: 'is a template: render it first' });
      else take(object);
    }
  }
}

/** By its name, or by how it begins where it has none. */
function isYaml(file: string, text: string): boolean {
  if (/\.(?:ya?ml|json)$/i.test(file)) return true;
  if (/\.(?:conf|cfg|toml|nft)$/i.test(file)) return false;
  return /^(?:apiVersion|kind|---|static_resources|http|entryPoints|["{])/m.test(text);
}

/** What is in double braces stands for something that nobody knows yet; in a ConfigMap it may be meant as it is. */
function isTemplate({ kind, value }: KubeObject): boolean {
  return kind !== 'ConfigMap' && JSON.stringify(value).includes('{{');
}

/** Files that a ConfigMap holds: configuration of nginx, of OAuth2 Proxy and so on. */
function filesOf(object: KubeObject): { readonly found: readonly RawFile[]; readonly faults: readonly Unread[] } {
  const found: RawFile[] = [];
  const faults: Unread[] = [];
  const { file } = object.place;
  for (const [key, text] of Object.entries(textsAt(object.value, 'data'))) {
    if (!text.includes('\n')) continue;
    // The text begins in the line after its key.
    const first = () => object.place.lineOf('data', key) + 1;
    const place: Place = { file, lineOf: (...path) => lineOf(first())(...path) };
    const raw = /\.ya?ml$/i.test(key) ? yamlWithin(key, text, place) : readRaw(key, text, place);
    if (raw === undefined) continue;
    const said = saidOf(text);
    const cutter = object.annotations['curfew.internal/cutter'] ?? said.cutter;
    if ('fault' in raw) faults.push({ file, line: first() + raw.line - 1, fault: `${key} ${raw.fault}` });
    else found.push({ ...raw, of: object, key, cutter });
  }
  return { found, faults };
}

function yamlWithin(key: string, text: string, { file, lineOf: outer }: Place): RawFile | undefined {
  for (const read of readDocuments(
    text,
    () => true,
    () => undefined,
  )) {
    if ('fault' in read) continue;
    const raw = readRawValue(key, read.value, { file, lineOf: (...path) => outer(read.lineOf(...path)) });
    if (raw) return raw;
  }
  return undefined;
}

export function isEmpty({ objects, files }: Collected): boolean {
  return objects.length === 0 && files.length === 0;
}
