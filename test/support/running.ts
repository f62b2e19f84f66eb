// A program that goes on while a test looks at it: what it wrote so far, what it is given, how it ended.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { adopt, signalGroup } from '../../scripts/process.ts';
import { until } from './patience.ts';

export interface Running {
  readonly pid: number;
  stdout(): string;
  stderr(): string;
  /** To its stdin. */
  write(text: string | Uint8Array): void;
  /** The end of its stdin. */
  endInput(): void;
  /** To all of its processes. */
  signal(name: NodeJS.Signals): void;
  /** How it ended; a signal is `null`. */
  readonly exit: Promise<number | null>;
  readonly ended: boolean;
  /** Waits until that stands on stdout or stderr. @throws with all it wrote, when it ends without */
  says(form: RegExp): Promise<void>;
  /** Ends it at once, whatever it does. */
  kill(): Promise<void>;
}

/** @param env the whole environment */
export function startRunning(
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>> = process.env,
): Running {
  const child = spawn(command, args, { env: { ...env }, stdio: ['pipe', 'pipe', 'pipe'], detached: true });
  const { pid } = child;
  if (pid === undefined) throw new Error(`${command} cannot be started`);
  const release = adopt(pid);
  let [stdout, stderr, ended] = ['', '', false];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  child.stdin.on('error', () => undefined);
  const exit = once(child, 'close').then(([code]) => {
    ended = true;
    release();
    return code as number | null;
  });
  return {
    pid,
    exit,
    stdout: () => stdout,
    stderr: () => stderr,
    write: (text) => void child.stdin.write(text),
    endInput: () => void child.stdin.end(),
    signal: (name) => signalGroup(pid, name),
    get ended() {
      return ended;
    },
    async says(form) {
      const said = () => form.test(stdout) || form.test(stderr);
      await until(() => said() || ended, `${command} ${args.join(' ')} does not say ${form}:\n${stdout}${stderr}`);
      if (!said()) throw new Error(`${command} ${args.join(' ')} ended without ${form}:\n${stdout}${stderr}`);
    },
    async kill() {
      signalGroup(pid, 'SIGKILL');
      await exit;
    },
  };
}
