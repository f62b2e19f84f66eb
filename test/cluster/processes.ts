// Programs that a test starts and that must not outlive it, not even its `kill -9`: they run under supervisor.ts.
import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';
import type { Order, Report } from './supervisor.ts';

export type Command = {
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** stdout and stderr are appended to it. */
  readonly log_file: string;
};

export type Running = {
  readonly pid: number;
  /** Set once it has ended: `exit code 1`, `SIGKILL`. */
  ended(): string | undefined;
};

export type Processes = {
  /** @throws Error if the program cannot be started at all */
  start(command: Command): Promise<Running>;
  /** Process ids of all that was started and has not ended. */
  pids(): number[];
  /** A folder to remove when everything has ended. */
  removeAtEnd(folder: string): void;
  /** From now on a test that forgets to end its programs may exit all the same; they end with it. */
  letTestExit(): void;
  /** Ends all, the last started first, and resolves when they are gone. */
  end(): Promise<void>;
};

export function superviseProcesses(): Processes {
  // A session of its own: Ctrl-C reaches the test alone, so that the order of the ends stays ours.
  const supervisor = fork(join(import.meta.dirname, 'supervisor.ts'), {
    detached: true,
    execArgv: [],
    env: { PATH: process.env.PATH },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const pids = new Map<number, number>();
  const ended = new Map<number, string>();
  const runningPids = () => [...pids].filter(([id]) => !ended.has(id)).map(([, pid]) => pid);
  const gone = new Promise<void>((resolve) => {
    supervisor.once('exit', (_code, signal) => {
      // Killed before it could do its work (by the kernel, out of memory): then it is ours.
      if (signal !== null) for (const pid of runningPids()) kill(pid);
      resolve();
    });
  });
  let lastId = 0;
  supervisor.setMaxListeners(0);
  supervisor.on('message', (message) => {
    const report = message as Report;
    if (report.report === 'exited') ended.set(report.id, report.how);
  });
  return {
    async start(command) {
      lastId += 1;
      const id = lastId;
      const pid = await answer(supervisor, { order: 'start', id, ...command }, (report) => {
        if (report.id !== id) return undefined;
        if (report.report === 'exited') throw new Error(`cannot start ${command.command}: ${report.how}`);
        return report.pid;
      });
      pids.set(id, pid);
      return { pid, ended: () => ended.get(id) };
    },
    pids: runningPids,
    removeAtEnd(folder) {
      send(supervisor, { order: 'remove_at_end', folder });
    },
    letTestExit() {
      supervisor.unref();
      supervisor.channel?.unref();
    },
    async end() {
      supervisor.ref();
      if (supervisor.connected) send(supervisor, { order: 'end' });
      await gone;
    },
  };
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // Already gone.
  }
}

function send(supervisor: ChildProcess, order: Order): void {
  supervisor.send(order, () => {});
}

function answer<T>(supervisor: ChildProcess, order: Order, read: (report: Report) => T | undefined): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const stopListening = () => supervisor.off('message', onMessage).off('exit', onExit);
    const onExit = () => {
      stopListening();
      reject(new Error('the supervisor of the test cluster is gone'));
    };
    const onMessage = (message: unknown) => {
      try {
        const value = read(message as Report);
        if (value === undefined) return;
        stopListening();
        resolve(value);
      } catch (error) {
        stopListening();
        reject(error);
      }
    };
    supervisor.on('message', onMessage).on('exit', onExit);
    send(supervisor, order);
  });
}
