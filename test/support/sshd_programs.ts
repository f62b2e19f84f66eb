// OpenSSH's server, and rsync, for tests: those of the machine, or Debian's packages taken apart into the cache.

import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { unpackedPackages } from './debian_unpacked.ts';

export interface SshdPrograms {
  readonly sshd: string;
  readonly sftp_server: string;
  readonly rsync: string;
  /** Where their libraries are, beside those of the machine. */
  readonly libraries: readonly string[];
}

const PLACES = { sshd: 'usr/sbin/sshd', sftp_server: 'usr/lib/openssh/sftp-server', rsync: 'usr/bin/rsync' };

/** @throws Error that says what is missing */
export async function ensureSshd(
  log = (line: string) => void process.stderr.write(`test: ${line}\n`),
): Promise<SshdPrograms> {
  const ofMachine = programsIn('/', []);
  if (ofMachine) return ofMachine;
  const release = execFileSync('sh', ['-c', '. /etc/os-release; echo "$ID-$VERSION_ID"'], { encoding: 'utf8' }).trim();
  const packages = ['openssh-server', 'openssh-sftp-server', 'rsync'];
  const name = `openssh-${release}-${process.arch}`;
  const { root, libraries } = await unpackedPackages({ name, what: 'OpenSSH', packages }, log);
  const unpacked = programsIn(root, libraries);
  if (!unpacked) throw new Error(`${root} has no sshd, sftp-server or rsync: remove its folder`);
  return unpacked;
}

function programsIn(root: string, libraries: readonly string[]): SshdPrograms | undefined {
  const [sshd, sftp_server, rsync] = [PLACES.sshd, PLACES.sftp_server, PLACES.rsync].map((one) => path.join(root, one));
  if (!sshd || !sftp_server || !rsync || ![sshd, sftp_server, rsync].every((file) => existsSync(file)))
    return undefined;
  return { sshd, sftp_server, rsync, libraries };
}
