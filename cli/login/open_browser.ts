// Opens a URL in the person's browser: by `BROWSER`, or in the desktop's way. Never through a shell.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { Host } from '../host/host.ts';
import { windowsOpener } from './flow.ts';

/** After this long a command that still runs, or has ended well, is taken to have opened a browser. */
const AT_ONCE_MS = 1_000;

/** @returns whether a browser could be started; the person was shown an address in any case */
export async function openBrowser(host: Pick<Host, 'env' | 'platform'>, url: string): Promise<boolean> {
  for (const words of commandsFor(host, url)) if (await starts(host, words)) return true;
  return false;
}

/** A command that fails at once opened nothing. */
async function starts(host: Pick<Host, 'env'>, [command, ...args]: readonly string[]): Promise<boolean> {
  if (command === undefined || [command, ...args].some((word) => word.includes('\0'))) return false;
  // What the browser's command writes must reach neither kubectl nor the terminal; what asked us is not its business.
  const env = { ...host.env, KUBERNETES_EXEC_INFO: undefined };
  const child = spawn(command, args, { env, stdio: 'ignore', detached: true });
  child.unref();
  return await new Promise((resolve) => {
    setTimeout(() => resolve(true), AT_ONCE_MS).unref();
    child.once('error', () => resolve(false));
    child.once('exit', (code) => resolve(code === 0));
  });
}

function commandsFor({ env, platform }: Pick<Host, 'env' | 'platform'>, url: string): readonly (readonly string[])[] {
  if (env.BROWSER) return splitList(env.BROWSER, platform).map((command) => withUrl(splitWords(command), url));
  switch (platform) {
    case 'darwin':
      return [['open', url]];
    case 'win32':
      return [['rundll32', 'url.dll,FileProtocolHandler', url]];
    default:
      // Over SSH there is no screen: a browser in text mode would take the terminal away.
      if (env.DISPLAY || env.WAYLAND_DISPLAY) return [['xdg-open', url]];
      return [withUrl(windowsOpener(env, existsSync) ?? [], url)];
  }
}

/**
 * The commands of `BROWSER`, in the order in which they are tried: with colons between (Debian, xdg-open, Python), except in
 * quotes, behind a backslash, and where the list would be one of Windows.
 */
export function splitList(text: string, platform: NodeJS.Platform): readonly string[] {
  const commands =
    platform === 'win32' ? [text] : (text.match(/(?:\\.|'[^']*'?|"(?:\\.|[^"\\])*"?|[^:'"\\])+/gs) ?? []);
  return commands.filter((command) => command.trim() !== '');
}

function withUrl(given: readonly string[], url: string): readonly string[] {
  // Python's way to say that it runs on beside.
  const words = given.at(-1) === '&' ? given.slice(0, -1) : given;
  if (words.length === 0) return [];
  return words.some((word) => word.includes('%s')) ? words.map((word) => word.replaceAll('%s', url)) : [...words, url];
}

/** Splits at white space, with quotes and backslashes as a shell has them; nothing is expanded. */
export function splitWords(text: string): readonly string[] {
  const words: string[] = [];
  let [word, quote]: [string | undefined, string] = [undefined, ''];
  for (let i = 0; i < text.length; i++) {
    const character = text[i] ?? '';
    if (character === '\\' && quote !== "'") word = (word ?? '') + (text[++i] ?? '');
    else if (character === quote) quote = '';
    else if (quote === '' && (character === '"' || character === "'")) [word, quote] = [word ?? '', character];
    else if (quote === '' && /\s/.test(character)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else word = (word ?? '') + character;
  }
  if (word !== undefined) words.push(word);
  return words;
}
