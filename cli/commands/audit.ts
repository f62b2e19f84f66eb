// `audit kubeconfig`: what of a person's kubeconfigs goes around sessions that end, and how to be rid of it.

import { EXIT } from '../../shared/errors.ts';
import { auditFiles } from '../audit/files.ts';
import { readAllowed } from '../audit/kuberc.ts';
import { printJson, printSarif, printTable } from '../audit/say.ts';
import type { World } from '../audit/world.ts';
import type { Host } from '../host/host.ts';
import { faultOfPlace } from '../host/place.ts';

export interface AuditOptions {
  readonly output?: string;
}

const LARGEST_BYTES = 8 * 1024 * 1024;

/** @returns the exit status: 1 where something was found */
export async function auditCommand(host: Host, named: readonly string[], { output }: AuditOptions): Promise<number> {
  const { files, findings } = auditFiles(host, worldOf(host), named);
  if (output === 'json') host.print(printJson(files, findings));
  else if (output === 'sarif') host.print(printSarif(findings));
  else host.print(printTable(files, findings));
  return findings.length === 0 ? EXIT.done : EXIT.findings;
}

function worldOf(host: Host): World {
  const { env, files, uid } = host;
  return {
    now: host.now(),
    read: (path) => files.read(path, LARGEST_BYTES, true),
    allowed: readAllowed(host),
    exchangeable: (path) => (files.lstat(path) === undefined ? undefined : faultOfPlace(path, uid)),
    ci: [env.CI, env.GITHUB_ACTIONS, env.GITLAB_CI, env.JENKINS_URL, env.TF_BUILD].some(
      (value) => !!value && value !== 'false',
    ),
  };
}
