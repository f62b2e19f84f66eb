// `curfew-broker check`, as it is typed: a configuration, a cluster's own side, or what runs.

import { type Command, Option } from 'commander';
import { CurfewError } from '../../shared/errors.ts';
import { createClusterApis } from '../api_servers/apis.ts';
import { type ConfigSources, loadConfig } from '../config/load.ts';
import type { Config } from '../config/settings.ts';
import type { LookParts } from '../live/look.ts';
import type { IdentityProvider } from '../upstream/identity_provider.ts';
import { check } from './check.ts';
import { checkAround } from './check_around.ts';
import { checkLive } from './check_live.ts';

export interface CheckParts extends Pick<ConfigSources, 'env'>, Pick<LookParts, 'now' | 'exact' | 'elapsed'> {
  readonly upstream: (config: Config) => IdentityProvider;
  readonly print: (lines: readonly string[]) => void;
  readonly exit: (status: number) => void;
}

interface Typed {
  readonly config: string;
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly live?: true;
  readonly output?: 'json';
}

/** What looks at a cluster's own side. */
const AROUND = ['kubeconfig', 'context'];

export function addCheck(root: Command, parts: CheckParts): void {
  root
    .command('check')
    .description('check a configuration and the identity provider, without starting')
    .requiredOption('--config <file>', 'the configuration')
    .option('--kubeconfig <file>', 'look instead at what in the cluster that it leads to goes around sessions')
    .option('--context <name>', 'of that kubeconfig; without it, the current one')
    .addOption(new Option('--live', 'look instead at what runs, and whether it works together').conflicts(AROUND))
    .addOption(new Option('-o, --output <format>', 'of --live, for programs').choices(['json']))
    .action((typed: Typed) => run(typed, parts));
}

async function run({ config: file, live, output, ...around }: Typed, parts: CheckParts): Promise<void> {
  const { env, now, upstream, print, exit } = parts;
  if (output !== undefined && !live) throw new CurfewError('usage', '-o is for --live');
  const config = await loadConfig(file, { env });
  const apis = createClusterApis();
  const identityProvider = upstream(config);
  const elsewhere = around.kubeconfig !== undefined || around.context !== undefined;
  try {
    const checked = await (live
      ? checkLive(config, { ...parts, identityProvider }, output === 'json')
      : elsewhere
        ? checkAround(config, around)
        : check(config, identityProvider, apis, now()));
    print(checked.lines);
    exit(checked.exit);
  } finally {
    await Promise.all([apis.close(), identityProvider.close()]);
  }
}
