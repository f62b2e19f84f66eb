// The kubelet of the tests (modules/kubelet): exec, attach, port-forward and logs around processes of this machine, where kwok's ignore
// stdin and terminals.
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ApiServer, getAsAdmin, logTail } from './api_server.ts';
import { ensureProgram } from './build.ts';
import { freePort } from './ports.ts';
import type { Processes } from './processes.ts';
import { kubelet } from './versions.ts';

const LISTENS_WITHIN_MS = 90_000;

export interface KubeletOptions {
  /** Where commands run. */
  readonly containers: string;
  /** The file that is every container's log. */
  readonly logs: string;
}

/** @returns its port, once it answers */
export async function startKubelet(
  processes: Processes,
  apiServer: ApiServer,
  { folder, containers, logs }: KubeletOptions & { readonly folder: string },
): Promise<number> {
  const command = await ensureProgram(kubelet);
  const log_file = join(folder, 'kubelet.log');
  for (let attempt = 1; ; attempt += 1) {
    const port = await freePort();
    const running = await processes.start({
      command,
      args: [
        `-address=127.0.0.1:${port}`,
        `-cert=${apiServer.cert_file}`,
        `-key=${apiServer.key_file}`,
        `-folder=${containers}`,
        `-logs=${logs}`,
      ],
      cwd: folder,
      env: { HOME: containers, PATH: process.env.PATH ?? '' },
      log_file,
    });
    const deadline = performance.now() + LISTENS_WITHIN_MS;
    while (running.ended() === undefined && !(await isHealthy(apiServer, port))) {
      if (performance.now() > deadline)
        throw new Error(`the kubelet is not ready in time:\n${await logTail(log_file)}`);
      await sleep(25);
    }
    if (running.ended() === undefined) return port;
    const said = await logTail(log_file);
    if (!said.includes('address already in use') || attempt === 5)
      throw new Error(`the kubelet ended (${running.ended()}):\n${said}`);
  }
}

async function isHealthy({ ca_pem }: ApiServer, port: number): Promise<boolean> {
  const at = { server: `https://127.0.0.1:${port}`, ca_pem, admin_token: '' };
  return (await getAsAdmin(at, '/healthz').catch(() => undefined))?.status === 200;
}
