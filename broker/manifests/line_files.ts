// Configuration that is read line by line: HAProxy's, in sections, and rulesets of nftables. Words and lines alone, nothing is judged here.

export interface Line {
  readonly words: readonly string[];
  readonly line: number;
}

export interface Section {
  /** `global`, `defaults`, `frontend`, `backend`, `listen` and whatever else begins a section. */
  readonly kind: string;
  readonly name: string;
  readonly line: number;
  readonly lines: readonly Line[];
  /** Of a proxy: the `defaults` that hold for it. */
  readonly defaults?: Section | undefined;
}

const SECTIONS =
  /^(?:global|defaults|frontend|backend|listen|userlist|peers|resolvers|mailers|program|cache|http-errors|ring|log-forward|fcgi-app|crt-store)$/;

/** The sections of a haproxy.cfg, each proxy with the nearest `defaults` above it, or the one that it names (`from`). */
export function readHaproxy(text: string): readonly Section[] {
  const sections: (Section & { readonly lines: Line[] })[] = [];
  let defaults: Section | undefined;
  for (const [i, raw] of text.split('\n').entries()) {
    const words = wordsOf(raw);
    const [first = '', name = ''] = words;
    if (first === '') continue;
    if (!SECTIONS.test(first)) {
      sections.at(-1)?.lines.push({ words, line: i + 1 });
      continue;
    }
    const from = words.indexOf('from');
    const named =
      from === -1 ? undefined : sections.find((one) => one.kind === 'defaults' && one.name === words[from + 1]);
    const section = { kind: first, name, line: i + 1, lines: [], defaults: named ?? defaults };
    sections.push(section);
    if (first === 'defaults') defaults = section;
  }
  return sections;
}

/** Words between spaces, without comments; quotes and backslashes as in HAProxy's own reader. */
function wordsOf(raw: string): readonly string[] {
  const words: string[] = [];
  for (const [all] of raw.matchAll(/#.*|(?:\\.|"(?:\\.|[^"\\])*"|'[^']*'|[^\s#"'\\])+|\S/g)) {
    if (all.startsWith('#')) break;
    words.push(all.replaceAll(/["']|\\(.)/g, '$1'));
  }
  return words;
}

/** What a line of a proxy says, else its `defaults`. */
export function settingOf(section: Section, ...first: readonly string[]): Line | undefined {
  const found = section.lines.findLast(({ words }) => first.every((word, i) => words[i] === word));
  return found ?? (section.defaults && settingOf(section.defaults, ...first));
}
