// A host for tests in this process: its own home, a clock that may be wrong, and all that was said.

import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Host, Terminal } from '../../cli/host/host.ts';
import { nodeFiles } from '../../cli/host/node_files.ts';
import type { Environment } from '../../cli/warm/machine.ts';
import { fromMilliseconds, seconds } from '../../shared/time.ts';

export interface TestHost extends Host {
  readonly home: string;
  readonly said: string[];
  readonly printed: string[];
}

/** Nobody is there. */
export const NO_TERMINAL: Pick<Terminal, 'show' | 'size' | 'status' | 'ask'> = {
  show: () => undefined,
  size: () => undefined,
  status: () => undefined,
  ask: async () => undefined,
};

const folders: string[] = [];
process.on('exit', () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** A folder of mode 0700 that is gone when this process ends. */
export function temporaryFolder(name: string): string {
  const folder = mkdtempSync(path.join(tmpdir(), `curfew-${name}-`));
  folders.push(folder);
  return folder;
}

/** @param ahead how far its clock is ahead of the true one, in seconds */
export function testHost(env: Environment = {}, ahead = 0): TestHost {
  const home = temporaryFolder('host');
  const [said, printed]: [string[], string[]] = [[], []];
  return {
    ...{ home, said, printed },
    now: () => seconds(fromMilliseconds(Date.now()) + ahead),
    stopwatch: () => performance.now() / 1000,
    random: randomBytes,
    env: { HOME: home, CURFEW_CACHE_DIR: `${home}/cache`, CURFEW_CONFIG_DIR: `${home}/config`, ...env },
    uid: process.geteuid?.(),
    administrators: { folder: `${home}/etc`, uid: process.geteuid?.() ?? 0 },
    files: nodeFiles,
    parent: process.ppid,
    interactive: false,
    terminal: () => 'none',
    abandoned: () => false,
    platform: process.platform,
    arch: process.arch,
    node: process.execPath,
    bundles: path.resolve(import.meta.dirname, '../../cli/dist'),
    print: (text) => void printed.push(text),
    say: (line) => void said.push(line),
    ...NO_TERMINAL,
  };
}
