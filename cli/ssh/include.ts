// The one line of ours in ~/.ssh/config, and the files that it includes. Whatever else is there stays to the byte.

import { CurfewError } from '../../shared/errors.ts';
import { configDirectoryOf } from '../host/host.ts';
import { brokerName } from '../session/ssh_folder.ts';
import type { OwnFiles } from '../warm/machine.ts';
import { beneathHome } from '../warm/paths.ts';

/** Of all brokers. */
export function sshSettingsFolder(host: OwnFiles): string {
  return `${configDirectoryOf(host)}/ssh`;
}

export function sshSettingsFile(host: OwnFiles, broker: string): string {
  return `${sshSettingsFolder(host)}/${brokerName(broker)}.conf`;
}

/** @throws CurfewError `configuration` */
export function userSshConfig({ env }: Pick<OwnFiles, 'env'>): string {
  const file = beneathHome(env, '.ssh/config');
  if (file !== undefined) return file;
  throw new CurfewError('configuration', 'there is no place for ~/.ssh/config', { hint: 'set HOME' });
}

/** @param folder with a file for each broker */
export function includeLine(folder: string): string {
  return `Include "${folder}/*.conf"`;
}

/** Where it stands: before all that holds for some hosts only, `late` behind that, where it would be of these hosts alone. */
export function placeOf(text: string, line: string): 'first' | 'late' | undefined {
  const lines = text.split('\n').map((one) => one.trim());
  const at = lines.indexOf(line);
  if (at < 0) return undefined;
  return lines.slice(0, at).some((one) => /^(Host|Match)\b/i.test(one)) ? 'late' : 'first';
}

/** With the line at its beginning, once. */
export function withInclude(text: string, line: string): string {
  if (placeOf(text, line) === 'first') return text;
  const end = /^[^\n]*\r\n/.test(text) ? '\r\n' : '\n';
  return `${line}${end}${withoutInclude(text, line)}`;
}

/** Without the line, wherever it is. */
export function withoutInclude(text: string, line: string): string {
  // Each with its own end.
  const lines = text.match(/[^\n]*\n|[^\n]+$/g) ?? [];
  return lines.filter((one) => one.trim() !== line).join('');
}
