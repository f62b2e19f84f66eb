// A world with a gateway before each of its clusters, all of it real; people reach the API server through it alone.

import { randomBytes } from 'node:crypto';
import { appendFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { freePort } from '../cluster/ports.ts';
import { type GatewayProcess, startGatewayProcess } from './gateway_process.ts';
import type { Person } from './person.ts';
import { type Running, startRunning } from './running.ts';
import { type PlaneOptions, startWorld, type World, type WorldOptions } from './world.ts';

export interface GatewayWorld extends World {
  /** The gateway before `dev`. */
  readonly gateway: GatewayProcess;
  /** Where the containers of a kubelet have their files. */
  readonly containers: string;
  /** Says a line in the logs of every container, and to whoever is attached. */
  log(text: string): Promise<void>;
  /** Starts it again, where it was ended, with these sections of its configuration otherwise. */
  startGateway(more?: Readonly<Record<string, unknown>>): Promise<GatewayProcess>;
}

export interface GatewayWorldOptions extends Omit<WorldOptions, 'planes' | 'dir'> {
  readonly plane?: Omit<PlaneOptions, 'name'>;
  /** Of `clusters[].gateway`. */
  readonly gateway?: Readonly<Record<string, unknown>>;
  /** Sections of the gateway's configuration. */
  readonly more?: Readonly<Record<string, unknown>>;
  /** Whether a kubelet of the tests runs what is in the pods, with stdin and terminals, instead of kwok. */
  readonly kubelet?: boolean;
  /** Another gateway than the bundle. */
  readonly gatewayProgram?: string;
  /** Of the gateway's process. */
  readonly env?: Readonly<Record<string, string>>;
}

/** A pod that kwok runs, in two namespaces. */
export const PODS = ['dev', 'prod']
  .map(
    (namespace) => `
apiVersion: v1
kind: Namespace
metadata: {name: ${namespace}}
---
apiVersion: v1
kind: Pod
metadata: {name: shell, namespace: ${namespace}}
spec: {nodeName: worker, automountServiceAccountToken: false, containers: [{name: shell, image: none}]}
`,
  )
  .concat('\napiVersion: v1\nkind: Node\nmetadata: {name: worker}\n')
  .join('---');

/** What kwok shows of every container: logs that go on, and what is forwarded to any port comes back. */
const kwokObjects = (logs_file: string) => `
apiVersion: kwok.x-k8s.io/v1alpha1
kind: ClusterLogs
metadata: {name: logs}
spec: {logs: [{logsFile: ${logs_file}, follow: true}]}
---
apiVersion: kwok.x-k8s.io/v1alpha1
kind: ClusterAttach
metadata: {name: attach}
spec: {attaches: [{logsFile: ${logs_file}}]}
---
apiVersion: kwok.x-k8s.io/v1alpha1
kind: ClusterPortForward
metadata: {name: forward}
spec: {forwards: [{command: [cat]}]}
`;

/** As a container runtime writes it. */
const logLine = (text: string) => `${new Date().toISOString()} stdout F ${text}\n`;

export async function startGatewayWorld(options: GatewayWorldOptions = {}): Promise<GatewayWorld> {
  const { plane, gateway: settings, more, kubelet, env = {}, gatewayProgram, ...rest } = options;
  const dir = await mkdtemp(path.join(tmpdir(), 'curfew-gateway-'));
  const token_file = path.join(dir, 'gateway-token');
  await writeFile(token_file, randomBytes(32).toString('base64'), { mode: 0o600 });
  const port = await freePort();
  const gateway = {
    ...{ url: `https://127.0.0.1:${port}`, ca_file: path.join(dir, 'ca', 'curfew-test-ca.crt'), token_file },
    ...settings,
  };
  const logs_file = path.join(dir, 'logs');
  await writeFile(logs_file, logLine('begun'));
  const containers = path.join(dir, 'containers');
  await mkdir(containers);
  const kwok = {
    more: path.join(dir, 'kwok.yaml'),
    ...(kubelet && { kubelet: { containers, logs: logs_file } }),
  };
  await writeFile(kwok.more, kwokObjects(logs_file));
  const planes = [{ name: 'dev', kwok, ...plane, cluster: { gateway, ...plane?.cluster } }];
  const world = await startWorld({ ...rest, dir, planes }).catch(async (error: unknown) => {
    await rm(dir, { recursive: true, force: true });
    throw error;
  });
  let running: GatewayProcess | undefined;
  const stop = async () => {
    await running?.kill();
    await world.stop();
    await rm(dir, { recursive: true, force: true });
  };
  const keys_file = path.join(dir, 'service-account-keys.json');
  const service_account_keys_file = plane?.serviceAccounts && keys_file;
  const start = async (changes: Readonly<Record<string, unknown>> = {}) => {
    running = await startGatewayProcess({
      ...{ dir, authority: world.authority, port, env, program: gatewayProgram },
      broker: { url: world.brokerUrl, ca_file: world.authority.caFile, token_file },
      api_server: { url: world.plane.server, ca_file: world.plane.caFile, service_account_keys_file },
      more: { ...more, ...changes },
    });
    return running;
  };
  try {
    const applied = await world.plane.adminKubectl(['apply', '-f', '-'], { input: PODS });
    if (applied.code !== 0) throw new Error(`kubectl apply: ${applied.stderr}`);
    for (const namespace of ['dev', 'prod']) {
      const wait = ['-n', namespace, 'wait', '--for=condition=Ready', 'pod/shell', '--timeout=90s'];
      const ready = await world.plane.adminKubectl(wait);
      if (ready.code !== 0) throw new Error(`kubectl wait: ${ready.stderr}`);
    }
    // As docs/gateway.md has it.
    const keys = await world.plane.adminKubectl(['get', '--raw', '/openid/v1/jwks']);
    await writeFile(keys_file, keys.stdout);
    await start();
  } catch (error) {
    await stop();
    throw error;
  }
  // Getters of the world stay what they are.
  return Object.defineProperties(Object.create(world) as GatewayWorld, {
    gateway: { get: () => running },
    startGateway: { value: start },
    containers: { value: containers },
    log: { value: (text: string) => appendFile(logs_file, logLine(text)) },
    stop: { value: stop },
  });
}

/** kubectl of a person, which goes on. */
export function kubectlOf(person: Person, kubectl: string, ...args: readonly string[]): Running {
  return startRunning(kubectl, args, person.env);
}
