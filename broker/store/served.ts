// What a store does for the service that it serves, whatever database it is in: it follows what is declared over, and says how it does.

import { CurfewError } from '../../shared/errors.ts';
import type { Standing } from './audit_head.ts';
import { notTheOneOpened } from './failure.ts';
import { StoreHealth } from './health.ts';
import { NO_READER } from './moved.ts';
import type { Serving } from './options.ts';
import { requireReadable } from './version.ts';
import { sayStoreFault } from './words.ts';

/** A service, and the epoch that it knows. */
export type ServingSince = Serving & { readonly epoch: number };

export class ServedStore {
  /** By what it last did. */
  readonly health = new StoreHealth();
  protected serving: ServingSince | undefined;
  #following: Promise<void> | undefined;
  #distrusted: string | undefined;
  #unfinished = false;

  /** What keeps it from being used, in words, by what is known without looking. */
  get fault(): string | undefined {
    return this.serving?.guard.fault ?? this.#distrusted ?? this.health.fault;
  }

  /** From here on nothing is read from it or written. @param why in words */
  distrust(why: string): void {
    this.#distrusted ??= why;
  }

  /** It is used although a copy into it is not finished: by whoever finishes that, or an administrator who accepts it as it is. */
  useUnfinished(): void {
    this.#unfinished = true;
  }

  /** From here on each commit keeps the newest instant, and sees when all that there was is declared over. */
  serve(serving: Serving, { epoch }: Pick<Standing, 'epoch'>): void {
    this.serving = { ...serving, epoch };
  }

  /** @throws CurfewError `store` */
  protected requireTheOneOpened(): void {
    if (this.serving?.guard.fault !== undefined) throw notTheOneOpened();
    this.requireTrust();
  }

  /** @throws CurfewError `store` */
  protected requireTrust(): void {
    if (this.#distrusted === undefined) return;
    throw new CurfewError('store', `the store cannot be relied on: ${this.#distrusted}`);
  }

  /** As of within a transaction. @throws CurfewError `store` where a newer program has brought it to a version that this one cannot use */
  protected requireReadable({ oldest_reader }: Standing): void {
    if (this.#unfinished && oldest_reader === NO_READER) return;
    try {
      requireReadable(oldest_reader);
    } catch (error) {
      if (error instanceof CurfewError) this.distrust(error.message);
      throw error;
    }
  }

  /** The database failed; that it is another one is said elsewhere. */
  protected failed(error: unknown): void {
    if (this.serving?.guard.fault === undefined && this.#distrusted === undefined)
      this.health.failed(sayStoreFault(error) ?? 'the store failed');
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
