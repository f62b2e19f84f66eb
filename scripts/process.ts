// Ends the processes that tests started, each by its own process group, however the test process itself ends.

/** Groups still running, by the pid of their leader: the one piece of state that must outlive a failed test. */
const running = new Set<number>();
const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
let watching = false;

/** Sends a signal to a whole process group; one that is gone already is no error. */
export function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

function endAll(): void {
  for (const pid of running) signalGroup(pid, 'SIGKILL');
  running.clear();
}

/** A signal nobody else handles still ends this process, after its children. */
function watch(): void {
  if (watching) return;
  watching = true;
  process.once('exit', endAll);
  for (const signal of signals) {
    process.once(signal, () => {
      endAll();
      if (process.listenerCount(signal) === 0) process.kill(process.pid, signal);
    });
  }
}

/**
 * Notes that `pid` leads a process group (spawned with `detached: true`, or by a pty) that must not outlive us.
 * @returns a function to call once the process has ended
 */
export function adopt(pid: number): () => void {
  watch();
  running.add(pid);
  return () => void running.delete(pid);
}
