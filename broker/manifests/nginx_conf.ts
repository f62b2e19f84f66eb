// Configuration of nginx as a tree of directives with their lines, as nginx's own reader splits it (ngx_conf_read_token). Files that it
// includes are not followed: whoever audits a server names them too.

export interface Directive {
  readonly name: string;
  readonly words: readonly string[];
  readonly line: number;
  /** Of `name { ... }`. */
  readonly block?: readonly Directive[];
}

interface Token {
  /** `;`, `{` and `}` stand for themselves where they are not quoted. */
  readonly text: string;
  readonly quoted: boolean;
  readonly line: number;
}

/** Deeper than anybody writes. */
const DEEPEST = 50;

/** @returns a word on why it cannot be read, with its line, where it cannot */
export function readNginxConf(text: string): readonly Directive[] | { readonly fault: string; readonly line: number } {
  const root: Directive[] = [];
  const open: { readonly list: Directive[]; readonly line: number }[] = [{ list: root, line: 1 }];
  let words: Token[] = [];
  for (const token of tokensOf(text)) {
    const here = open.at(-1)?.list ?? root;
    const { text: mark, quoted, line } = token;
    if (quoted || !/^[;{}]$/.test(mark)) {
      words.push(token);
      continue;
    }
    const [name, ...rest] = words;
    words = [];
    if (mark === '}') {
      if (name || open.length === 1) return { fault: 'has a } that closes nothing, or no ; before it', line };
      open.pop();
      continue;
    }
    if (!name) return { fault: `has a ${mark} after nothing`, line };
    const directive = { name: name.text, words: rest.map((one) => one.text), line: name.line };
    if (mark === ';') here.push(directive);
    else {
      if (open.length > DEEPEST) return { fault: 'is nested too deeply', line };
      const block: Directive[] = [];
      here.push({ ...directive, block });
      open.push({ list: block, line });
    }
  }
  const [left] = words;
  if (left) return { fault: 'ends within a directive', line: left.line };
  return open.length > 1 ? { fault: 'has a { that is not closed', line: open.at(-1)?.line ?? 1 } : root;
}

function* tokensOf(text: string): Generator<Token> {
  let line = 1;
  // Spaces, comments, texts in quotes, marks, words; `${name}` in a word is part of it.
  const form =
    /\n|[ \t\r]+|#[^\n]*|"((?:\\[\s\S]|[^"\\])*)"|'((?:\\[\s\S]|[^'\\])*)'|[;{}]|(?:\\[\s\S]|\$\{[^}\n]*\}|[^\s;{}\\])+|./g;
  for (const [all, double, single] of text.matchAll(form)) {
    const quoted = double ?? single;
    if (quoted !== undefined) yield { text: quoted, quoted: true, line };
    else if (!/^(?:\s|#)/.test(all)) yield { text: all, quoted: false, line };
    for (let i = all.indexOf('\n'); i !== -1; i = all.indexOf('\n', i + 1)) line++;
  }
}

/** All directives, each with the blocks that it is in, outermost first. */
export function* everyDirective(
  list: readonly Directive[],
  within: readonly Directive[] = [],
): Generator<{ readonly directive: Directive; readonly within: readonly Directive[] }> {
  for (const directive of list) {
    yield { directive, within };
    if (directive.block) yield* everyDirective(directive.block, [...within, directive]);
  }
}
