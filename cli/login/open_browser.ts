// Opens a URL in the person's browser: by `BROWSER`, or in the desktop's way. Never through a shell.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { Host } from '../host.ts';
import { windowsOpener } from './flow.ts';

/** @returns whether a browser could be started; the URL stands on stderr in any case */
export async function openBrowser(host: Host, url: string): Promise<boolean> {
  const words = commandFor(host, url);
  const [command, ...args] = words;
  if (command === undefined) return false;
  // What the browser's command writes must reach neither kubectl nor the terminal; what asked us is no business of it.
  const env = { ...host.env, KUBERNETES_EXEC_INFO: undefined };
  const child = spawn(command, args, { env, stdio: 'ignore', detached: true });
  child.unref();
  return await new Promise((resolve) => {
    child.once('spawn', () => resolve(true));
    child.once('error', () => resolve(false));
  });
}

function commandFor({ env, platform }: Host, url: string): readonly string[] {
  if (env.BROWSER) return withUrl(splitWords(env.BROWSER), url);
  switch (platform) {
    case 'darwin':
      return ['open', url];
    case 'win32':
      return ['rundll32', 'url.dll,FileProtocolHandler', url];
    default:
      // Over SSH there is no screen: a browser in text mode would take the terminal away.
      if (env.DISPLAY || env.WAYLAND_DISPLAY) return ['xdg-open', url];
      return withUrl(windowsOpener(env, existsSync) ?? [], url);
  }
}

function withUrl(words: readonly string[], url: string): readonly string[] {
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
