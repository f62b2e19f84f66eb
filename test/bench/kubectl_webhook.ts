// What the authorization webhook costs a whole kubectl call: the same call with the same kind of token at two API servers, of
// which one asks the broker about each request.

import { mkdtemp } from 'node:fs/promises';
import path from 'node:path';
import { type Person, startWorld, type World } from '../support/world.ts';
import type { Bench } from './figure.ts';
import { type Command, compare } from './pairs.ts';
import { writeStaticKubeconfig } from './static_kubeconfig.ts';

const PAIRS = 61;
/** Long enough that no token is over while commands are timed. */
const POLICY = { limits: { max_age: '12h', inactivity_timeout: '2h', token_ttl: '1h' }, segments: [] };

export const kubectlWebhook: Bench = {
  figures: [
    {
      name: 'kubectl.webhook_vs_none',
      unit: 'ratio',
      aim: { at_most: 1.05 },
      says: '`kubectl get namespaces` at an API server that asks the webhook, against one that does not',
    },
  ],
  async run({ folder, quick, log }) {
    const dir = await mkdtemp(path.join(folder, 'world-'));
    const planes = [{ name: 'dev', webhook: { on_failure: 'deny' } }, { name: 'plain' }] as const;
    const world = await startWorld({ dir, policy: POLICY, planes, log });
    try {
      const person = await world.person('alice');
      for (const words of [['setup', '--broker', world.brokerUrl, '--ca-file', world.authority.caFile], ['login']]) {
        const { code, stderr } = await person.curfew(words);
        if (code !== 0) throw new Error(`${words[0]} ended with ${code}: ${stderr}`);
      }
      const call = async (cluster: string): Promise<Command> => ({
        command: world.plane.kubectlPath,
        args: ['get', 'namespaces'],
        env: { ...person.env, KUBECONFIG: await staticKubeconfig(world, person, cluster) },
      });
      const name = ['kubectl with the webhook', 'without'] as const;
      const ratio = await compare(await call('dev'), await call('plain'), { pairs: quick ? 3 : PAIRS, name, log });
      return { 'kubectl.webhook_vs_none': ratio };
    } finally {
      await world.stop();
    }
  },
};

/** With a token of this cluster in it, so that no plugin runs. */
async function staticKubeconfig({ planes, brokerUrl, authority }: World, person: Person, cluster: string) {
  const plane = planes[cluster];
  if (!plane) throw new TypeError(`there is no cluster ${cluster}`);
  const info = { apiVersion: 'client.authentication.k8s.io/v1', kind: 'ExecCredential', spec: { interactive: false } };
  const words = ['get-token', '--broker', brokerUrl, '--cluster', cluster, '--ca-file', authority.caFile];
  const { code, stdout, stderr } = await person.curfew(words, { env: { KUBERNETES_EXEC_INFO: JSON.stringify(info) } });
  if (code !== 0) throw new Error(`get-token ended with ${code}: ${stderr}`);
  const { token } = (JSON.parse(stdout) as { status: { token: string } }).status;
  const { server, caFile } = plane;
  return writeStaticKubeconfig(path.join(person.dir, `${cluster}.kubeconfig`), { server, caFile, token });
}
