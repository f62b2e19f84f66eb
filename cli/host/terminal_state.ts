// What the terminal is to us now. A full-screen program (k9s, an editor, a pager) puts it into raw mode, and calls us by the
// same terminal as kubectl does: whoever sits there cannot be asked.

import { spawnSync } from 'node:child_process';
import { existsSync, fstatSync, statSync } from 'node:fs';
import { isatty } from 'node:tty';
import type { TerminalState } from '../warm/machine.ts';

/** It only reads a setting. */
const STTY_MS = 2_000;

/**
 * Looks, which costs a process where there is a terminal: Node.js has no tcgetattr.
 *
 * @param parent process id of whoever called
 */
export function terminalState(parent: number): TerminalState {
  if (![0, 2].some((fd) => isatty(fd) && isRaw(fd))) return isatty(2) ? 'lines' : 'none';
  return isatty(2) && drawsOn(parent) ? 'drawn_on' : 'taken';
}

/** Where it cannot be known, it is as kubectl leaves it. */
function isRaw(fd: number): boolean {
  const program = ['/usr/bin/stty', '/bin/stty'].find((path) => existsSync(path));
  if (program === undefined) return false;
  const { status, stdout } = spawnSync(program, ['-a'], {
    stdio: [fd, 'pipe', 'ignore'],
    encoding: 'utf8',
    env: {},
    timeout: STTY_MS,
  });
  return status === 0 && /(^|\s)-icanon\b/.test(stdout);
}

/** A kubectl whose output goes to a pager draws nothing: its words and ours are read. Where that is not known, it may. */
function drawsOn(parent: number): boolean {
  try {
    return statSync(`/proc/${parent}/fd/1`).rdev === fstatSync(2).rdev;
  } catch {
    return true;
  }
}
