// The executable that kubeconfig names: one stable path (kuberc allows plugins by path). It is the small native program where
// that runs, else a script; beside it are the absolute paths of Node and the full program, as kubectl does not have npm's PATH.

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { CurfewError, EXIT } from '../../shared/errors.ts';
import type { OwnFiles } from '../warm/machine.ts';
import { readOurs } from '../warm/read_cache.ts';
import { VERSION } from '../warm/version.ts';
import { requireOwnPlace } from './config.ts';
import { codeOf } from './error_code.ts';
import { makePrivateDirectory, writeWhole } from './files.ts';
import { configDirectoryOf, type Host, type Program } from './host.ts';

/** For the native program to say its version. */
const VERSION_DEADLINE_MS = 5_000;

/** The word before those that are there, the last of them as far as it is typed. Nobody types it: shells and kubectl ask by it. */
export const COMPLETE_COMMAND = '__complete';

/** What it takes to write one. */
export type LauncherHost = OwnFiles & Program & Pick<Host, 'random' | 'strange_home'>;

export interface Launcher {
  /** Its absolute path. */
  readonly file: string;
  /** Why it is a script, where it is one: everything works, each call is slower. */
  readonly slow?: string | undefined;
}

/** @throws CurfewError `configuration` */
export function writeLauncher(host: LauncherHost): Launcher {
  const directory = directoryOf(host);
  requireOwnPlace(host, directory);
  const fault = makePrivateDirectory(directory, host);
  try {
    writeWhole(`${directory}/${BESIDE[host.platform === 'win32' ? 'windows' : 'posix']}`, whatIsBeside(host), host);
    if (host.platform !== 'win32') writeWhole(`${directory}/kubectl_complete-curfew`, COMPLETING, host, 0o700);
    return writeNative(host, directory) ?? writeScript(host, directory);
  } catch (cause) {
    throw new CurfewError('configuration', `${directory} ${fault ?? `cannot be written (${codeOf(cause)})`}`, {
      cause,
    });
  }
}

/** After an upgrade in place: what kubeconfig names becomes that of this version. Fails silently: what is there still works. */
export function refreshLauncher(host: LauncherHost): void {
  const beside = `${directoryOf(host)}/${BESIDE[host.platform === 'win32' ? 'windows' : 'posix']}`;
  const [, program, version] = readOurs(host, beside)?.content?.split('\n') ?? [];
  if (program !== programOf(host) || version === VERSION) return;
  try {
    writeLauncher(host);
  } catch {
    // The next call tries again.
  }
}

/** By this name kubectl looks in PATH for what completes `kubectl curfew` (kubectl, plugin completion). */
const COMPLETING = `#!/bin/sh
# Written by kubectl-curfew setup.
exec "\${0%/*}/kubectl-curfew" ${COMPLETE_COMMAND} "$@"
`;

/** The native program looks for these beside itself, under its own whole name. */
const BESIDE = { posix: 'kubectl-curfew.full', windows: 'kubectl-curfew.exe.full' } as const;

function directoryOf(host: OwnFiles): string {
  return `${configDirectoryOf(host)}/bin`;
}

/** What kubeconfig names, where the native program runs. */
export function launcherOf(host: OwnFiles & Pick<Host, 'platform'>): string {
  return `${directoryOf(host)}/kubectl-curfew${host.platform === 'win32' ? '.exe' : ''}`;
}

/** All that `writeLauncher` may write. */
export function launcherFiles(host: OwnFiles & Pick<Host, 'platform'>): readonly string[] {
  const directory = directoryOf(host);
  if (host.platform === 'win32')
    return [`${directory}/${BESIDE.windows}`, launcherOf(host), `${directory}/kubectl-curfew.cmd`];
  return [`${directory}/${BESIDE.posix}`, `${directory}/kubectl_complete-curfew`, launcherOf(host)];
}

function programOf({ bundles }: Pick<Host, 'bundles'>): string {
  return `${bundles}/kubectl-curfew.cjs`;
}

/** Two lines for shell.c, and the version that wrote them. */
function whatIsBeside(host: Pick<Host, 'bundles' | 'node'>): string {
  return `${host.node}\n${programOf(host)}\n${VERSION}\n`;
}

function writeNative(
  host: Pick<Host, 'arch' | 'bundles' | 'platform' | 'random'>,
  directory: string,
): Launcher | undefined {
  const name = `kubectl-curfew${host.platform === 'win32' ? '.exe' : ''}`;
  const file = `${directory}/${name}`;
  const built = builtFor(host, name);
  if (built === undefined) return undefined;
  writeWhole(file, readFileSync(built), host, 0o700);
  return saysItsVersion(file) ? { file } : undefined;
}

/** The native program as it came with the bundles, or as npm put it: a package of its own for each system, wherever Node.js finds that. */
function builtFor({ bundles, platform, arch }: Pick<Host, 'arch' | 'bundles' | 'platform'>, name: string) {
  const beside = `${bundles}/native/${platform}-${arch}/${name}`;
  if (existsSync(beside)) return beside;
  try {
    return createRequire(`${bundles}/`).resolve(`kubectl-curfew-${platform}-${arch}/${name}`);
  } catch {
    return undefined;
  }
}

function saysItsVersion(file: string): boolean {
  const { stdout } = spawnSync(file, ['--version'], {
    timeout: VERSION_DEADLINE_MS,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  return stdout?.toString() === `kubectl-curfew ${VERSION} (native)\n`;
}

function writeScript(host: Program & Pick<Host, 'random'>, directory: string): Launcher {
  const windows = host.platform === 'win32';
  const file = `${directory}/kubectl-curfew${windows ? '.cmd' : ''}`;
  const [node, program] = [host.node, programOf(host)];
  writeWhole(file, windows ? batchOf(node, program) : scriptOf(node, program), host, 0o700);
  return { file, slow: `there is no native program that runs here (${host.platform}-${host.arch})` };
}

const GONE = 'is gone: it was moved, removed or replaced';
const HINT = 'curfew: hint: run: kubectl-curfew setup, of an installed kubectl-curfew';

/**
 * What it starts may be gone by the time it is called (an upgrade of Node.js, `npm uninstall`): that is one error and one hint.
 * Whoever wrote a kubeconfig also chose the environment, and NODE_OPTIONS would let it run more than this.
 */
function scriptOf(node: string, program: string): string {
  return `#!/bin/sh
# Written by kubectl-curfew setup.
unset NODE_OPTIONS NODE_PATH
node=${quote(node)} program=${quote(program)}
if [ -f "$node" ] && [ -x "$node" ] && [ -f "$program" ] && [ -r "$program" ]; then
  exec "$node" "$program" "$@"
fi
[ -f "$node" ] && [ -x "$node" ] && node=$program
printf '%s\\n' "curfew: error: what this starts ${GONE}: $node" ${quote(HINT)} >&2
exit ${EXIT.configuration}
`;
}

function batchOf(node: string, program: string): string {
  const lines = [
    '@setlocal',
    '@set "NODE_OPTIONS="',
    '@set "NODE_PATH="',
    `@if exist "${node}" if exist "${program}" goto run`,
    `@echo curfew: error: what this starts ${GONE} 1>&2`,
    `@echo ${HINT} 1>&2`,
    `@exit /b ${EXIT.configuration}`,
    ':run',
    `@"${node}" "${program}" %*`,
  ];
  return lines.map((line) => `${line}\r\n`).join('');
}

/** As one word of sh, whatever it is. */
export function quote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
