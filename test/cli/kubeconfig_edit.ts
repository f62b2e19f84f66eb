// Adds a cluster to the kubeconfig that it is given, as `setup` does: a process of its own, for mount points and other users.

import { addCluster } from '../../cli/kubeconfig/entries.ts';
import { editKubeconfig } from '../../cli/kubeconfig/kubeconfig.ts';
import type { MetadataCluster } from '../../shared/metadata.ts';
import { testHost } from './host.ts';

const [, , file = ''] = process.argv;
const cluster = { name: 'dev', server: 'https://dev.example.com', audience: 'dev' } as MetadataCluster;
const call = { command: '/x', api: 'v1', broker: 'https://curfew.example', max_age: undefined, ca_file: undefined };
try {
  await editKubeconfig(testHost(), file, (config) => addCluster(config, [], cluster, call, () => undefined));
} catch (error) {
  console.log(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
