// The program that kubectl runs where there is no native one. What can be answered from files is answered here, with node:fs
// and nothing else loaded; every other case is the full program's.

import { fstatSync } from 'node:fs';
import { EXIT, meaning } from '../shared/errors.ts';
import { fromMilliseconds, over } from '../shared/time.ts';
import { callerOf, nodeFiles, writeAll, writeNote } from './host/node_files.ts';
import { type Answer, answer } from './warm/answer.ts';
import { printError } from './warm/refusal.ts';
import type { Renewal } from './warm/renewal_due.ts';
import { unwritten } from './warm/unwritten.ts';

/** `node:tty` would have to be loaded to know for sure, and a process started to know whether it is taken. */
function mayBeTerminal(fd: number): boolean {
  try {
    return fstatSync(fd).isCharacterDevice();
  } catch {
    return false;
  }
}

const { argv, env, platform, version } = process;
const known = answer({
  args: argv.slice(2),
  env,
  uid: process.geteuid?.(),
  files: nodeFiles,
  now: fromMilliseconds(Date.now()),
  system: platform === 'win32' ? 'windows' : 'posix',
  runtime: `Node.js ${version}`,
  get terminal() {
    return mayBeTerminal(2) ? 'lines' : 'none';
  },
  caller: () => callerOf(process.ppid, Date.now()),
});
// Stopped since it was decided, or the clock was set: what is over by now is not printed.
if (known && (known.until === undefined || !over(known.until, fromMilliseconds(Date.now())))) {
  process.exitCode = give(known);
} else runFullProgram();

/** @returns the exit status */
function give({ stdout, stderr, exit, note, renewal }: Answer): number {
  try {
    writeAll(1, stdout);
  } catch {
    const error = unwritten();
    say(printError(error));
    return meaning(error.code).exit;
  }
  say(stderr);
  if (note) writeNote(note);
  if (renewal) beginRenewal(renewal);
  return exit;
}

/** Nobody may read our words any more: that is not a reason to fail. */
function say(text: string): void {
  try {
    writeAll(2, text);
  } catch {}
}

/** Node.js starts another only with what it has to load for that; a call that is not due pays nothing for it. */
function beginRenewal(renewal: Renewal): void {
  import('./host/start_renewal.ts').then(
    ({ startRenewal }) => startRenewal(renewal, process, Date.now()),
    () => undefined,
  );
}

/** The package may be gone or half there by now, and Node.js another: that is one error and one hint, never a stack. */
function runFullProgram(): void {
  const [major = 0, minor = 0] = version.slice(1).split('.').map(Number);
  if (major < 24 || (major === 24 && minor < 15)) {
    fail(`Node.js ${version} at ${process.execPath} is too old: 24.15 or later is needed`);
    return;
  }
  import('./main.ts').then(
    // Cut off, it loads and brings nothing.
    ({ main }) => (typeof main === 'function' ? main() : failDamaged()),
    failDamaged,
  );
}

function failDamaged(): void {
  fail(`the package is damaged: ${process.argv[1]} cannot load the rest of it`);
}

function fail(what: string): void {
  say(`curfew: error: ${what}\ncurfew: hint: install kubectl-curfew again, then run: kubectl-curfew setup\n`);
  process.exitCode = EXIT.configuration;
}
