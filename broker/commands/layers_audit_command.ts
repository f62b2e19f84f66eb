// `curfew-broker layers audit`, as it is typed.

import { type Command, Option } from 'commander';
import { CurfewError } from '../../shared/errors.ts';
import { type ConfigSources, loadConfig } from '../config/load.ts';
import { printLayersRbac } from '../manifests/cluster.ts';
import { auditLayers, type LayersAuditOptions, type LayersAuditParts } from './layers_audit.ts';
import { writeOutput } from './layers_render.ts';

export interface LayersAuditCommandParts extends Pick<ConfigSources, 'env'>, Omit<LayersAuditParts, 'save'> {
  readonly write: (text: string) => void;
  readonly exit: (status: number) => void;
}

interface Typed extends LayersAuditOptions {
  readonly config?: string;
  readonly printRbac?: true;
}

export function addLayersAudit(layers: Command, parts: LayersAuditCommandParts): void {
  layers
    .command('audit')
    .description(
      'find what in manifests, configuration of proxies or a live cluster outlives sessions or goes around them',
    )
    .argument('[paths...]', 'files, folders, - for standard input (helm template, kustomize build)')
    .option('--config <file>', 'the configuration, for its policy')
    .option('--cluster <name>', 'the cluster that they are for: each object meets the limits of its namespace there')
    .option('--segment <name>', 'the segment that they are for, such as files of no cluster')
    .option('-n, --namespace <name>', 'of objects that name none')
    .option('--kubeconfig <file>', 'look at what the cluster has that it leads to, read only')
    .option('--context <name>', 'of that kubeconfig; without it, the current one')
    .addOption(new Option('-o, --output <format>', 'for whom').choices(['text', 'json', 'sarif']).default('text'))
    .option('--baseline <file>', 'leave out what is in it, and tell what of it is gone')
    .option('--write-baseline', 'write that file with all that is found now')
    .option('--print-rbac', 'print the least that --kubeconfig must be allowed, and do nothing else')
    .action((paths: readonly string[], typed: Typed) => run(paths, typed, parts));
}

async function run(paths: readonly string[], typed: Typed, parts: LayersAuditCommandParts): Promise<void> {
  const { config, printRbac, ...options } = typed;
  const { env, write, exit } = parts;
  if (printRbac) return write(printLayersRbac());
  if (config === undefined) throw new CurfewError('usage', '--config is missing');
  const audited = await auditLayers(await loadConfig(config, { env }), paths, options, {
    ...parts,
    save: writeOutput,
  });
  write(audited.text);
  exit(audited.exit);
}
