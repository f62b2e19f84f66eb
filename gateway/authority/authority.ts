// The broker, as this gateway knows it: leases, ends, keys, and what it is told. Says when nothing of it can be relied on any more.

import type { BaseLogger } from 'pino';
import { type Background, every } from '../../serving/background.ts';
import { CurfewError } from '../../shared/errors.ts';
import { type FeedLine, LEASE_SECONDS } from '../../shared/gateway_wire.ts';
import type { Broker } from './ask.ts';
import { BrokerClock } from './clock.ts';
import { Events } from './events.ts';
import { Feed, SILENT_MS } from './feed.ts';
import { Keys } from './keys.ts';
import { Leases } from './leases.ts';
import { Swaps } from './swap.ts';
import { Uses } from './uses.ts';

/** Milliseconds between two reports: with the time of an answer, uses are told within two seconds. */
const REPORT_MS = 1_000;
/** Milliseconds that the machine's clock may run further than the one that is never set: more, and the machine has slept. */
const SLEPT_MS = 2_000;

export interface AuthorityParts {
  readonly broker: Broker;
  /** Absent before targets. */
  readonly cluster?: string | undefined;
  readonly instance: string;
  /** Milliseconds, by a clock that is never set; and by one that is. */
  readonly elapsed: () => number;
  readonly wall: () => number;
  readonly log: Pick<BaseLogger, 'info' | 'warn' | 'error'>;
  /** A session is over: what it has open is to be cut. */
  readonly onEnd: (sid: string) => void;
  readonly onKeyRevoked: (kid: string) => void;
  /** Leases may say otherwise than before. */
  readonly onLeases: () => void;
}

export type Loss = 'starting' | 'feed' | 'leases' | 'reset';

export class Authority {
  readonly clock: BrokerClock;
  readonly leases: Leases;
  readonly keys: Keys;
  readonly uses: Uses;
  readonly events: Events;
  readonly swaps: Swaps;
  readonly #parts: AuthorityParts;
  readonly #feed: Feed;
  readonly #rounds: readonly Background[];
  #reset_at = Number.NEGATIVE_INFINITY;
  #slept: number;
  #reported = false;

  constructor(parts: AuthorityParts) {
    const { broker, cluster, instance, elapsed, log } = parts;
    this.#parts = parts;
    this.clock = new BrokerClock(elapsed);
    this.leases = new Leases({ broker, cluster, clock: this.clock, elapsed });
    this.keys = new Keys({ broker, cluster, elapsed });
    this.uses = new Uses(elapsed);
    this.events = new Events({ broker, elapsed, instance });
    this.swaps = new Swaps({ broker, keys: this.keys, clock: this.clock });
    this.#slept = parts.wall() - elapsed();
    this.#feed = new Feed({
      ...{ broker, elapsed, log },
      onBegin: () => this.#askAnew(),
      onLine: (line) => this.#take(line),
    });
    const said = this.#sayNowAndThen();
    this.#rounds = [
      every(REPORT_MS, () => this.#report(), said),
      every(
        REPORT_MS,
        () => this.events.flush(),
        () => undefined,
      ),
      every(REPORT_MS, () => this.keys.refresh(), said),
    ];
    for (const round of this.#rounds) void round.wake();
  }

  /** Milliseconds since the feed told something. */
  get feedAge(): number {
    return this.#feed.age;
  }

  /** Why nothing can be relied on, and since when in milliseconds; `undefined` while all is well. */
  lost(): { readonly why: Loss; readonly since: number } | undefined {
    this.#checkSleep();
    const now = this.#parts.elapsed();
    const answered_at = now - this.leases.age;
    const losses: { readonly why: Loss; readonly since: number }[] = [];
    if (!this.keys.isKnown || this.clock.now() === undefined) losses.push({ why: 'starting', since: now });
    if (this.#feed.age > SILENT_MS) losses.push({ why: 'feed', since: now - this.#feed.age + SILENT_MS });
    if (this.leases.age > LEASE_SECONDS * 1000)
      losses.push({ why: 'leases', since: answered_at + LEASE_SECONDS * 1000 });
    if (answered_at < this.#reset_at) losses.push({ why: 'reset', since: this.#reset_at });
    return losses.sort((one, other) => one.since - other.since)[0];
  }

  reportSoon(): void {
    void this.#rounds[0]?.wake();
  }

  /** Tells what is left to tell, for a moment. */
  async stop(): Promise<void> {
    this.#feed.stop();
    await this.#report().catch(() => undefined);
    await this.events.flush().catch(() => undefined);
    await Promise.all(this.#rounds.map((round) => round.stop()));
  }

  /** A machine that slept, or whose clock was put ahead: what is known may be of long ago. */
  #checkSleep(): void {
    const { wall, elapsed, log } = this.#parts;
    const slept = wall() - elapsed();
    if (slept - this.#slept > SLEPT_MS) {
      log.warn(
        { ms: Math.round(slept - this.#slept) },
        'the clock ran ahead, or the machine slept: all leases are void',
      );
      this.#askAnew();
    }
    this.#slept = slept;
  }

  async #report(): Promise<void> {
    for (let more = true; more; ) {
      const { uses, putBack, left } = this.uses.take();
      try {
        await this.leases.report(uses);
      } catch (error) {
        putBack();
        throw error;
      }
      more = left;
    }
    if (!this.#reported) this.#parts.log.info('the broker answers');
    this.#reported = true;
    this.#parts.onLeases();
  }

  #take(line: FeedLine | undefined): void {
    const { onEnd, onKeyRevoked } = this.#parts;
    switch (line?.type) {
      case 'heartbeat':
        return;
      case 'end':
        if (line.replaced_by === undefined) {
          this.leases.end(line.sid, line.reason, line.since);
          this.uses.forget(line.sid);
          onEnd(line.sid);
          return;
        }
        this.leases.voidSession(line.sid);
        this.reportSoon();
        return;
      case 'lowered':
        this.leases.voidSession(line.sid);
        this.reportSoon();
        return;
      case 'key_revoked':
        this.keys.revoke(line.kid);
        this.swaps.forget();
        onKeyRevoked(line.kid);
        return;
      case 'reset':
      case undefined:
        this.#reset_at = this.#parts.elapsed();
        this.#askAnew();
        return;
      case 'reload':
      case 'unknown':
        this.#askAnew();
        return;
    }
  }

  #askAnew(): void {
    this.leases.voidAll();
    this.reportSoon();
  }

  #sayNowAndThen(): (error: unknown) => void {
    let said = 0;
    return (error) => {
      this.#reported = false;
      const now = this.#parts.elapsed();
      if (said !== 0 && now - said < 60_000) return;
      said = now;
      const reason = error instanceof CurfewError ? error.message : 'unexpected error';
      this.#parts.log.warn({ reason }, 'the broker does not answer: trying again');
    };
  }
}
