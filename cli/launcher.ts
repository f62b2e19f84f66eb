// The executable that kubeconfig names: one stable path (kuberc allows plugins by path). It is the small native program where
// that runs, else a script; beside it stand the absolute paths of Node and the full program, as kubectl does not have npm's PATH.

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { CurfewError } from '../shared/errors.ts';
import { readOurs } from './cache/read.ts';
import { requireOwnPlace } from './config.ts';
import { codeOf, makePrivateDirectory, writeWhole } from './files.ts';
import { configDirectoryOf, type Host } from './host.ts';
import { VERSION } from './version.ts';

/** Milliseconds for the native program to say its version. */
const LONGEST = 5_000;

export interface Launcher {
  /** Its absolute path. */
  readonly file: string;
  /** Why it is a script, where it is one: everything works, each call is slower. */
  readonly slow?: string | undefined;
}

/** @throws CurfewError `configuration` */
export function writeLauncher(host: Host): Launcher {
  const directory = directoryOf(host);
  requireOwnPlace(host, directory);
  const fault = makePrivateDirectory(directory, host);
  try {
    writeWhole(`${directory}/${BESIDE[host.platform === 'win32' ? 'windows' : 'posix']}`, whatIsBeside(host), host);
    return writeNative(host, directory) ?? writeScript(host, directory);
  } catch (cause) {
    throw new CurfewError('configuration', `${directory} ${fault ?? `cannot be written (${codeOf(cause)})`}`, {
      cause,
    });
  }
}

/** After an upgrade in place: what kubeconfig names becomes that of this version. Fails silently: what is there goes on working. */
export function refreshLauncher(host: Host): void {
  const beside = `${directoryOf(host)}/${BESIDE[host.platform === 'win32' ? 'windows' : 'posix']}`;
  const [, program, version] = readOurs(host, beside)?.content?.split('\n') ?? [];
  if (program !== programOf(host) || version === VERSION) return;
  try {
    writeLauncher(host);
  } catch {
    // The next call tries again.
  }
}

/** The native program looks for these beside itself, under its own whole name. */
const BESIDE = { posix: 'kubectl-curfew.full', windows: 'kubectl-curfew.exe.full' } as const;

function directoryOf(host: Host): string {
  return `${configDirectoryOf(host)}/bin`;
}

function programOf({ bundles }: Host): string {
  return `${bundles}/kubectl-curfew.cjs`;
}

/** Two lines for shell.c, and the version that wrote them. */
function whatIsBeside(host: Host): string {
  return `${host.node}\n${programOf(host)}\n${VERSION}\n`;
}

function writeNative(host: Host, directory: string): Launcher | undefined {
  const { bundles, platform, arch } = host;
  const suffix = platform === 'win32' ? '.exe' : '';
  const file = `${directory}/kubectl-curfew${suffix}`;
  // glibc first, then what needs no library at all.
  for (const name of [`${platform}-${arch}`, `${platform}-${arch}-musl`]) {
    const built = `${bundles}/native/${name}/kubectl-curfew${suffix}`;
    if (!existsSync(built)) continue;
    writeWhole(file, readFileSync(built), host, 0o700);
    if (saysItsVersion(file)) return { file };
  }
  return undefined;
}

function saysItsVersion(file: string): boolean {
  const { stdout } = spawnSync(file, ['--version'], { timeout: LONGEST, stdio: ['ignore', 'pipe', 'ignore'] });
  return stdout?.toString() === `kubectl-curfew ${VERSION} (native)\n`;
}

function writeScript(host: Host, directory: string): Launcher {
  const windows = host.platform === 'win32';
  const file = `${directory}/kubectl-curfew${windows ? '.cmd' : ''}`;
  const script = windows
    ? `@"${host.node}" "${programOf(host)}" %*\r\n`
    : `#!/bin/sh\n# Written by kubectl-curfew setup.\nexec ${quote(host.node)} ${quote(programOf(host))} "$@"\n`;
  writeWhole(file, script, host, 0o700);
  return { file, slow: `there is no native program that runs here (${host.platform}-${host.arch})` };
}

/** As one word of sh, whatever it is. */
export function quote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
