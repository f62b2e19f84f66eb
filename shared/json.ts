// Texts from outside that should be JSON.

/** @returns the value; `undefined`, which no JSON text is, where it is not JSON */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
