// The load client as a benchmark sees it: started, given orders one after the other, stopped.

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import type {
  HeldSession,
  KeysOrder,
  Load,
  LoadOrder,
  OpenLoad,
  OpenOrder,
  Order,
  ReviewOrder,
} from './load_client.ts';

export type { HeldSession, Load, OpenLoad };

export class LoadClient {
  readonly #child: ChildProcess;
  readonly #gone: Promise<never>;

  constructor() {
    // It ends by itself when this process is gone.
    this.#child = fork(path.join(import.meta.dirname, 'load_client.ts'), { serialization: 'advanced', execArgv: [] });
    this.#gone = once(this.#child, 'exit').then(([code]) => {
      throw new Error(`the load client ended with ${code}`);
    });
    this.#gone.catch(() => undefined);
  }

  /** Makes keys and handles; the client keeps them under the name of the set. */
  keys(order: Omit<KeysOrder, 'order'>): Promise<HeldSession[]> {
    return this.#ask({ order: 'keys', ...order });
  }

  /** @throws Error as soon as one answer is not a token */
  load(order: Omit<LoadOrder, 'order'>): Promise<Load> {
    return this.#ask({ order: 'load', ...order });
  }

  /** Never waits for an answer before the next request is sent. What is not a token is counted. */
  open(order: Omit<OpenOrder, 'order'>): Promise<OpenLoad> {
    return this.#ask({ order: 'open', ...order });
  }

  /** @throws Error as soon as one answer is not `no opinion` */
  review(order: Omit<ReviewOrder, 'order'>): Promise<Load> {
    return this.#ask({ order: 'review', ...order });
  }

  async stop(): Promise<void> {
    if (this.#child.connected) this.#child.disconnect();
    await this.#gone.catch(() => undefined);
  }

  async #ask<T>(order: Order): Promise<T> {
    const answered = once(this.#child, 'message');
    this.#child.send(order);
    const [{ done, failed }] = (await Promise.race([answered, this.#gone])) as [{ done?: T; failed?: string }];
    if (done === undefined) throw new Error(failed);
    return done;
  }
}
