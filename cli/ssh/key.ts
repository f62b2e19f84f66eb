// The ssh key of a session: made by the machine's own ssh-keygen, without a passphrase, as it is worth nothing without a certificate, and a
// certificate is good for a minute or less.

import { execFile } from 'node:child_process';
import { existsSync, readFileSync, renameSync } from 'node:fs';
import { CurfewError } from '../../shared/errors.ts';
import { isSshPublicKey } from '../../shared/targets.ts';
import { removeFile } from '../host/files.ts';
import type { Host } from '../host/host.ts';

const LONGEST_MS = 20_000;

/** @returns the public key, as in `authorized_keys` without a comment. @throws CurfewError `configuration` without an ssh-keygen that works */
export async function sessionKey(host: Pick<Host, 'env' | 'random'>, file: string): Promise<string> {
  return readPublic(file) ?? (await makeKey(host, file));
}

function readPublic(file: string): string | undefined {
  if (!existsSync(file) || !existsSync(`${file}.pub`)) return undefined;
  const key = readFileSync(`${file}.pub`, 'utf8').trim().split(' ').slice(0, 2).join(' ');
  return isSshPublicKey(key) ? key : undefined;
}

/** Both halves are there, or none is used: the private one comes last. */
async function makeKey({ env, random }: Pick<Host, 'env' | 'random'>, file: string): Promise<string> {
  const made = `${file}.${random(6).toString('hex')}.tmp`;
  try {
    await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', '', '-f', made], env);
    const key = readPublic(made);
    if (key === undefined) throw new CurfewError('configuration', 'ssh-keygen made no ed25519 key', { hint: HINT });
    renameSync(`${made}.pub`, `${file}.pub`);
    renameSync(made, file);
    return key;
  } finally {
    for (const name of [made, `${made}.pub`]) removeFile(name);
  }
}

const HINT = 'install OpenSSH (openssh-client), or put its folder into PATH';

function run(program: string, args: readonly string[], env: Host['env']): Promise<void> {
  return new Promise((resolve, reject) => {
    execFile(
      program,
      [...args],
      { env: { ...env }, timeout: LONGEST_MS, killSignal: 'SIGKILL' },
      (error, _out, told) => {
        if (!error) return resolve();
        const why = error.code === 'ENOENT' ? 'is not found' : `failed: ${told.split('\n')[0] || 'without a word'}`;
        reject(new CurfewError('configuration', `${program} ${why}`, { hint: HINT }));
      },
    );
  });
}
