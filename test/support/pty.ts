// Runs a command at a real pseudo-terminal, and reads along like a person who waits for words to appear.
import { spawn } from '@lydell/node-pty';
import { adopt, signalGroup } from '../../scripts/process.ts';
import { PATIENCE_MS } from './patience.ts';

export interface PtyOptions {
  /** The whole environment; without it, ours. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  readonly cwd?: string | undefined;
  readonly cols?: number | undefined;
}

export interface PtyExit {
  readonly code: number;
  /** The signal's number, 0 for none. */
  readonly signal: number;
}

export interface Pty {
  readonly pid: number;
  /** Types text; a line ends with `\r`, Ctrl-C is `\x03`. */
  write(text: string): void;
  /** All that appeared so far, escape sequences and all. */
  output(): string;
  /**
   * Waits until the pattern appears after what the previous `waitFor` matched, and returns the match.
   * Rejects with the output so far when the time is over or the command ends without it.
   */
  waitFor(pattern: RegExp | string, ms?: number): Promise<string>;
  readonly exit: Promise<PtyExit>;
  /** Ends the whole process group. */
  kill(signal?: NodeJS.Signals): void;
  /** For `using pty = runInPty(...)`: a failed test leaves nothing behind. */
  [Symbol.dispose](): void;
}

function find(text: string, from: number, pattern: RegExp | string): { match: string; end: number } | undefined {
  const rest = text.slice(from);
  const match = typeof pattern === 'string' ? pattern : pattern.exec(rest)?.[0];
  if (match === undefined) return undefined;
  const at = typeof pattern === 'string' ? rest.indexOf(pattern) : rest.search(pattern);
  return at < 0 ? undefined : { match, end: from + at + match.length };
}

/** Starts `command` (found in `env.PATH`, or a path) at a pseudo-terminal of its own. */
export function runInPty(command: string, args: readonly string[] = [], options: PtyOptions = {}): Pty {
  const { env = process.env, cwd = process.cwd(), cols = 200 } = options;
  // node-pty makes a text of `undefined`.
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined));
  const pty = spawn(command, [...args], { name: given.TERM ?? 'xterm', cols, rows: 50, cwd, env: given });
  const release = adopt(pty.pid);
  const { promise: exit, resolve } = Promise.withResolvers<PtyExit>();
  const listeners = new Set<() => void>();
  const notify = () => {
    for (const listener of [...listeners]) listener();
  };
  let text = '';
  let read = 0;
  let ended = false;

  pty.onData((data) => {
    text += data;
    notify();
  });
  pty.onExit(({ exitCode, signal }) => {
    ended = true;
    release();
    resolve({ code: exitCode, signal: signal ?? 0 });
    notify();
  });

  function waitFor(pattern: RegExp | string, ms = PATIENCE_MS): Promise<string> {
    const wait = Promise.withResolvers<string>();
    const refuse = (why: string) => wait.reject(new Error(`${pattern} ${why}; the terminal shows:\n${text}`));
    const look = () => {
      const found = find(text, read, pattern);
      if (found) {
        read = found.end;
        wait.resolve(found.match);
      } else if (ended) refuse('had not appeared when the command ended');
    };
    const deadline = setTimeout(() => refuse(`has not appeared within ${ms} ms`), ms);
    const stop = () => {
      clearTimeout(deadline);
      listeners.delete(look);
    };
    listeners.add(look);
    look();
    return wait.promise.finally(stop);
  }

  function kill(signal: NodeJS.Signals = 'SIGKILL'): void {
    if (ended) return;
    // the process itself too: just after the fork it leads no group yet
    pty.kill(signal);
    signalGroup(pty.pid, signal);
  }
  return {
    pid: pty.pid,
    write: (data) => pty.write(data),
    output: () => text,
    waitFor,
    exit,
    kill,
    [Symbol.dispose]: () => kill(),
  };
}
