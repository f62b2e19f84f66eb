// `curfew-broker print gateway-config`: of a cluster's gateway, or of that of targets.

import type { Command } from 'commander';
import { CurfewError } from '../../shared/errors.ts';
import { type ConfigSources, loadConfig } from '../config/load.ts';
import { printGatewayConfig, printTargetGatewayConfig } from '../layers/gateway_config.ts';

interface Options {
  readonly config: string;
  readonly cluster?: string;
  readonly targets?: boolean;
}

/** @param write to stdout */
export function addPrintGateway(print: Command, env: ConfigSources['env'], write: (text: string) => void): void {
  print
    .command('gateway-config')
    .description("the configuration of a cluster's gateway, or of the gateway of targets; it holds no secret")
    .requiredOption('--config <file>', 'the configuration')
    .option('--cluster <name>', "the cluster's name")
    .option('--targets', 'that of the gateway of targets')
    .action(async ({ config, cluster, targets = false }: Options) => {
      if (targets === (cluster !== undefined))
        throw new CurfewError('usage', 'of which gateway: either --cluster NAME or --targets');
      const loaded = await loadConfig(config, { env });
      write(cluster === undefined ? printTargetGatewayConfig(loaded) : printGatewayConfig(loaded, cluster));
    });
}
