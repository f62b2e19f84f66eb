// Runs a command to its end, as a person's shell would but without a shell, and tells how it went.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { adopt, signalGroup } from './process.ts';

export interface RunOptions {
  /** The whole environment; without it, ours. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  /** What the command reads; without it, /dev/null. */
  readonly input?: string | Uint8Array | undefined;
  /** Milliseconds until the command and its children are killed; 60 s unless told. */
  readonly timeout?: number | undefined;
  readonly cwd?: string | undefined;
  /** Whom it runs as; without them, us. */
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
}

export interface RunResult {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  /** From spawn to exit, whole process. */
  readonly ms: number;
  readonly timedOut: boolean;
}

function collect(stream: NodeJS.ReadableStream): () => string {
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  return () => Buffer.concat(chunks).toString('utf8');
}

/**
 * Runs `command` (a name from PATH or a path) with its arguments and waits for it.
 * Never throws for how the command ended, only when it cannot be started.
 */
export async function run(
  command: string,
  args: readonly string[] = [],
  { env = process.env, input, timeout = 60_000, cwd, uid, gid }: RunOptions = {},
): Promise<RunResult> {
  const begin = performance.now();
  const child = spawn(command, args, {
    env: { ...env },
    cwd,
    uid,
    gid,
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
  });
  const stdout = collect(child.stdout);
  const stderr = collect(child.stderr);
  // a command that does not read its input closes the pipe under us; that is its right
  child.stdin.on('error', () => undefined);
  child.stdin.end(input ?? '');
  const closed = new Promise((done) => child.once('close', done));
  const exited = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
  const pid = child.pid;
  if (pid === undefined) return exited.then(() => Promise.reject(new TypeError(`${command} has no pid`)));

  const release = adopt(pid);
  let timedOut = false;
  const deadline = setTimeout(() => {
    timedOut = true;
    signalGroup(pid, 'SIGKILL');
  }, timeout);
  try {
    const [code, signal] = await exited;
    const ms = performance.now() - begin;
    // what the process wrote is in the pipes now; a detached grandchild that holds them open is not waited for
    await Promise.race([closed, sleep(2_000, undefined, { ref: false })]);
    return { code, signal, stdout: stdout(), stderr: stderr(), ms, timedOut };
  } finally {
    clearTimeout(deadline);
    release();
    for (const stream of [child.stdout, child.stderr]) stream.destroy();
  }
}
