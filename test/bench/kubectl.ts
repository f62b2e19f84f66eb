// What the plugin costs a whole kubectl call: the same call with the same token, once through the warm plugin, once static.

import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Bench } from './figure.ts';
import { type Command, compare } from './pairs.ts';
import { inPluginWorld, type PluginWorld } from './plugin_world.ts';

const PAIRS = 61;

export const kubectlWarm: Bench = {
  figures: [
    {
      name: 'kubectl.warm_vs_static',
      unit: 'ratio',
      says: '`kubectl get namespaces` through the plugin with a cached token, against the same with that token in kubeconfig',
    },
  ],
  run: (settings) =>
    inPluginWorld(settings, async (plugin) => {
      const { quick, log } = settings;
      const { world, person } = plugin;
      const call: Command = { command: world.plane.kubectlPath, args: ['get', 'namespaces'], env: person.env };
      const withToken = { ...call, env: { ...person.env, KUBECONFIG: await staticKubeconfig(plugin) } };
      const name = ['kubectl with the plugin', 'with a static token'] as const;
      return { 'kubectl.warm_vs_static': await compare(call, withToken, { pairs: quick ? 3 : PAIRS, name, log }) };
    }),
};

async function staticKubeconfig({ world, person, token }: PluginWorld): Promise<string> {
  const { server, caFile } = world.plane;
  const kubeconfig = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'dev', cluster: { server, 'certificate-authority': caFile } }],
    users: [{ name: 'static', user: { token: await token() } }],
    contexts: [{ name: 'static', context: { cluster: 'dev', user: 'static' } }],
    'current-context': 'static',
  };
  const file = path.join(person.dir, 'static.kubeconfig');
  // JSON is YAML; kubectl reads it as such.
  await writeFile(file, JSON.stringify(kubeconfig), { mode: 0o600 });
  return file;
}
