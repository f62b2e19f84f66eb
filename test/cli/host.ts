// A host for tests in this process: its own home, a clock that may be wrong, and all that was said.

import { randomBytes } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Host } from '../../cli/host.ts';
import type { Environment } from '../../cli/paths.ts';
import { fromMilliseconds, seconds } from '../../shared/time.ts';

export interface TestHost extends Host {
  readonly home: string;
  readonly said: string[];
  readonly printed: string[];
}

/** @param ahead how far its clock is ahead of the true one, in seconds */
export function testHost(env: Environment = {}, ahead = 0): TestHost {
  const home = mkdtempSync(path.join(tmpdir(), 'curfew-host-'));
  const [said, printed]: [string[], string[]] = [[], []];
  return {
    ...{ home, said, printed },
    now: () => seconds(fromMilliseconds(Date.now()) + ahead),
    random: randomBytes,
    env: { HOME: home, CURFEW_CACHE_DIR: `${home}/cache`, CURFEW_CONFIG_DIR: `${home}/config`, ...env },
    uid: process.getuid?.(),
    platform: process.platform,
    node: process.execPath,
    bundles: path.resolve(import.meta.dirname, '../../cli/dist'),
    print: (text) => void printed.push(text),
    say: (line) => void said.push(line),
  };
}
