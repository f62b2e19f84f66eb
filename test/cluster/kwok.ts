// kwok: nodes and pods for an API server without kubelets. Pods must name their node; there is no scheduler.
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ApiServer, logTail } from './api_server.ts';
import type { Binaries } from './build.ts';
import type { KubeletOptions } from './kubelet.ts';
import { freePort } from './ports.ts';
import type { Processes } from './processes.ts';

const LISTENS_WITHIN_MS = 90_000;

export interface KwokOptions {
  /** A file of further objects (YAML), such as what `kubectl logs` shows. */
  readonly more?: string | undefined;
  /** Whether a kubelet of the tests runs what is in the pods; kwok only says that they live. */
  readonly kubelet?: KubeletOptions | undefined;
}

/** Starts kwok for all nodes of the API server, and resolves when it answers as their kubelet. */
export async function startKwok(
  binaries: Binaries,
  processes: Processes,
  apiServer: ApiServer,
  options: Pick<KwokOptions, 'more'> & {
    readonly folder: string;
    readonly admin_kubeconfig: string;
    /** Where the kubelet of its nodes is; itself, unless given. */
    readonly node_port?: number | undefined;
  },
): Promise<void> {
  const { folder, admin_kubeconfig, more, node_port } = options;
  const log_file = join(folder, 'kwok.log');
  for (let attempt = 1; ; attempt += 1) {
    const port = await freePort();
    const running = await processes.start({
      command: binaries.kwok,
      args: [
        `--kubeconfig=${admin_kubeconfig}`,
        `--config=${join(import.meta.dirname, 'kwok.yaml')}`,
        ...(more === undefined ? [] : [`--config=${more}`]),
        '--manage-all-nodes=true',
        '--node-ip=127.0.0.1',
        `--node-port=${node_port ?? port}`,
        `--server-address=127.0.0.1:${port}`,
        `--tls-cert-file=${apiServer.cert_file}`,
        `--tls-private-key-file=${apiServer.key_file}`,
      ],
      cwd: folder,
      env: { HOME: folder, PATH: process.env.PATH ?? '' },
      log_file,
    });
    const deadline = performance.now() + LISTENS_WITHIN_MS;
    while (running.ended() === undefined && !(await isHealthy(port))) {
      if (performance.now() > deadline) throw new Error(`kwok is not ready in time:\n${await logTail(log_file)}`);
      await sleep(25);
    }
    if (running.ended() === undefined) return;
    const said = await logTail(log_file);
    if (!said.includes('address already in use') || attempt === 5) {
      throw new Error(`kwok ended (${running.ended()}):\n${said}`);
    }
  }
}

async function isHealthy(port: number): Promise<boolean> {
  try {
    return (await fetch(`http://127.0.0.1:${port}/healthz`, { signal: AbortSignal.timeout(2_000) })).ok;
  } catch {
    return false;
  }
}
