// Files that others replace while we run: noticed by their folders' events (Kubernetes swaps a link there), and by looking
// now and then where the file system reports nothing. Keeps no process alive.

import { watch } from 'node:fs';
import path from 'node:path';
import type { BaseLogger } from 'pino';

/** Milliseconds without a further event: files that belong together change one after the other. */
const QUIET_MS = 200;

/**
 * @param changed is called after one of the files may have changed, and every `interval` milliseconds
 * @returns a function that stops it
 */
export function watchFiles(
  files: readonly string[],
  changed: () => Promise<void>,
  { log, interval = 30_000 }: { readonly log: Pick<BaseLogger, 'warn'>; readonly interval?: number },
): () => void {
  let timer: NodeJS.Timeout | undefined;
  const soon = () => {
    clearTimeout(timer);
    timer = setTimeout(changed, QUIET_MS).unref();
  };
  const names = new Map<string, Set<string>>();
  for (const file of files) {
    const folder = path.dirname(file);
    names.set(folder, (names.get(folder) ?? new Set()).add(path.basename(file)));
  }
  const watchers = [...names].flatMap(([folder, wanted]) => {
    const isOurs = (name: string | null) => name === null || wanted.has(name) || name.startsWith('..');
    return watchFolder(folder, (name) => isOurs(name) && soon(), log);
  });
  const looking = setInterval(changed, interval).unref();
  return () => {
    clearInterval(looking);
    clearTimeout(timer);
    for (const watcher of watchers) watcher.close();
  };
}

function watchFolder(folder: string, changed: (name: string | null) => void, log: Pick<BaseLogger, 'warn'>) {
  const lost = () => log.warn({ folder }, 'folder cannot be watched, its files are looked at by the clock');
  try {
    const watcher = watch(folder, { persistent: false }, (_event, name) => changed(name));
    watcher.on('error', lost);
    return [watcher];
  } catch {
    lost();
    return [];
  }
}
