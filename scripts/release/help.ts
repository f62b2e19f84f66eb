// The commands of a program as its own --help says them: what manual pages are made from, and what docs/commands.md is compared with.

import { must } from './must.ts';

export interface Line {
  /** As typed: `--config <file>`, `serve`. */
  readonly name: string;
  readonly text: string;
}

export interface HelpedCommand {
  /** As typed, with its program before it. */
  readonly words: readonly string[];
  readonly usage: string;
  readonly description: string;
  readonly options: readonly Line[];
  readonly commands: readonly HelpedCommand[];
}

/** @param program a bundle, to be run by this Node.js */
export async function helpOf(program: string, words: readonly string[]): Promise<HelpedCommand> {
  const [, ...rest] = words;
  // Without a terminal it is 80 columns wide: lines that go on are put together again.
  const text = await must(process.execPath, [program, ...rest, '--help'], { env: { PATH: process.env.PATH } });
  const { usage, description, options, commands } = parseHelp(text);
  const inner = commands.map(({ name }) => name.split(/[\s|]/, 1)[0] ?? name).filter((name) => name !== 'help');
  const inside = await Promise.all(inner.map((name) => helpOf(program, [...words, name])));
  return { words, usage, description, options, commands: inside };
}

interface Help {
  readonly usage: string;
  readonly description: string;
  readonly options: readonly Line[];
  readonly commands: readonly Line[];
}

/** @throws Error for a text that is not in the shape that is known */
export function parseHelp(text: string): Help {
  const [first = '', ...paragraphs] = text.trimEnd().split('\n\n');
  const usage = /^Usage: (.+)$/s.exec(first)?.[1];
  if (usage === undefined) throw new Error(`this is not a help text: ${first.slice(0, 80)}`);
  const sections = new Map<string, readonly Line[]>();
  const description: string[] = [];
  for (const paragraph of paragraphs) {
    const [head = '', ...lines] = paragraph.split('\n');
    if (/^[A-Z][a-z]+:$/.test(head)) sections.set(head, linesOf(lines));
    else description.push(paragraph.replaceAll('\n', ' '));
  }
  return {
    usage: usage.replaceAll(/\s+/g, ' '),
    description: description.join('\n\n'),
    options: sections.get('Options:') ?? [],
    commands: sections.get('Commands:') ?? [],
  };
}

function linesOf(lines: readonly string[]): Line[] {
  const found: { name: string; text: string }[] = [];
  for (const line of lines) {
    const [, name, text = ''] = /^ {2}(\S.*?)(?: {2,}(.*))?$/.exec(line) ?? [];
    const last = found.at(-1);
    if (name !== undefined) found.push({ name, text });
    else if (last) last.text = `${last.text} ${line.trim()}`.trim();
  }
  return found;
}
