// A running kube-apiserver's AuthenticationConfiguration: replaced as a whole, and awaited until it is what decides.
import { createHash } from 'node:crypto';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ApiServer, getAsAdmin } from './api_server.ts';

// The API server takes a new configuration only when all issuers in it answer. It tries for a minute, every 10 s.
const RELOADED_WITHIN_MS = 75_000;
const POLL_MS = 100;

/** Trusts nobody: only the administrator's token works. @param version `v1beta1` before Kubernetes 1.34 */
export const emptyAuthenticationConfig = (
  version: 'v1' | 'v1beta1' = 'v1',
) => `apiVersion: apiserver.config.k8s.io/${version}
kind: AuthenticationConfiguration
jwt: []
`;

/**
 * Replaces the configuration and resolves when the API server decides by it.
 *
 * @param yaml all of the new AuthenticationConfiguration
 * @throws Error with the API server's own words if it refuses it, or cannot reach one of its issuers
 */
export async function replaceAuthenticationConfig(apiServer: ApiServer, file: string, yaml: string): Promise<void> {
  const before = await reloads(apiServer);
  const logged = (await readFile(apiServer.log_file)).length;
  await writeFile(`${file}.new`, yaml);
  await rename(`${file}.new`, file);
  const wanted = `sha256:${createHash('sha256').update(yaml).digest('hex')}`;
  const deadline = performance.now() + RELOADED_WITHIN_MS;
  for (;;) {
    const now = await reloads(apiServer);
    if (now.config_hash === wanted) return;
    if (now.failures > before.failures || performance.now() > deadline) {
      throw new Error(`kube-apiserver did not take the authentication config:\n${await complaints(apiServer, logged)}`);
    }
    await sleep(POLL_MS);
  }
}

type Reloads = { readonly config_hash: string | undefined; readonly failures: number };

async function reloads(apiServer: ApiServer): Promise<Reloads> {
  const { body } = await getAsAdmin(apiServer, '/metrics');
  const metrics = body.split('\n').filter((line) => line.startsWith('apiserver_authentication_config_controller_'));
  const config = metrics.find((line) => line.includes('_last_config_info{'));
  const failures = metrics.find((line) => /automatic_reloads_total\{.*status="failure"/.test(line));
  return {
    config_hash: config === undefined ? undefined : /[{,]hash="([^"]+)"/.exec(config)?.[1],
    failures: Number(failures?.split(' ').at(-1) ?? 0),
  };
}

async function complaints(apiServer: ApiServer, logged: number): Promise<string> {
  const log = (await readFile(apiServer.log_file)).subarray(logged).toString('utf8');
  return log
    .split('\n')
    .filter((line) => /authentication config|oidc/i.test(line))
    .slice(-10)
    .join('\n');
}
