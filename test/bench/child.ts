// A program beside the benchmark: started, given orders one after the other, stopped. It answers each with `done` or `failed`.

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';

export class Child<Order extends object> {
  readonly #child: ChildProcess;
  readonly #gone: Promise<never>;

  /** @param program a file of this folder, which ends by itself when this process is gone */
  constructor(program: string) {
    this.#child = fork(path.join(import.meta.dirname, program), { serialization: 'advanced', execArgv: [] });
    this.#gone = once(this.#child, 'exit').then(([code]) => {
      throw new Error(`${program} ended with ${code}`);
    });
    this.#gone.catch(() => undefined);
  }

  async ask<T>(order: Order): Promise<T> {
    const answered = once(this.#child, 'message');
    this.#child.send(order);
    const [{ done, failed }] = (await Promise.race([answered, this.#gone])) as [{ done?: T; failed?: string }];
    if (done === undefined) throw new Error(failed);
    return done;
  }

  async stop(): Promise<void> {
    if (this.#child.connected) this.#child.disconnect();
    await this.#gone.catch(() => undefined);
  }
}
