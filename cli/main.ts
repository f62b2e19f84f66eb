// The full program: makes what the machine gives (clock, randomness, outputs), runs one command, and turns what it throws
// into one error line, one hint line and an exit status.

import { randomBytes } from 'node:crypto';
import { userInfo } from 'node:os';
import { isatty } from 'node:tty';
import { CurfewError, EXIT, meaning } from '../shared/errors.ts';
import { fromMilliseconds } from '../shared/time.ts';
import { getToken } from './commands/get_token.ts';
import { codeOf } from './host/error_code.ts';
import type { Host } from './host/host.ts';
import { callerOf, nodeFiles, writeAll, writeNote } from './host/node_files.ts';
import { ownEnvironment } from './host/own_home.ts';
import { terminalOf } from './host/terminal.ts';
import { terminalState } from './host/terminal_state.ts';
import { parseGetToken } from './warm/arguments.ts';
import type { TerminalState } from './warm/machine.ts';
import { cacheDirectory } from './warm/paths.ts';
import { printError, sayError } from './warm/refusal.ts';
import { RENEW_COMMAND } from './warm/renewal_due.ts';
import { repeated } from './warm/repeated.ts';
import { unwritten } from './warm/unwritten.ts';

export async function main(): Promise<void> {
  const words = process.argv.slice(2);
  const host = hostOf(process, words[0] === 'get-token');
  // Nor does what nobody awaited show a stack: it is our bug, told as every other failure.
  process.on('uncaughtException', (error) => process.exit(fail(host, error)));
  process.exitCode = await run(host, words);
  // A request that was given up may hold a socket for a while: nothing is left to wait for.
  process.exit();
}

async function run(host: SpeakingHost, words: readonly string[]): Promise<number> {
  try {
    const parsed = parseGetToken(words);
    if (parsed) {
      await getToken(host, parsed);
      return EXIT.done;
    }
    if (words[0] === RENEW_COMMAND) {
      const { renewInBackground } = await import('./commands/renew_in_background.ts');
      await renewInBackground(host, words);
      return EXIT.done;
    }
    const { runProgram } = await import('./program.ts');
    return await runProgram(host, words);
  } catch (error) {
    const called = words[0] === 'get-token' && !!host.env.KUBERNETES_EXEC_INFO;
    return called && error instanceof CurfewError ? refuse(host, words, error) : fail(host, error);
  }
}

/** Whoever is told it several times in a row reads it once, unless there was more to read. */
function refuse(host: SpeakingHost, words: readonly string[], error: CurfewError): number {
  if (host.has_spoken() || host.terminal() === 'drawn_on') return fail(host, error);
  const said = printError(error);
  const note = repeated(host, cacheDirectory(host.env, host), callerOf(host.parent, Date.now()), words, said);
  if (note === 'again') return meaning(error.code).exit;
  const exit = fail(host, error);
  if (note) writeNote(note);
  return exit;
}

function fail(host: Pick<Host, 'say'>, error: unknown): number {
  const known =
    error instanceof CurfewError ? error : new CurfewError('internal', `unexpected error (${nameOf(error)})`);
  for (const line of sayError(known)) host.say(line);
  return meaning(known.code).exit;
}

function nameOf(error: unknown): string {
  if (!(error instanceof Error)) return 'no error';
  return 'code' in error && typeof error.code === 'string' ? `${error.name} ${error.code}` : error.name;
}

interface SpeakingHost extends Host {
  /** Whether anything is on stderr. */
  readonly has_spoken: () => boolean;
}

/** @param called by kubectl or another client, which may have the terminal for itself: then nothing is written there */
function hostOf({ env: given, platform, arch, execPath, ppid: parent }: NodeJS.Process, called: boolean): SpeakingHost {
  const uid = process.geteuid?.();
  const { env, strange_home } = ownEnvironment(given, { files: nodeFiles, uid }, homeOfUser);
  let state: TerminalState | undefined;
  const terminal = () => (state ??= terminalState(parent));
  const terminals = [0, 2].filter((fd) => isatty(fd));
  let spoken = false;
  const write = (text: string) => {
    spoken = true;
    if (!called || terminal() !== 'drawn_on') tell(2, text);
  };
  return {
    now: () => fromMilliseconds(Date.now()),
    stopwatch: () => performance.now() / 1000,
    random: randomBytes,
    env,
    uid,
    strange_home,
    administrators: { folder: '/etc/curfew', uid: 0 },
    files: nodeFiles,
    parent,
    platform,
    arch,
    node: execPath,
    bundles: import.meta.dirname,
    interactive: terminals.length === 2,
    terminal,
    abandoned: () => process.ppid !== parent || !terminals.every((fd) => isatty(fd)),
    print: (text) => tell(1, text),
    has_spoken: () => spoken,
    ...terminalOf(env, write),
  };
}

/** As the system knows it: not HOME. */
function homeOfUser(): string | undefined {
  try {
    return userInfo().homedir;
  } catch {
    // A user without an entry, as in a container.
    return undefined;
  }
}

/** Nothing is lost at exit, whatever the other end is. */
function tell(fd: number, text: string): void {
  try {
    writeAll(fd, text);
  } catch (error) {
    // Nobody reads our words any more: that is not a reason to fail.
    if (fd !== 2 && codeOf(error) !== 'EPIPE') throw unwritten();
  }
}
