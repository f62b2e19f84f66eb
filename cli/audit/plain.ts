// A kubeconfig as most programs write it, read ten times as fast: values by the prompt's reader (warm/kubeconfig_scan.ts), which leaves
// whatever is unusual to the one that knows all of YAML, and here the lines where they are.

import { isObject } from '../../shared/wire.ts';
import { scanKubeconfig } from '../warm/kubeconfig_scan.ts';
import { type Entry, entryOf, LISTS, type Part } from './document.ts';

/** A key, or a dash; `- name: x` is two of them. */
interface Place {
  readonly indent: number;
  readonly text: string;
  /** From 1. */
  readonly line: number;
}

/** @returns `undefined` where it is to be read by all of YAML's rules */
export function readPlain(text: string): Part | undefined {
  if (/^(?:---|\.\.\.|%|\s*\{)/m.test(text)) return undefined;
  const value = scanKubeconfig(text);
  if (!isObject(value)) return undefined;
  const places = placesOf(text);
  const entries: Entry[] = [];
  for (const list of LISTS) {
    const items = value[list] ?? [];
    if (!Array.isArray(items)) return undefined;
    const at = childOf(places, undefined, list);
    for (const [i, item] of items.entries()) {
      const place = at === undefined ? undefined : childOf(places, at, String(i));
      if (place === undefined) return undefined;
      entries.push(...entryOf(list, item, (path) => lineWithin(places, place, path)));
    }
  }
  const more = Object.fromEntries(Object.entries(value).filter(([key]) => !(LISTS as readonly string[]).includes(key)));
  return { entries, more, lineOf: (...path) => lineWithin(places, undefined, path) };
}

function placesOf(text: string): readonly Place[] {
  const places: Place[] = [];
  for (const [i, plain] of text
    .replace(/^\ufeff/, '')
    .split('\n')
    .entries()) {
    let rest = plain.trimStart();
    let indent = plain.length - rest.length;
    if (rest === '' || rest.startsWith('#')) continue;
    while (/^-(?: |$|\r)/.test(rest)) {
      places.push({ indent, text: '-', line: i + 1 });
      const after = rest.slice(1).trimStart();
      indent += rest.length - after.length;
      rest = after;
    }
    if (rest !== '') places.push({ indent, text: rest, line: i + 1 });
  }
  return places;
}

/** @param at the place of what it is in; `undefined` for the whole @param key of a map, or the number of an item */
function childOf(places: readonly Place[], at: number | undefined, key: string): number | undefined {
  const parent = at === undefined ? { indent: -1, text: '' } : places[at];
  if (!parent) return undefined;
  let column: number | undefined;
  let items = 0;
  for (let i = (at ?? -1) + 1; i < places.length; i++) {
    const place = places[i] as Place;
    // A list may be in the column of its key.
    const within = place.indent > parent.indent || (place.indent === parent.indent && isItem(place) && !isItem(parent));
    if (!within) return undefined;
    column ??= place.indent;
    if (place.indent !== column) continue;
    if (isItem(place) ? String(items++) === key : place.text.startsWith(`${key}:`)) return i;
  }
  return undefined;
}

function isItem({ text }: Pick<Place, 'text'>): boolean {
  return text === '-';
}

/** Of what a path leads to; of what is nearest above it where that is not there. */
function lineWithin(places: readonly Place[], from: number | undefined, path: readonly string[]): number {
  let at = from;
  for (const key of path) {
    const next = childOf(places, at, key);
    if (next === undefined) break;
    at = next;
  }
  return at === undefined ? 1 : (places[at]?.line ?? 1);
}
