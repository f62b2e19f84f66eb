// `curfew-broker layers`, as it is typed.

import type { Command } from 'commander';
import { explainLayers } from './layers_explain.ts';

export interface LayersParts {
  readonly print: (lines: readonly string[]) => void;
}

export function addLayers(root: Command, { print }: LayersParts): void {
  const layers = root
    .command('layers')
    .description('the layers around: ingress, web logins, meshes, network policies, nodes');
  layers
    .command('explain')
    .description("say what a layer can hold of a session's limits, by which settings, and which traps they have")
    .argument('[layer]', 'such as nginx; without it, all are listed')
    .action((layer?: string) => print(explainLayers(layer)));
}
