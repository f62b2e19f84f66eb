// `curfew-broker layers`, as it is typed.

import { type Command, Option } from 'commander';
import { type ConfigSources, loadConfig } from '../config/load.ts';
import { RENDERED_LAYERS } from '../layers_render/render.ts';
import { CUTTERS } from '../layers_table/layer.ts';
import { addLayersAudit, type LayersAuditCommandParts } from './layers_audit_command.ts';
import { explainLayers } from './layers_explain.ts';
import { renderLayer, type Wish, writeOutput } from './layers_render.ts';

export interface LayersParts extends Pick<ConfigSources, 'env'>, LayersAuditCommandParts {
  readonly print: (lines: readonly string[]) => void;
  readonly write: (text: string) => void;
}

interface Typed extends Wish {
  readonly config: string;
  readonly output?: string;
}

export function addLayers(root: Command, parts: LayersParts): void {
  const { env, print, write } = parts;
  const layers = root
    .command('layers')
    .description('the layers around: ingress, web logins, meshes, network policies, nodes');
  layers
    .command('explain')
    .description("say what a layer can hold of a session's limits, by which settings, and which traps they have")
    .argument('[layer]', 'such as nginx; without it, all are listed')
    .action((layer?: string) => print(explainLayers(layer)));
  layers
    .command('render')
    .description('print what a layer can hold of the limits of a segment, as its own configuration')
    .requiredOption('--config <file>', 'the configuration')
    .addOption(new Option('--layer <name>', 'for what').choices(RENDERED_LAYERS).makeOptionMandatory())
    .requiredOption('--segment <name>', 'of the policy')
    .option(
      '--cluster <name>',
      "the cluster that the target is in: its namespace's own limits, not those of all of the segment",
    )
    .option('--target <ref>', 'what is behind it: NAMESPACE/SERVICE, NAMESPACE/SERVICE:PORT or HOST:PORT')
    .option('--host <name>', 'by what name people reach it')
    .option('--ingress <namespace>', 'where the ingress or the gateway runs')
    .addOption(
      new Option('--cutter <name>', 'what of yours ends what the layer cannot end').choices(Object.keys(CUTTERS)),
    )
    .option('-o, --output <file>', 'write it there instead')
    .action(async ({ config, output, ...wish }: Typed) => {
      const text = renderLayer(await loadConfig(config, { env }), wish);
      if (output === undefined) write(text);
      else await writeOutput(output, text);
    });
  addLayersAudit(layers, parts);
}
