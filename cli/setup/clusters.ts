// The broker's clusters, each into the kubeconfig that has it, or that `kubectl config` would write.

import type { MetadataCluster } from '../../shared/metadata.ts';
import { addCluster, hasCluster, type PluginCall } from '../kubeconfig/entries.ts';
import { inKubeconfig } from '../kubeconfig/kubeconfig.ts';
import type { KubeconfigText } from '../kubeconfig/text.ts';
import { readIn, type Writer } from './writer.ts';

export interface Written {
  readonly file: string;
  readonly context: string;
  readonly cluster: MetadataCluster;
}

/** The files that kubectl reads, and the one that it would write. */
export interface Kubeconfigs {
  readonly files: readonly string[];
  readonly usual: string;
}

/** Each cluster goes to the file that has it already, as `kubectl config` does it; a new one to the file that kubectl would write. */
export async function writeClusters(
  writer: Pick<Writer, 'read' | 'edit'>,
  { files, usual }: Kubeconfigs,
  clusters: readonly MetadataCluster[],
  call: PluginCall,
  written: (context: string) => string | undefined,
): Promise<readonly Written[]> {
  const read = new Map(files.map((file) => [file, readIn(writer, file)] as const));
  const homeOf = (cluster: MetadataCluster) =>
    files.find((file) => hasCluster(read.get(file) as KubeconfigText, cluster.name, call.broker)) ?? usual;
  const done: Written[] = [];
  for (const file of new Set(clusters.map(homeOf))) {
    const others = files.filter((other) => other !== file).map((other) => read.get(other) as KubeconfigText);
    const here = clusters.filter((cluster) => homeOf(cluster) === file);
    done.push(
      ...(await inKubeconfig(
        (edit) => writer.edit(file, edit),
        (config) =>
          here.map((cluster) => ({ file, cluster, context: addCluster(config, others, cluster, call, written) })),
      )),
    );
  }
  return done;
}

/** Sets the current context only where kubectl finds none. @returns the one that is current then */
export async function setCurrent(
  writer: Pick<Writer, 'read' | 'edit'>,
  { files, usual }: Kubeconfigs,
  context: string | undefined,
): Promise<string> {
  const current = files.flatMap((file) => readIn(writer, file).currentContext ?? [])[0];
  if (current !== undefined || context === undefined) return current ?? '';
  await inKubeconfig(
    (edit) => writer.edit(usual, edit),
    (config) => config.setCurrentContext(context),
  );
  return context;
}
