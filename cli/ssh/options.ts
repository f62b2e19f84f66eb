// What ssh is told of a target: options as in ssh_config(5), first on its command line or in a file that its configuration includes, so
// that they come before a person's own.

import { quote } from '../host/launcher.ts';
import type { SshFiles } from './files.ts';

export type SshOption = readonly [name: string, value: string];

/** @param proxy words of a command that connects stdin and stdout */
export function sshOptions(
  files: Pick<SshFiles, 'certificate' | 'known_hosts'>,
  {
    key,
    login,
    target,
    proxy,
  }: { readonly key: string; readonly login: string; readonly target: string; readonly proxy: readonly string[] },
): readonly SshOption[] {
  return [
    ['User', login],
    ['IdentityFile', inQuotes(key)],
    ['CertificateFile', inQuotes(files.certificate)],
    ['IdentitiesOnly', 'yes'],
    ['IdentityAgent', 'none'],
    ['PreferredAuthentications', 'publickey'],
    // By the broker's word, and by no other.
    ['HostKeyAlias', hostKeyAlias(target)],
    ['UserKnownHostsFile', inQuotes(files.known_hosts)],
    ['GlobalKnownHostsFile', '/dev/null'],
    ['StrictHostKeyChecking', 'yes'],
    ['UpdateHostKeys', 'no'],
    ['CanonicalizeHostname', 'no'],
    // What is sent without a person would be taken for one who is there.
    ['ServerAliveInterval', '0'],
    ['ProxyCommand', proxyCommand(proxy)],
  ];
}

/** No name of a host that there is. */
export function hostKeyAlias(target: string): string {
  return `curfew-${target}`;
}

/** A shell reads it, after ssh has looked for its tokens. */
export function proxyCommand(words: readonly string[]): string {
  return words.map(quote).join(' ').replaceAll('%', '%%');
}

/** A path, as one word. */
export function inQuotes(path: string): string {
  return `"${path.replaceAll('%', '%%')}"`;
}

export function asArguments(options: readonly SshOption[]): readonly string[] {
  return options.flatMap(([name, value]) => ['-o', `${name} ${value}`]);
}

export function asLines(options: readonly SshOption[]): string {
  return options.map(([name, value]) => `${name} ${value}\n`).join('');
}
