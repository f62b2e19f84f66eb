// Texts from outside that should be JSON, and objects that came of them.

/** @returns the value; `undefined`, which no JSON text is, where it is not JSON */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** What an object has under a name from outside: of its own, as `constructor` is a member of every object. */
export function memberOf<T>(object: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(object, name) ? object[name] : undefined;
}
