// `curfew-broker print`, as it is typed: what hosts of targets take.

import type { Command } from 'commander';
import { type ConfigSources, loadConfig } from '../config/load.ts';
import type { Terminal } from './keys_command.ts';
import { operator } from './operator.ts';
import { addPrintOfDatabases } from './print_databases.ts';
import { printSshdConfig } from './sshd_config.ts';

export interface PrintParts extends Pick<ConfigSources, 'env'>, Pick<Terminal, 'now'> {
  readonly write: (text: string) => void;
}

interface OfTarget {
  readonly config: string;
  readonly target: string;
  readonly file?: string;
}

export function addPrintOfTargets(print: Command, { env, now, write }: PrintParts): void {
  addPrintOfDatabases(print, { env, write });
  print
    .command('sshd-config')
    .description('the files by which an SSH server takes certificates of sessions, by way of the gateway alone')
    .requiredOption('--config <file>', 'the configuration')
    .requiredOption('--target <name>', "the target's name")
    .option('--file <path>', 'one of the files alone, by its path on the host')
    .action(async ({ config, ...wanted }: OfTarget) =>
      write(await printSshdConfig(await loadConfig(config, { env }), wanted, { now, by: operator() })),
    );
}
