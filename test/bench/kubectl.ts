// What the plugin costs a whole kubectl call: the same call with the same token, through the warm plugin, native and on
// Node.js, and with the token in kubeconfig. One at a time, and 50 at once.

import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { quote } from '../../cli/host/launcher.ts';
import { buildBundles } from '../../scripts/bundle.ts';
import type { Bench, Settings } from './figure.ts';
import { type Command, compare } from './pairs.ts';
import { inPluginWorld, type PluginWorld } from './plugin_world.ts';
import { writeStaticKubeconfig } from './static_kubeconfig.ts';

const PAIRS = 60;
const CROWDS = 15;
const CROWD = 50;

export const kubectlWarm: Bench = {
  figures: [
    {
      name: 'kubectl.native_vs_static',
      unit: 'ratio',
      aim: { at_most: 1.05 },
      says: '`kubectl get namespaces` through the native plugin with a cached token, against the same with that token in kubeconfig',
    },
    {
      name: 'kubectl.node_vs_static',
      unit: 'ratio',
      says: 'the same through the plugin on Node.js',
    },
  ],
  run: (settings) =>
    inPluginWorld(settings, async (plugin) => {
      const { quick, log } = settings;
      const [native, node, fixed] = await calls(plugin);
      const against = (what: Command, name: string) =>
        compare(what, fixed, { pairs: quick ? 3 : PAIRS, name: [name, 'with a static token'], log });
      return {
        'kubectl.native_vs_static': await against(native, 'kubectl with the native plugin'),
        'kubectl.node_vs_static': await against(node, 'kubectl with the plugin on Node.js'),
      };
    }),
};

/** 50 at once, until the last has ended. */
export async function crowdVsStatic(plugin: PluginWorld, { quick, log }: Settings): Promise<number> {
  const [native, , fixed] = await calls(plugin);
  const crowd = ({ command, args, env }: Command): Command => {
    const call = [command, ...args].map(quote).join(' ');
    const many = `i=0; while [ $i -lt ${CROWD} ]; do ${call} >/dev/null & i=$((i+1)); done; wait`;
    return { command: '/bin/sh', args: ['-c', many], env };
  };
  const name = [`${CROWD} kubectls with the native plugin`, `${CROWD} with a static token`] as const;
  return await compare(crowd(native), crowd(fixed), { pairs: quick ? 1 : CROWDS, name, log });
}

/** With the native plugin, with that on Node.js, with a static token. */
async function calls(plugin: PluginWorld): Promise<readonly [Command, Command, Command]> {
  const { world, person } = plugin;
  const call: Command = { command: world.plane.kubectlPath, args: ['get', 'namespaces'], env: person.env };
  const using = (KUBECONFIG: string): Command => ({ ...call, env: { ...person.env, KUBECONFIG } });
  return [call, using(await nodeKubeconfig(plugin)), using(await staticKubeconfig(plugin))];
}

/** The same file with what `setup` writes where there is no native program. */
async function nodeKubeconfig({ person }: PluginWorld): Promise<string> {
  const { cli } = await buildBundles();
  const [script, file] = ['on-node', 'on-node.kubeconfig'].map((name) => path.join(person.dir, name)) as [
    string,
    string,
  ];
  await writeFile(script, `#!/bin/sh\nexec ${quote(process.execPath)} ${quote(cli)} "$@"\n`, { mode: 0o700 });
  const native = path.join(person.env.CURFEW_CONFIG_DIR ?? '', 'bin/kubectl-curfew');
  if (!readFileSync(native).subarray(1, 4).equals(Buffer.from('ELF'))) throw new Error(`${native} is not native`);
  const text = readFileSync(person.env.KUBECONFIG ?? '', 'utf8');
  if (!text.includes(native)) throw new Error('kubeconfig does not name the native program');
  await writeFile(file, text.replaceAll(native, script), { mode: 0o600 });
  return file;
}

async function staticKubeconfig({ world, person, token }: PluginWorld): Promise<string> {
  const { server, caFile } = world.plane;
  return writeStaticKubeconfig(path.join(person.dir, 'static.kubeconfig'), { server, caFile, token: await token() });
}
