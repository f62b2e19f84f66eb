// The executable that kubeconfig names: one stable path (kuberc allows plugins by path), with Node and the program by
// their absolute paths, as kubectl does not have npm's PATH.

import { CurfewError } from '../shared/errors.ts';
import { codeOf, makePrivateDirectory, writeWhole } from './files.ts';
import { configDirectoryOf, type Host } from './host.ts';

/** @returns its absolute path. @throws CurfewError `configuration` */
export function writeLauncher(host: Host): string {
  const directory = `${configDirectoryOf(host)}/bin`;
  const fault = makePrivateDirectory(directory, host);
  const program = `${host.bundles}/kubectl-curfew.cjs`;
  const windows = host.platform === 'win32';
  const file = `${directory}/kubectl-curfew${windows ? '.cmd' : ''}`;
  const script = windows
    ? `@"${host.node}" "${program}" %*\r\n`
    : `#!/bin/sh\n# Written by kubectl-curfew setup.\nexec ${quote(host.node)} ${quote(program)} "$@"\n`;
  try {
    writeWhole(file, script, host, 0o700);
  } catch (cause) {
    throw new CurfewError('configuration', `${directory} ${fault ?? `cannot be written (${codeOf(cause)})`}`, {
      cause,
    });
  }
  return file;
}

/** As one word of sh, whatever it is. */
export function quote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
