// Whether plain ssh reaches targets, where it was set up to.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { delimiter } from 'node:path';
import { CurfewError } from '../../shared/errors.ts';
import type { Host } from '../host/host.ts';
import { readText } from '../kubeconfig/kubeconfig.ts';
import { includeLine, placeOf, sshSettingsFolder, userSshConfig } from '../ssh/include.ts';
import { type Check, fine, wrong, wrongBy } from './check.ts';

const AGAIN = 'run: kubectl curfew setup --broker URL --ssh';

export function checkSsh(host: Host): Check {
  try {
    const folder = sshSettingsFolder(host);
    const files = existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('.conf')) : [];
    if (files.length === 0) return fine('ssh', 'plain ssh is not set up for targets');
    const missing = ['ssh', 'ssh-keygen'].find((program) => !isInPath(host, program));
    if (missing !== undefined)
      return wrong('ssh', `${missing} is not found in PATH`, 'install OpenSSH (openssh-client)');
    const user = userSshConfig(host);
    const place = placeOf(readText(user), includeLine(folder));
    if (place === undefined) return wrong('ssh', `${user} does not include ${folder}`, AGAIN);
    if (place === 'late')
      return wrong('ssh', `${user} includes ${folder} behind a Host or Match: for those hosts alone`, AGAIN);
    const texts = files.map((name) => readFileSync(`${folder}/${name}`, 'utf8'));
    const commands = texts.flatMap((text) => [...text.matchAll(/ (?:'([^']+)'|(\/\S+)) ssh-ready /g)]);
    const gone = commands.map(([, quoted, plain]) => quoted ?? plain ?? '').find((command) => !existsSync(command));
    if (gone !== undefined) return wrong('ssh', `ssh would run ${gone}, which is not there`, AGAIN);
    const names = texts.flatMap((text) =>
      [...text.matchAll(/^Match originalhost (\S+) exec /gm)].map(([, name]) => name),
    );
    return fine('ssh', `plain ssh reaches ${names.join(', ')}`);
  } catch (error) {
    if (error instanceof CurfewError) return wrongBy('ssh', error);
    return wrong('ssh', 'what ssh is told cannot be read', AGAIN);
  }
}

function isInPath({ env, platform }: Pick<Host, 'env' | 'platform'>, program: string): boolean {
  const suffix = platform === 'win32' ? '.exe' : '';
  return (env.PATH ?? '')
    .split(delimiter)
    .some((folder) => folder !== '' && existsSync(`${folder}/${program}${suffix}`));
}
