// Texts that name somebody or something and come from outside: what may stand in one, so that what is shown is what is meant,
// in tokens, annotations, log lines and the audit log alike. Pure.

/**
 * Control, format (zero-width, bidi), separators other than space, private use, lone surrogates, and all that renders as
 * nothing. At least what the printed authn-config refuses.
 */
export const INVISIBLE = /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u;
const EACH_INVISIBLE = new RegExp(INVISIBLE.source, 'gu');

/** Characters (UTF-16). */
export const LONGEST_NAME = 256;

/** @returns what is wrong with a name, as the end of a sentence; `undefined` for a fit one */
export function faultOfName(name: unknown, longest = LONGEST_NAME): string | undefined {
  if (typeof name !== 'string') return 'is not a text';
  if (name.trim() === '') return 'is empty';
  if (name.length > longest) return `is longer than ${longest} characters`;
  return INVISIBLE.test(name) ? 'has control or invisible characters' : undefined;
}

export function isName(name: unknown, longest = LONGEST_NAME): name is string {
  return faultOfName(name, longest) === undefined;
}

/** JSON text in which every character can be seen: the same value to whoever parses it, and nothing else to whoever looks. */
export function visibleJson(json: string): string {
  if (!INVISIBLE.test(json)) return json;
  return json.replaceAll(EACH_INVISIBLE, (character) =>
    [...Array(character.length).keys()]
      .map((i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, '0')}`)
      .join(''),
  );
}
