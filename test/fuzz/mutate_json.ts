// One value somewhere in a JSON text becomes another, goes, is renamed, or comes twice.

import { parseJson } from '../../shared/json.ts';
import type { Chance } from '../support/chance.ts';
import { ODD, VALUES } from './odd.ts';

type Node = Record<string, unknown>;
type Place = readonly [node: Node, key: string];

/** @returns the text as it was where no object or list stands in it */
export function mutateJson(chance: Chance, word: () => string, text: string): string {
  // A target may take several on lines of their own.
  const lines = text.split('\n');
  const at = chance.below(lines.length);
  const value = parseJson(lines[at] ?? '');
  if (isNode(value)) return lines.with(at, changed(chance, word, value)).join('\n');
  const whole = parseJson(text);
  return isNode(whole) ? changed(chance, word, whole) : text;
}

function changed({ below, pick }: Chance, word: () => string, value: Node): string {
  const places = placesIn(value);
  const place = pick(places);
  const [other, from] = pick(places) ?? [{}, ''];
  if (!place) return JSON.stringify({ [word()]: pick(VALUES) });
  const [node, key] = place;
  const was = node[key];
  switch (below(9)) {
    case 0:
      put(node, key, pick(VALUES));
      break;
    case 1:
      delete node[key];
      break;
    case 2:
      put(node, key, structuredClone(other[from]));
      break;
    case 3:
      put(node, word(), was);
      break;
    case 4:
      put(
        node,
        key,
        typeof was === 'number'
          ? was + (pick([1, -1, 1000, 1e15, 0.5]) ?? 0)
          : `${typeof was === 'object' ? JSON.stringify(was) : was}${pick(ODD)}`,
      );
      break;
    case 5:
      // The same name twice: only a text can say that.
      return JSON.stringify(value).replace('{', () => `{${JSON.stringify(key)}:${JSON.stringify(pick(VALUES))},`);
    case 6:
      put(node, key, word());
      break;
    default:
      put(node, word(), pick(VALUES));
  }
  return JSON.stringify(value);
}

/** `__proto__` is a name like any other; a list only grows by one. */
function put(node: Node, key: string, value: unknown): void {
  const name = Array.isArray(node) && !(Number(key) < node.length) ? String(node.length) : key;
  Object.defineProperty(node, name, { value, enumerable: true, configurable: true, writable: true });
}

function placesIn(node: Node): Place[] {
  return Object.entries(node).flatMap(([key, value]): Place[] => [
    [node, key],
    ...(isNode(value) ? placesIn(value) : []),
  ]);
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null;
}
