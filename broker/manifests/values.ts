// Values of parsed YAML, JSON or TOML, asked for by path: what is not there, or is of another shape, is absent.

import { isObject } from '../../shared/wire.ts';

export type Fields = Readonly<Record<string, unknown>>;
export type Path = readonly (string | number)[];

export function valueAt(value: unknown, ...path: Path): unknown {
  let at = value;
  for (const key of path) {
    if (Array.isArray(at)) at = at[Number(key)];
    else if (isObject(at) && Object.hasOwn(at, key)) at = at[key];
    else return undefined;
  }
  return at;
}

/** A mapping, empty where there is none. */
export function fieldsAt(value: unknown, ...path: Path): Fields {
  const found = valueAt(value, ...path);
  return isObject(found) ? found : {};
}

/** A list, empty where there is none. */
export function listAt(value: unknown, ...path: Path): readonly unknown[] {
  const found = valueAt(value, ...path);
  return Array.isArray(found) ? found : [];
}

/** A scalar as text: annotations that should have been quoted are read as what they say. */
export function textAt(value: unknown, ...path: Path): string | undefined {
  const found = valueAt(value, ...path);
  if (typeof found === 'string') return found;
  return typeof found === 'number' || typeof found === 'boolean' ? String(found) : undefined;
}

/** The texts of a mapping from text to text, as labels and annotations are. */
export function textsAt(value: unknown, ...path: Path): Readonly<Record<string, string>> {
  const texts = Object.entries(fieldsAt(value, ...path)).flatMap(([key, one]): [string, string][] => {
    const text = textAt(one);
    return text === undefined ? [] : [[key, text]];
  });
  return Object.fromEntries(texts);
}
