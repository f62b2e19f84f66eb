// The targets that this machine knows of, of all brokers that were set up: for a TAB, which waits for nobody.

import { memberOf } from '../../shared/json.ts';
import { readConfig } from '../host/config.ts';
import { cacheDirectoryOf } from '../host/host.ts';
import { targetsIn } from '../session/known_targets.ts';
import type { OwnFiles } from '../warm/machine.ts';
import { faultOfDirectory } from '../warm/read_cache.ts';
import type { KnownTarget } from './completion.ts';

/** Never fails: what cannot be read is nothing for a TAB. */
export function targetsKnownHere(host: OwnFiles): readonly KnownTarget[] {
  try {
    const directory = cacheDirectoryOf(host);
    if (faultOfDirectory(host, directory) !== undefined) return [];
    return Object.keys(readConfig(host).brokers).flatMap((url) => {
      const known = targetsIn(host, directory, url);
      return (known?.targets ?? []).map(({ name, kind }) => {
        return { name, kind, accounts: memberOf(known?.accounts ?? {}, name) ?? [] };
      });
    });
  } catch {
    return [];
  }
}
