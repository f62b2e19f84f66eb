// `audit kubeconfig`: what of a person's kubeconfigs goes around sessions that end, and how to be rid of it.

import { CurfewError, EXIT } from '../../shared/errors.ts';
import { auditFiles } from '../audit/files.ts';
import { fixFiles, requireAsking } from '../audit/fix.ts';
import { readAllowed } from '../audit/kuberc.ts';
import { printJson, printSarif, printTable } from '../audit/say.ts';
import type { World } from '../audit/world.ts';
import { chooseBroker } from '../host/config.ts';
import type { Host } from '../host/host.ts';
import { faultOfPlace } from '../host/place.ts';

export interface AuditOptions {
  readonly output?: string;
  readonly fix?: boolean;
  readonly yes?: boolean;
  readonly broker?: string;
}

const LARGEST_BYTES = 8 * 1024 * 1024;

/** @returns the exit status: 1 where something was found, and is there still */
export async function auditCommand(host: Host, named: readonly string[], options: AuditOptions): Promise<number> {
  const { output, fix = false, yes = false } = options;
  if (fix && output !== undefined) throw new CurfewError('usage', '--fix and --output exclude each other');
  if (yes && !fix) throw new CurfewError('usage', '--yes is for --fix');
  if (fix) requireAsking(host, yes);
  const broker = fix ? chooseBroker(host, options.broker) : undefined;
  const world = worldOf(host);
  const audited = auditFiles(host, world, named);
  const { files, findings } = audited;
  if (output === 'json') host.print(printJson(files, findings));
  else if (output === 'sarif') host.print(printSarif(findings));
  else host.print(printTable(files, findings));
  if (broker === undefined || findings.length === 0) return findings.length === 0 ? EXIT.done : EXIT.findings;
  await fixFiles(host, audited, world, broker, yes);
  const left = auditFiles(host, world, named).findings;
  host.print(left.length === 0 ? 'nothing is left\n' : `${left.length} of ${findings.length} are left\n`);
  return left.length === 0 ? EXIT.done : EXIT.findings;
}

function worldOf(host: Host): World {
  const { env, files, uid } = host;
  const ci = [env.CI, env.GITHUB_ACTIONS, env.GITLAB_CI, env.JENKINS_URL, env.TF_BUILD];
  return {
    now: host.now(),
    read: (path) => files.read(path, LARGEST_BYTES, true),
    allowed: readAllowed(host),
    exchangeable: (path) => (files.lstat(path) === undefined ? undefined : faultOfPlace(path, uid)),
    ci: ci.some((value) => !!value && value !== 'false'),
  };
}
