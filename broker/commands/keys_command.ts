// `curfew-broker keys`, as it is typed.

import { Argument, type Command } from 'commander';
import { CurfewError } from '../../shared/errors.ts';
import type { Clock } from '../../shared/time.ts';
import { type ConfigSources, loadConfig } from '../config/load.ts';
import { listKeys, rotateEncryption, rotateKeys } from './keys.ts';
import { operator } from './operator.ts';
import { revokeKeys } from './revoke_keys.ts';
import { listCaKeys, revokeCa, rotateCaKeys } from './ssh_ca.ts';

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

const SSH_CA = 'ssh-ca';
type What = typeof SSH_CA | undefined;
const ofWhat = () =>
  new Argument('[what]', 'those that certify SSH keys, in place of the signing keys').choices([SSH_CA]);

export function addKeys(root: Command, { env, now, elapsed, say, print, exit }: Terminal): void {
  const keys = root.command('keys').description("the broker's signing keys, and those that certify SSH keys (ssh-ca)");
  const around = ({ reason: note }: Typed) => ({ now, by: operator(), note });
  keys
    .command('list')
    .description('say which keys are published, which one signs, and until when')
    .addArgument(ofWhat())
    .requiredOption(...CONFIG)
    .action(async (what: What, { config }: Typed) =>
      print(await (what ? listCaKeys : listKeys)(await loadConfig(config, { env }), now)),
    );
  keys
    .command('rotate')
    .description('publish a new key, which signs two minutes later; of the ssh-ca a day after it was printed')
    .addArgument(ofWhat())
    .requiredOption(...CONFIG)
    .option(...REASON)
    .action(async (what: What, typed: Typed) =>
      print(await (what ? rotateCaKeys : rotateKeys)(await loadConfig(typed.config, { env }), around(typed))),
    );
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
    .argument('[ids...]', 'as keys list prints them; after ssh-ca those of the ssh-ca, and without any all of them')
    .requiredOption(...CONFIG)
    .option('--all', 'all of them')
    .option(...REASON)
    .action(async (kids: readonly string[], typed: Typed & { readonly all?: boolean }) => {
      if (kids[0] === SSH_CA) {
        if (kids.length > 1 && typed.all) throw new CurfewError('usage', 'give either ids of keys or --all');
        const which = kids.length > 1 ? { kids: kids.slice(1) } : ({ all: true } as const);
        const done = await revokeCa(await loadConfig(typed.config, { env }), which, around(typed));
        print(done.lines);
        return exit(done.exit);
      }
      if (kids.length > 0 === (typed.all === true)) throw new CurfewError('usage', 'give either ids of keys or --all');
      const which = typed.all ? ({ all: true } as const) : { kids };
      const config = await loadConfig(typed.config, { env });
      const done = await revokeKeys(config, which, { ...around(typed), say, elapsed });
      print(done.lines);
      exit(done.exit);
    });
}
