// Whether a keychain gives what it holds without asking anybody. It must never be the reason for a dialogue that no person caused.

import { execFile } from 'node:child_process';
import type { Host } from '../host/host.ts';

const LONGEST_MS = 2_000;
const ARGUMENTS = [
  ...['--user', '--auto-start=no', 'get-property', 'org.freedesktop.secrets'],
  ...['/org/freedesktop/secrets/aliases/default', 'org.freedesktop.Secret.Collection', 'Locked'],
] as const;

/**
 * Only on Linux can that be asked beforehand, by systemd's busctl. Where it cannot be known, it counts as one that asks.
 */
export async function isOpenKeychain(host: Pick<Host, 'env' | 'platform'>): Promise<boolean> {
  return (await stateOf(host)) === 'b false';
}

/** Whether it is known to be locked. */
export async function isLocked(host: Pick<Host, 'env' | 'platform'>): Promise<boolean> {
  return (await stateOf(host)) === 'b true';
}

async function stateOf({ platform, env }: Pick<Host, 'env' | 'platform'>): Promise<string | undefined> {
  if (platform !== 'linux') return undefined;
  for (const program of ['/usr/bin/busctl', '/bin/busctl']) {
    const answer = await new Promise<string | undefined>((resolve) => {
      const options = { env: { ...env }, timeout: LONGEST_MS, killSignal: 'SIGKILL' } as const;
      execFile(program, ARGUMENTS, options, (error, stdout) => resolve(error ? undefined : stdout.trim()));
    });
    if (answer !== undefined) return answer;
  }
  return undefined;
}
