// What makes an OpenSSH server take certificates of sessions, by way of the gateway alone, and nothing else: three kinds of files for its host.

import { formatDuration } from '../../shared/duration.ts';
import type { Seconds } from '../../shared/time.ts';
import type { SshPermit } from '../config/target_settings.ts';
import { principalOf, type Some } from '../ssh/certificate.ts';

export interface SshdParts {
  readonly target: string;
  /** Names of its accounts, each once. */
  readonly accounts: readonly string[];
  readonly permit: readonly SshPermit[];
  /** From where the gateway reaches it. */
  readonly source_addresses: Some<string>;
  /** Public keys of the ssh-ca as in `TrustedUserCAKeys`, the newest first. */
  readonly ca_keys: readonly string[];
  /** The strictest of all its accounts. */
  readonly inactivity_timeout: Seconds;
}

export interface PrintedFile {
  /** On the target's host. */
  readonly path: string;
  readonly text: string;
}

/** What trusts the ssh-ca: it is there to be replaced when that is. */
export const CA_FILE = '/etc/ssh/curfew/ca.pub';
const PRINCIPALS = '/etc/ssh/curfew/principals';
const CONFIG_FILE = '/etc/ssh/sshd_config.d/00-curfew.conf';

/** @returns the files, in the order in which they are to be put there */
export function sshdFiles(parts: SshdParts): readonly PrintedFile[] {
  const { target, accounts, ca_keys, source_addresses } = parts;
  const from = `from="${source_addresses.join(',')}"`;
  return [
    { path: CA_FILE, text: lines(ca_keys) },
    ...accounts.map((login) => ({
      path: `${PRINCIPALS}/${login}`,
      text: lines([`${from} ${principalOf(target, login)}`]),
    })),
    { path: CONFIG_FILE, text: lines(configOf(parts)) },
  ];
}

function configOf({ target, permit, source_addresses, inactivity_timeout }: SshdParts): readonly string[] {
  const permits = (permission: SshPermit) => (permit.includes(permission) ? 'yes' : 'no');
  return [
    `# Target ${target}. Printed by: curfew-broker print sshd-config. Needs OpenSSH 9.2. The first that says something holds:`,
    '# sshd_config must include this before anything else. Then: sshd -t, and reload it.',
    '# Close the port to all but the gateway in a firewall as well.',
    '',
    '# Certificates of the ssh-ca, for accounts that have a file of principals.',
    `TrustedUserCAKeys ${CA_FILE}`,
    `AuthorizedPrincipalsFile ${PRINCIPALS}/%u`,
    'AuthorizedPrincipalsCommand none',
    '',
    '# Nothing else: a key that somebody leaves behind, or a password, would be a way back in. An account for emergencies',
    '# gets its own Match User block, after all others.',
    'AuthenticationMethods publickey',
    'PubkeyAuthentication yes',
    'AuthorizedKeysFile none',
    'AuthorizedKeysCommand none',
    'PasswordAuthentication no',
    'KbdInteractiveAuthentication no',
    'HostbasedAuthentication no',
    '',
    '# As the target permits; certificates say the same.',
    `PermitTTY ${permits('pty')}`,
    `AllowTcpForwarding ${permits('port-forwarding')}`,
    `AllowStreamLocalForwarding ${permits('port-forwarding')}`,
    `AllowAgentForwarding ${permits('agent-forwarding')}`,
    `X11Forwarding ${permits('x11-forwarding')}`,
    `PermitUserRC ${permits('user-rc')}`,
    'PermitTunnel no',
    'GatewayPorts no',
    'PermitUserEnvironment no',
    '',
    '# A shell without keys and output for so long is closed; a command that is silent is not.',
    `ChannelTimeout session:shell=${formatDuration(inactivity_timeout)}`,
    '# Answers to this would count as use at the gateway.',
    'ClientAliveInterval 0',
    '',
    '# A process that a person left in the background survives the end of their session. With systemd, in logind.conf:',
    '# KillUserProcesses=yes, and no lingering for these accounts (loginctl disable-linger).',
    '',
    '# From elsewhere no certificate counts.',
    `Match Address *,${source_addresses.map((address) => `!${address}`).join(',')}`,
    '    TrustedUserCAKeys none',
    'Match all',
  ];
}

function lines(of: readonly string[]): string {
  return of.map((line) => `${line}\n`).join('');
}
