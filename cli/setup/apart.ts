// `setup --output`: a kubeconfig for itself. Neither settings nor launcher nor another kubeconfig are touched.

import { memberOf } from '../../shared/json.ts';
import type { MetadataCluster } from '../../shared/metadata.ts';
import { addCluster, type PluginCall } from '../kubeconfig/entries.ts';
import { inKubeconfig } from '../kubeconfig/kubeconfig.ts';
import { TextFault } from '../kubeconfig/yaml.ts';
import type { Config } from '../warm/settings.ts';
import type { Writer } from './writer.ts';

/** @throws CurfewError `configuration` where the file is there already. @returns what is said of it */
export async function writeApart(
  writer: Pick<Writer, 'edit'>,
  file: string,
  clusters: readonly MetadataCluster[],
  call: PluginCall,
  config: Config,
): Promise<readonly string[]> {
  const names = await inKubeconfig(
    (edit) =>
      writer.edit(file, (text) => {
        if (text !== '') throw new TextFault(' is there already: name another file, or add to it with --kubeconfig');
        return edit(text);
      }),
    (kubeconfig) => {
      const written = clusters.map((cluster) => addCluster(kubeconfig, [], cluster, call, () => undefined));
      const [first] = written;
      if (first !== undefined) kubeconfig.setCurrentContext(first);
      return written;
    },
  );
  const known = memberOf(config.brokers, call.broker) !== undefined;
  const flag = call.ca_file === undefined ? '' : ` --ca-file ${call.ca_file}`;
  return [
    `wrote ${file}, with the contexts ${names.join(', ')}; it calls ${call.command}`,
    ...(known ? [] : [`it works where that broker was set up: kubectl-curfew setup --broker ${call.broker}${flag}`]),
  ];
}
