// Manual pages from what the commands say of themselves, and from the exit statuses of docs/codes.md.

import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { HelpedCommand, Line } from './help.ts';

const CODES = path.resolve(import.meta.dirname, '../../docs/codes.md');

/** @param section 1 for what people run, 8 for services */
export async function manualPage(root: HelpedCommand, section: 1 | 8, epochSeconds: number): Promise<string> {
  const name = root.words.join(' ');
  const day = new Date(epochSeconds * 1000).toISOString().slice(0, 10);
  const leaves = leavesOf(root);
  const lines = [
    `.TH "${name.toUpperCase()}" "${section}" "${day}" "${name}"`,
    ...['.SH NAME', `${roff(name)} \\- ${roff(root.description)}`],
    '.SH SYNOPSIS',
    ...leaves.flatMap(({ usage }) => [`.B ${roff(usage)}`, '.br']),
    '.SH COMMANDS',
    ...leaves.flatMap((one) => aboutCommand(one, root.words.length)),
    '.SH "EXIT STATUS"',
    ...exitStatuses(await readFile(CODES, 'utf8')).flatMap(entry),
  ];
  return `${lines.join('\n')}\n`;
}

/** The commands that do something. */
function leavesOf(command: HelpedCommand): readonly HelpedCommand[] {
  return command.commands.length === 0 ? [command] : command.commands.flatMap(leavesOf);
}

function aboutCommand({ words, description, options }: HelpedCommand, from: number): string[] {
  const said = [`.SS ${roff(words.slice(from).join(' '))}`, roff(description)];
  return [...said, ...options.filter(({ name }) => !name.includes('--help')).flatMap(entry)];
}

function entry({ name, text }: Line): string[] {
  return ['.TP', `.B ${roff(name)}`, roff(text)];
}

/** @throws Error if the table is not there */
export function exitStatuses(text: string): Line[] {
  const [, table] = text.split('| exit | when |\n|---|---|\n');
  const rows = (table?.split('\n\n', 1)[0] ?? '').split('\n').map((row) => row.split('|').map((cell) => cell.trim()));
  const lines = rows.flatMap(([, name = '', when = '']) => (/^\d+$/.test(name) ? [{ name, text: plain(when) }] : []));
  if (lines.length === 0) throw new Error('docs/codes.md has no table of exit statuses');
  return lines;
}

function plain(markdown: string): string {
  return markdown.replaceAll('`', '').replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1');
}

/** Text that means nothing else to troff: no request at a line's begin, no escape, and a minus that can be copied. */
export function roff(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll(/^([.'])/gm, '\\&$1');
}
