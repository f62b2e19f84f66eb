// The load client as a benchmark sees it: started, given orders one after the other, stopped.

import { Child } from './child.ts';
import type {
  FetchOrder,
  HeldSession,
  IntrospectOrder,
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
  readonly #child = new Child<Order>('load_client.ts');

  /** Makes keys and handles; the client keeps them under the name of the set. */
  keys(order: Omit<KeysOrder, 'order'>): Promise<HeldSession[]> {
    return this.#child.ask({ order: 'keys', ...order });
  }

  /** @throws Error as soon as one answer is not a token */
  load(order: Omit<LoadOrder, 'order'>): Promise<Load> {
    return this.#child.ask({ order: 'load', ...order });
  }

  /** Never waits for an answer before the next request is sent. What is not a token is counted. */
  open(order: Omit<OpenOrder, 'order'>): Promise<OpenLoad> {
    return this.#child.ask({ order: 'open', ...order });
  }

  /** @throws Error as soon as one answer is not `no opinion` */
  review(order: Omit<ReviewOrder, 'order'>): Promise<Load> {
    return this.#child.ask({ order: 'review', ...order });
  }

  /** @throws Error as soon as one answer has no keys */
  fetch(order: Omit<FetchOrder, 'order'>): Promise<Load> {
    return this.#child.ask({ order: 'fetch', ...order });
  }

  /** Gets a token of each session first. @throws Error as soon as one is not active */
  introspect(order: Omit<IntrospectOrder, 'order'>): Promise<Load> {
    return this.#child.ask({ order: 'introspect', ...order });
  }

  stop(): Promise<void> {
    return this.#child.stop();
  }
}
