// What a gateway costs before a real API server: a whole kubectl call, and a large list.

import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { type GatewayWorld, startGatewayWorld } from '../support/gateway_world.ts';
import { Child } from './child.ts';
import type { Bench, Settings } from './figure.ts';
import type { GatewayOrder } from './gateway_client.ts';
import { MIB, type Place } from './gateway_exec.ts';
import { POLICY } from './gateway_stand.ts';
import { EXEC_INFO } from './get_token.ts';
import { type Command, compare } from './pairs.ts';
import { processorTime } from './process.ts';
import { profiling } from './profile.ts';
import { writeStaticKubeconfig } from './static_kubeconfig.ts';
import { median } from './statistics.ts';

const PAIRS = 61;
const LISTS = 7;
const [OBJECTS, OBJECT_KIB] = [100, 512];
const CONFIG_MAPS = '/api/v1/namespaces/dev/configmaps';

interface Reached {
  readonly world: GatewayWorld;
  readonly token: string;
  /** Of both, the certificate authority in a file as well. */
  readonly direct: Place & { readonly caFile: string };
  readonly through: Place & { readonly caFile: string };
}

async function inGatewayWorld<T>(settings: Settings, work: (reached: Reached) => Promise<T>): Promise<T> {
  const profile = profiling(settings, 'gateway');
  const world = await startGatewayWorld({ policy: POLICY, log: settings.log, env: profile.env });
  try {
    const person = await world.person('alice');
    const { brokerUrl, authority, plane } = world;
    for (const words of [['setup', '--broker', brokerUrl, '--ca-file', authority.caFile], ['login']]) {
      const { code, stderr } = await person.curfew(words);
      if (code !== 0) throw new Error(`${words[0]} ended with ${code}: ${stderr}`);
    }
    const words = ['get-token', '--broker', brokerUrl, '--cluster', 'dev', '--ca-file', authority.caFile];
    const { code, stdout, stderr } = await person.curfew(words, { env: { KUBERNETES_EXEC_INFO: EXEC_INFO } });
    if (code !== 0) throw new Error(`get-token ended with ${code}: ${stderr}`);
    const { token } = (JSON.parse(stdout) as { status: { token: string } }).status;
    const direct = { url: plane.server, ca: plane.caPem, caFile: plane.caFile, token };
    const through = { url: world.gateway.url, ca: authority.caPem, caFile: authority.caFile, token };
    const result = await work({ world, token, direct, through });
    if (settings.profile !== undefined) {
      world.gateway.signal('SIGTERM');
      await world.gateway.exit;
      await profile.report();
    }
    return result;
  } finally {
    await world.stop();
  }
}

export const gatewayKubectl: Bench = {
  figures: [
    {
      name: 'gateway.kubectl_get.vs_direct',
      unit: 'ratio',
      aim: { at_most: 1.05 },
      says: '`kubectl get pods` through the gateway, whole process, against the same at the API server itself',
    },
  ],
  run: (settings) =>
    inGatewayWorld(settings, async ({ world, token, direct, through }) => {
      const call = async (name: string, { url: server, caFile }: Reached['direct']): Promise<Command> => {
        const file = path.join(world.dir, `${name}.kubeconfig`);
        const KUBECONFIG = await writeStaticKubeconfig(file, { server, caFile, token });
        const env = { HOME: world.dir, KUBECONFIG, KUBERC: 'off' };
        return { command: world.plane.kubectlPath, args: ['-n', 'dev', 'get', 'pods'], env };
      };
      const { quick, log } = settings;
      const name = ['kubectl through the gateway', 'directly'] as const;
      const [by, without] = [await call('gateway', through), await call('direct', direct)];
      const ratio = await compare(by, without, { pairs: quick ? 3 : PAIRS, name, log });
      return { 'gateway.kubectl_get.vs_direct': ratio };
    }),
};

export const gatewayList: Bench = {
  figures: [
    {
      name: 'gateway.list50mb.vs_direct',
      unit: 'ratio',
      aim: { at_least: 0.8 },
      says: `MB/s of a list of ${OBJECTS} ConfigMaps of ${OBJECT_KIB} KiB through the gateway, against that from the API server itself, medians of ${LISTS}`,
    },
  ],
  run: (settings) =>
    inGatewayWorld(settings, async ({ world, direct, through }) => {
      const [objects, lists] = settings.quick ? [2, 1] : [OBJECTS, LISTS];
      await fill(world, objects);
      const asking = new Child<GatewayOrder>('gateway_client.ts');
      try {
        const list = (place: Place) =>
          asking.ask<number>({ order: 'get', place, path: CONFIG_MAPS, bytes: objects * OBJECT_KIB * 1024 });
        for (const place of [direct, through]) await list(place);
        const [without, by]: [number[], number[]] = [[], []];
        let processor = 0;
        for (let i = 0; i < lists; i++) {
          without.push(await list(direct));
          const before = await processorTime(world.gateway);
          by.push(await list(through));
          processor += (await processorTime(world.gateway)) - before;
        }
        const all_mib = (lists * objects * OBJECT_KIB) / 1024;
        const rate = (ms: readonly number[]) => ((objects * OBJECT_KIB * 1024) / MIB / median(ms)) * 1000;
        settings.log(
          `list: direct ${rate(without).toFixed(0)} MiB/s, gateway ${rate(by).toFixed(0)} MiB/s (medians), ` +
            `${((processor / all_mib) * 1000).toFixed(2)} ms of its processor each MiB`,
        );
        return { 'gateway.list50mb.vs_direct': rate(by) / rate(without) };
      } finally {
        await asking.stop();
      }
    }),
};

async function fill({ plane }: GatewayWorld, objects: number): Promise<void> {
  const [user] = (JSON.parse(await readFile(plane.adminKubeconfig, 'utf8')) as { users: { user: { token: string } }[] })
    .users;
  const place = { url: plane.server, ca: plane.caPem, token: user?.user.token ?? '' };
  const asking = new Child<GatewayOrder>('gateway_client.ts');
  try {
    await asking.ask({ order: 'fill', place, path: CONFIG_MAPS, count: objects, bytes: OBJECT_KIB * 1024 });
  } finally {
    await asking.stop();
  }
}
