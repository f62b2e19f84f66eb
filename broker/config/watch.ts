// When the configuration is read again: its file changed, a volume of Kubernetes that holds a file which it names was replaced, or
// somebody asks for it.

import { readlink } from 'node:fs/promises';
import path from 'node:path';
import type { BaseLogger } from 'pino';
import { digestOf } from '../../serving/files/digest.ts';
import { watchFiles } from '../../serving/files/watch.ts';
import type { Config } from './settings.ts';

export interface ConfigWatch {
  /** Reads it again, whatever has changed. One reload at a time, the last word counts. */
  reload(): void;
  stop(): void;
}

/** @param again reads the configuration; gives the one that came into force, if any did; rejects where it is to be tried again */
export function watchConfig(
  first: Pick<Config, 'file' | 'files' | 'digest'>,
  again: () => Promise<Pick<Config, 'files'> | undefined>,
  log: Pick<BaseLogger, 'warn' | 'error'>,
): ConfigWatch {
  const { file } = first;
  let files = first.files;
  // Volumes may have been replaced since they were read: where there are any, the first look reads again.
  let seen: string | undefined = first.digest;
  let reloading: Promise<unknown> = Promise.resolve();
  const watch = () => watchFiles([file, ...files], look, { log });
  let close = watch();
  let stopped = false;
  void look();
  return {
    reload,
    stop() {
      stopped = true;
      close();
    },
  };

  async function look(): Promise<void> {
    const state = await stateOf(file, files);
    if (state === undefined || state === seen) return;
    seen = state;
    reload();
  }

  function reload(): void {
    reloading = reloading
      .then(again)
      .then((config) => {
        if (stopped || config === undefined || config.files.join('\0') === files.join('\0')) return undefined;
        close();
        files = config.files;
        close = watch();
        return look();
      })
      .catch(() => {
        log.error('the configuration could not be reloaded: trying again');
        seen = undefined;
      });
  }
}

/**
 * Of files beside the configuration only a volume of Kubernetes is looked at: the kubelet replaces all of it at once, by another
 * `..data`. Elsewhere a person changes one file after the other, and says when they are done.
 *
 * @returns `undefined` while the file is being replaced
 */
async function stateOf(file: string, files: readonly string[]): Promise<string | undefined> {
  const digest = await digestOf(file);
  if (digest === undefined) return undefined;
  const folders = [...new Set(files.map((name) => path.dirname(name)))].sort();
  const volumes = await Promise.all(folders.map((folder) => readlink(path.join(folder, '..data')).catch(() => '')));
  return [digest, ...volumes.filter((version) => version !== '')].join('\n');
}
