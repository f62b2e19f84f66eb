// OpenSSH's client as a test runs it: with one key, one certificate and one host key, and nothing of whoever runs the test.

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type RunResult, run } from '../../scripts/run.ts';
import { type Running, startRunning } from './running.ts';
import type { SshServer } from './sshd.ts';

/** An address of loopback that stands for the gateway's: what comes from any other comes directly. */
export const GATEWAY_ADDRESS = '127.0.0.2';

export interface SshClient {
  readonly folder: string;
  /** As in `authorized_keys`, without a comment. */
  readonly public_key: string;
  /** With these the client speaks to the server, by its address. @param from whose address it comes from */
  options(server: Pick<SshServer, 'port'>, from?: string): readonly string[];
  /** What is presented from now on, beside the key. */
  present(certificate: string): Promise<void>;
  /** Believes this host key, and no other. */
  trust(server: Pick<SshServer, 'port' | 'host_key'>): Promise<void>;
  /** Runs `ssh` to its end. @param words options, then `LOGIN@127.0.0.1` and a command */
  ssh(server: Pick<SshServer, 'port'>, words: readonly string[], from?: string): Promise<RunResult>;
  /** Starts it. */
  begin(server: Pick<SshServer, 'port'>, words: readonly string[], from?: string): Running;
  remove(): Promise<void>;
}

export async function makeSshClient(): Promise<SshClient> {
  const folder = await mkdtemp(path.join(tmpdir(), 'curfew-ssh-client-'));
  const [key, certificate, known] = ['id', 'id-cert.pub', 'known_hosts'].map((name) => path.join(folder, name)) as [
    string,
    string,
    string,
  ];
  const made = await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', '', '-f', key]);
  if (made.code !== 0) throw new Error(made.stderr);
  const public_key = (await readFile(`${key}.pub`, 'utf8')).trim();
  const options: SshClient['options'] = ({ port }, from = GATEWAY_ADDRESS) => [
    ...['-F', 'none', '-i', key, '-o', `CertificateFile=${certificate}`, '-o', 'IdentitiesOnly=yes'],
    ...['-o', `UserKnownHostsFile=${known}`, '-o', 'GlobalKnownHostsFile=none', '-o', 'StrictHostKeyChecking=yes'],
    ...['-o', 'BatchMode=yes', '-o', 'LogLevel=ERROR', '-o', `BindAddress=${from}`, '-o', `Port=${port}`],
  ];
  return {
    ...{ folder, public_key, options },
    present: (text) => writeFile(certificate, `${text}\n`),
    trust: ({ port, host_key }) => writeFile(known, `[127.0.0.1]:${port} ${host_key}\n`),
    ssh: (server, words, from) => run('ssh', [...options(server, from), ...words]),
    begin: (server, words, from) => startRunning('ssh', [...options(server, from), ...words]),
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}
