// `curfew-broker print pg-hba` and `print pg-setup`: what a PostgreSQL server takes.

import type { Command } from 'commander';
import { CurfewError } from '../../shared/errors.ts';
import { type ConfigSources, loadConfig } from '../config/load.ts';
import type { Config } from '../config/settings.ts';
import type { PostgresTarget } from '../config/target_settings.ts';
import { targetNamed } from '../config/targets.ts';
import { printPgHba } from '../layers/pg_hba.ts';
import { printPgSetup } from '../layers/pg_setup.ts';
import { several } from './options.ts';

export interface PrintParts extends Pick<ConfigSources, 'env'> {
  readonly write: (text: string) => void;
}

interface Typed {
  readonly config: string;
  readonly target: string;
  readonly broker?: readonly string[];
}

export function addPrintOfDatabases(print: Command, { env, write }: PrintParts): void {
  const ofTarget = (name: string, description: string) =>
    print
      .command(name)
      .description(description)
      .requiredOption('--config <file>', 'the configuration')
      .requiredOption('--target <name>', "the target's name");
  ofTarget('pg-hba', 'lines of pg_hba.conf, by which roles of sessions come in by the gateway alone')
    .option(
      '--broker <cidr>',
      "from where the broker comes; without it, its account's line is for any address",
      several,
    )
    .action(async ({ config: file, target: name, broker }: Typed) => {
      const config = await loadConfig(file, { env });
      const gateway = config.target_gateway?.source_addresses ?? [];
      write(printPgHba({ ...databaseNamed(config, name), gateway, broker }));
    });
  ofTarget('pg-setup', "SQL that makes the broker's account and the roles as which people act").action(
    async ({ config: file, target: name }: Typed) => {
      const target = databaseNamed(await loadConfig(file, { env }), name);
      write(printPgSetup({ ...target, accounts: target.accounts.map(({ account }) => account) }));
    },
  );
}

/** @throws CurfewError `usage` where there is no such target, or it is of another kind */
function databaseNamed(config: Config, name: string): PostgresTarget {
  const target = targetNamed(config, name);
  if (target.kind === 'postgres') return target;
  throw new CurfewError('usage', `the target ${name} is of kind ${target.kind}, not postgres`);
}
