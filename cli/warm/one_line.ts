// What others wrote, made fit for a terminal. Loads nothing.

/** A single line without control characters: what others wrote (a broker, an IdP) must not draw on the terminal. */
export function oneLine(text: string): string {
  return text
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, ' ')
    .trim()
    .slice(0, 500);
}
