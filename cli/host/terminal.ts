// stderr and stdin as a person's terminal: lines, one that replaces itself, and a question. What is drawn goes away again,
// however the program ends.

import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import { isatty } from 'node:tty';
import type { Environment } from '../warm/machine.ts';
import type { Terminal } from './host.ts';

const ERASE = '\r\x1b[K';
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** @param write to stderr, all of it */
export function terminalOf(
  env: Environment,
  write: (text: string) => void,
): Pick<Terminal, 'say' | 'show' | 'size' | 'status' | 'ask'> {
  const line = replacingLine(write);
  let size: { columns: number; rows: number } | undefined | null = null;
  return {
    say(text) {
      line.erase();
      write(`curfew: ${text}\n`);
    },
    show(text) {
      line.erase();
      write(text);
    },
    size() {
      if (size === null) size = isatty(2) && env.TERM !== 'dumb' ? sizeOfTerminal() : undefined;
      return size;
    },
    status(text) {
      if (text === undefined) line.erase();
      else line.draw(text, size?.columns ?? 80);
    },
    ask: (prompt, deadline, signal) => ask(prompt, deadline, signal, write),
  };
}

/** One line that is drawn over itself, and is gone once the program ends, also by a signal. */
function replacingLine(write: (text: string) => void): { erase(): void; draw(text: string, columns: number): void } {
  let drawn = false;
  let listening = false;
  const erase = () => {
    if (drawn) write(ERASE);
    drawn = false;
  };
  /** As without a handler: the program ends by the signal, once the line is gone. */
  const end = (signal: NodeJS.Signals) => {
    erase();
    for (const name of SIGNALS) process.off(name, end);
    process.kill(process.pid, signal);
  };
  return {
    erase,
    draw(text, columns) {
      // Once, and for good: a signal that has come and is not yet told is lost when its listener goes, even if another follows.
      if (!listening) for (const name of SIGNALS) process.on(name, end);
      listening = true;
      write(`${ERASE}${[...text].slice(0, columns - 1).join('')}`);
      drawn = true;
    },
  };
}

function sizeOfTerminal(): { columns: number; rows: number } {
  const { columns, rows } = process.stderr;
  return { columns: columns || 80, rows: rows || 24 };
}

/** By readline and not by the terminal's own lines, which end at 4,096 bytes: codes and addresses can be longer. */
function ask(
  prompt: string,
  deadline: number,
  signal: AbortSignal,
  write: (text: string) => void,
): Promise<string | undefined> {
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: process.stdin, output: silent, terminal: isatty(0), historySize: 0 });
  // Only now is nothing shown that is typed.
  write(`curfew: ${prompt}`);
  return new Promise((resolve) => {
    const end = () => lines.close();
    const timer = setTimeout(end, deadline);
    signal.addEventListener('abort', end);
    if (signal.aborted) end();
    lines.once('line', (line) => {
      resolve(line);
      lines.close();
    });
    // In raw mode Ctrl-C is a key; it means what it means elsewhere.
    lines.once('SIGINT', () => {
      lines.close();
      process.kill(process.pid, 'SIGINT');
    });
    lines.once('close', () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      write('\n');
      resolve(undefined);
    });
  });
}
