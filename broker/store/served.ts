// What a store does for the service that it serves, whatever database it is in: it follows what is declared over, and says how it does.

import type { Standing } from './audit_head.ts';
import { notTheOneOpened } from './failure.ts';
import { StoreHealth } from './health.ts';
import type { Serving } from './options.ts';
import { sayStoreFault } from './words.ts';

/** A service, and the epoch that it knows. */
export type ServingSince = Serving & { readonly epoch: number };

export class ServedStore {
  /** By what it last did. */
  readonly health = new StoreHealth();
  protected serving: ServingSince | undefined;
  #following: Promise<void> | undefined;

  /** What keeps it from being used, in words, by what is known without looking. */
  get fault(): string | undefined {
    return this.serving?.guard.fault ?? this.health.fault;
  }

  /** From here on each commit keeps the newest instant, and sees when all that there was is declared over. */
  serve(serving: Serving, { epoch }: Pick<Standing, 'epoch'>): void {
    this.serving = { ...serving, epoch };
  }

  /** @throws CurfewError `store` */
  protected requireTheOneOpened(): void {
    if (this.serving?.guard.fault !== undefined) throw notTheOneOpened();
  }

  /** The database failed; that it is another one is said elsewhere. */
  protected failed(error: unknown): void {
    if (this.serving?.guard.fault === undefined) this.health.failed(sayStoreFault(error) ?? 'the store failed');
  }

  /** Once for all transactions that find it so. Where that fails, the next commit comes here again. */
  protected async follow(standing: Standing): Promise<void> {
    const { serving } = this;
    if (!serving || serving.epoch === standing.epoch) return;
    this.#following ??= serving.onEpoch(standing).then(
      () => this.serve(serving, standing),
      () => undefined,
    );
    await this.#following;
    this.#following = undefined;
  }
}
