// `curfew-broker keys`, as it is typed.

import type { Command } from 'commander';
import { CurfewError } from '../../shared/errors.ts';
import type { Clock } from '../../shared/time.ts';
import { type ConfigSources, loadConfig } from '../config/load.ts';
import { listKeys, rotateEncryption, rotateKeys } from './keys.ts';
import { operator } from './operator.ts';
import { revokeKeys } from './revoke_keys.ts';

export interface Terminal extends Pick<ConfigSources, 'env'> {
  readonly now: Clock;
  /** Milliseconds, by a clock that is never set. */
  readonly elapsed: () => number;
  /** How far it is, for whoever waits. */
  readonly say: (line: string) => void;
  readonly print: (lines: readonly string[]) => void;
  readonly exit: (status: number) => void;
}

interface Typed {
  readonly config: string;
  readonly reason?: string;
}

const CONFIG = ['--config <file>', 'the configuration'] as const;
const REASON = ['--reason <text>', 'for the audit log'] as const;

export function addKeys(root: Command, { env, now, elapsed, say, print, exit }: Terminal): void {
  const keys = root.command('keys').description("the broker's signing keys");
  const around = ({ reason: note }: Typed) => ({ now, by: operator(), note });
  keys
    .command('list')
    .description('say which keys are published, which one signs, and until when')
    .requiredOption(...CONFIG)
    .action(async ({ config }: Typed) => print(await listKeys(await loadConfig(config, { env }), now)));
  keys
    .command('rotate')
    .description('publish a new key, which signs two minutes later')
    .requiredOption(...CONFIG)
    .option(...REASON)
    .action(async (typed: Typed) => print(await rotateKeys(await loadConfig(typed.config, { env }), around(typed))));
  keys
    .command('rotate-encryption')
    .description('seal by keys.encryption_key_file what was sealed by keys.other_encryption_key_file')
    .requiredOption(...CONFIG)
    .option(...REASON)
    .action(async (typed: Typed) =>
      print(await rotateEncryption(await loadConfig(typed.config, { env }), around(typed))),
    );
  keys
    .command('revoke')
    .description('take keys back at once, and wait until no API server takes what they signed')
    .argument('[ids...]', 'as keys list prints them')
    .requiredOption(...CONFIG)
    .option('--all', 'all of them')
    .option(...REASON)
    .action(async (kids: readonly string[], typed: Typed & { readonly all?: boolean }) => {
      if (kids.length > 0 === (typed.all === true)) throw new CurfewError('usage', 'give either ids of keys or --all');
      const which = typed.all ? ({ all: true } as const) : { kids };
      const config = await loadConfig(typed.config, { env });
      const done = await revokeKeys(config, which, { ...around(typed), say, elapsed });
      print(done.lines);
      exit(done.exit);
    });
}
