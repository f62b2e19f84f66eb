// A process of its own, between a test and the programs it starts: when the test is gone, however it went, the channel
// to it closes, and everything is ended here. Started by processes.ts; it must not import anything of the tests.
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, rmSync } from 'node:fs';

export type Order =
  | {
      readonly order: 'start';
      readonly id: number;
      readonly command: string;
      readonly args: readonly string[];
      readonly cwd: string;
      readonly env: Readonly<Record<string, string>>;
      readonly log_file: string;
    }
  | { readonly order: 'remove_at_end'; readonly folder: string }
  | { readonly order: 'end' };

export type Report =
  | { readonly report: 'started'; readonly id: number; readonly pid: number }
  | { readonly report: 'exited'; readonly id: number; readonly how: string };

const running: ChildProcess[] = [];
const folders: string[] = [];
let ending = false;

process.on('message', (message) => follow(message as Order));
process.on('disconnect', () => void end());
// A terminal's Ctrl-C goes to the test; its end is what ends us.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});

function follow(order: Order): void {
  switch (order.order) {
    case 'start':
      if (!ending) start(order);
      return;
    case 'remove_at_end':
      folders.push(order.folder);
      return;
    case 'end':
      void end();
      return;
  }
}

function start({ id, command, args, cwd, env, log_file }: Extract<Order, { order: 'start' }>): void {
  const log = openSync(log_file, 'a');
  const child = spawn(command, args, { cwd, env, stdio: ['ignore', log, log] });
  closeSync(log);
  child.once('spawn', () => {
    running.push(child);
    if (child.pid !== undefined) report({ report: 'started', id, pid: child.pid });
  });
  child.once('error', (error) => report({ report: 'exited', id, how: error.message }));
  child.once('exit', (code, signal) => {
    running.splice(running.indexOf(child), 1);
    report({ report: 'exited', id, how: signal ?? `exit code ${code}` });
  });
}

/** Last started, first ended: kube-apiserver hangs without its etcd. Nothing here is worth a polite goodbye. */
async function end(): Promise<void> {
  if (ending) return;
  ending = true;
  for (let child = running.at(-1); child !== undefined; child = running.at(-1)) {
    const exited = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await exited;
  }
  for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  process.exit(0);
}

function report(message: Report): void {
  if (process.connected) process.send?.(message, () => {});
}
