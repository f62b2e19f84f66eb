// What sessions are judged by: leases of ten seconds, asked for when a session is first seen, and again every two. Nothing is judged by
// a lease that is older, that was asked for before something was heard that makes it void, or whose session has ended since.

import { CurfewError } from '../../shared/errors.ts';
import type { StreamKind } from '../../shared/gateway_events.ts';
import {
  type Ask,
  type Asked,
  GATEWAY_PATHS,
  type GatewayTarget,
  isLeaseReply,
  LEASE_SECONDS,
  type Lease,
  type LeasedLimits,
  type LeaseReply,
  MOST_TARGETS,
  type Use,
} from '../../shared/gateway_wire.ts';
import { between, latest, type Seconds } from '../../shared/time.ts';
import { forgetOldest } from '../forget_oldest.ts';
import { ANOTHER_USER, noLease, type Refusal } from '../words.ts';
import type { Broker } from './ask.ts';
import type { BrokerClock } from './clock.ts';
import { batches, type Entry, factsOf, keyOf, keyOfTarget } from './lease_entries.ts';
import { Questions } from './questions.ts';
import { type Judgement, Verdicts } from './verdicts.ts';

const LEASE_MS = LEASE_SECONDS * 1000;
/** How old a lease may be before it is asked for again, in milliseconds. */
const RENEW_MS = 2_000;
/** For how long a lease is kept up that nobody asks for. */
const IDLE_MS = 60_000;
/** Seconds that the broker's clock, which is known to the second, may be further than ours. */
const BEHIND_SECONDS = 2;
/** Sessions that are kept; those that were wanted last. */
const MOST_SESSIONS = 20_000;

/** Who speaks in a request: what the broker is asked for, and who it must be. */
export interface Speaker {
  readonly asked: Asked;
  /** The token's user: it must be the session's. */
  readonly user: string;
}

export interface LeaseParts {
  readonly broker: Pick<Broker, 'post'>;
  /** Whose login helps where it alone is denied; absent before targets. */
  readonly cluster?: string | undefined;
  readonly clock: BrokerClock;
  /** Milliseconds, by a clock that is never set. */
  readonly elapsed: () => number;
}

export class Leases {
  readonly #parts: LeaseParts;
  readonly #entries = new Map<string, Entry>();
  readonly #verdicts: Verdicts;
  /** When the last report was sent that was answered. */
  #answered_at: number;
  #record: readonly StreamKind[] = [];
  readonly #questions = new Questions((entries) => this.#askUnknown(entries));

  constructor(parts: LeaseParts) {
    this.#parts = parts;
    this.#verdicts = new Verdicts(parts.cluster);
    this.#answered_at = parts.elapsed() - LEASE_MS;
  }

  /** Milliseconds since a report was sent that was answered. */
  get age(): number {
    return this.#parts.elapsed() - this.#answered_at;
  }

  /** Which kinds of streams the broker wants to be told of. */
  get record(): readonly StreamKind[] {
    return this.#record;
  }

  /** @param stale whether a lease that is no longer good is judged by all the same: for what is open already, which is cut later */
  judge({ asked, user }: Speaker, target: GatewayTarget, stale = false): Judgement {
    const entry = this.#entries.get(keyOf(asked));
    const now = this.#parts.clock.now();
    if (!entry?.lease || now === undefined || !(stale || this.#isFresh(entry))) return { kind: 'unknown' };
    const { lease, known } = entry;
    if (lease.denied === undefined) return this.#judgeBy(lease, entry, user, target, now);
    const before =
      lease.denied === 'unknown_session' ? known && this.#lastWord(known, entry, user, target, now) : undefined;
    const refusal = before ?? noLease(lease.denied, lease.message);
    return { kind: 'denied', refusal };
  }

  /**
   * What the engine says of a stream on which something arrived: as if that had been a use, where the limits allow it. Only what its
   * target's own idleness denies is judged so.
   */
  judgeWithOutput({ asked }: Speaker, limits: LeasedLimits, output: Seconds): Judgement {
    return this.#judgeAsUsed(asked, limits, (last_used) => latest(last_used, output));
  }

  /** What it says of a stream by what came on that alone, whatever else its session does. @param input when that was */
  judgeAlone({ asked }: Speaker, limits: LeasedLimits, input: Seconds): Judgement {
    return this.#judgeAsUsed(asked, limits, () => input);
  }

  #judgeAsUsed(asked: Asked, limits: LeasedLimits, used: (last_used: Seconds) => Seconds): Judgement {
    const entry = this.#entries.get(keyOf(asked));
    const now = this.#parts.clock.now();
    if (!entry?.lease || entry.lease.denied !== undefined || now === undefined) return { kind: 'unknown' };
    const facts = factsOf(entry, entry.lease);
    // Longer times without use that came since the stream was opened had output in them: else it had been cut then.
    const { longest_idle: _, idle_end: __, ...rest } = facts;
    return this.#verdicts.decide(entry.lease.judged_sid, limits, { ...rest, last_used: used(facts.last_used) }, now);
  }

  /** The session that judges, or judged last, by which uses and events are told; `undefined` where none is known. */
  sidOf(asked: Asked): string | undefined {
    return this.#entries.get(keyOf(asked))?.known?.judged_sid;
  }

  /** For how long nothing has been known of a session that could be relied on, in milliseconds: 0 while something is. */
  staleFor(asked: Asked): number {
    const entry = this.#entries.get(keyOf(asked));
    if (!entry) return Number.POSITIVE_INFINITY;
    if (this.#isFresh(entry)) return 0;
    const over_at = entry.asked_at + LEASE_MS;
    const since = entry.void_since > entry.asked_at ? Math.min(entry.void_since, over_at) : over_at;
    return this.#parts.elapsed() - since;
  }

  /** A use here, just now. */
  use(asked: Asked): void {
    const entry = this.#entries.get(keyOf(asked));
    const now = this.#parts.clock.now();
    if (entry && now !== undefined) entry.use = now;
  }

  /** Makes it known, and keeps it so for a minute. @returns once it was asked for and answered @throws CurfewError */
  async obtain(asked: Asked, target: GatewayTarget): Promise<void> {
    const entry = this.want(asked, target);
    if (this.#isFresh(entry) && entry.targets.get(keyOfTarget(target))?.limits) return;
    await this.#questions.ask(entry);
  }

  want(asked: Asked, target: GatewayTarget): Entry {
    const at = this.#parts.elapsed();
    const key = keyOf(asked);
    const entry: Entry = this.#entries.get(key) ?? {
      ...{ asked, lease: undefined, known: undefined, asked_at: -LEASE_MS, void_since: 0 },
      ...{ wanted_at: at, targets: new Map(), use: undefined },
    };
    // The one that was wanted last is the last.
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    entry.wanted_at = at;
    const known = entry.targets.get(keyOfTarget(target));
    entry.targets.delete(keyOfTarget(target));
    entry.targets.set(keyOfTarget(target), { target, limits: known?.limits });
    forgetOldest(entry.targets, MOST_TARGETS);
    forgetOldest(this.#entries, MOST_SESSIONS);
    return entry;
  }

  /**
   * What the broker said of a session as it let somebody in. Where others are judged by what is known of it, they go on to be: their limits
   * are not asked for here.
   * @param sent_at when it was asked, in milliseconds
   */
  learn(
    lease: Lease & Asked,
    target: GatewayTarget,
    limits: LeasedLimits,
    broker_time: Seconds,
    sent_at: number,
  ): void {
    this.#parts.clock.learn(broker_time, sent_at);
    const { sid, secret_uid } = lease;
    const entry = this.want(secret_uid === undefined ? { sid } : { secret_uid }, target);
    const known = entry.targets.get(keyOfTarget(target));
    if (!known || sent_at < entry.void_since || sent_at < entry.asked_at) return;
    if (entry.targets.size === 1) {
      entry.lease = lease;
      entry.known = lease;
      entry.asked_at = sent_at;
    }
    known.limits = limits;
  }

  /** Asks for all that grows old or is void, one question after the other; tells the uses. @throws CurfewError `broker_unreachable` */
  async report(uses: readonly Use[]): Promise<void> {
    const now = this.#parts.elapsed();
    const due: Entry[] = [];
    for (const [key, entry] of this.#entries) {
      if (now - entry.wanted_at > IDLE_MS) this.#entries.delete(key);
      else if (this.#questions.has(entry)) continue;
      else if (now - entry.asked_at >= RENEW_MS || !this.#isFresh(entry)) due.push(entry);
    }
    const [first = [], ...rest] = batches(due);
    await this.#ask(first, uses);
    for (const batch of rest) await this.#ask(batch, []);
  }

  /** Something was missed, or may have been: nothing that was known before counts. */
  voidAll(): void {
    for (const entry of this.#entries.values()) this.#void(entry);
  }

  /** Tighter limits may hold for it. */
  voidSession(sid: string): void {
    for (const entry of this.#ofSession(sid)) this.#void(entry);
  }

  /** It is over. Answers that were asked for before say nothing against it. */
  end(sid: string, reason: string, since: Seconds): void {
    this.#verdicts.end(sid, reason, since);
  }

  #void(entry: Entry): void {
    entry.void_since = this.#parts.elapsed();
  }

  #ofSession(sid: string): Entry[] {
    return [...this.#entries.values()].filter(
      ({ asked, lease }) => asked.sid === sid || (lease?.denied === undefined && lease?.judged_sid === sid),
    );
  }

  #isFresh({ lease, asked_at, void_since }: Entry): boolean {
    return lease !== undefined && asked_at >= void_since && this.#parts.elapsed() - asked_at < LEASE_MS;
  }

  #judgeBy(lease: Lease, entry: Entry, user: string, target: GatewayTarget, now: Seconds): Judgement {
    if ((lease.acts_as ?? lease.username) !== user) return { kind: 'denied', refusal: ANOTHER_USER };
    const limits = entry.targets.get(keyOfTarget(target))?.limits;
    if (limits?.denied !== undefined) return { kind: 'denied', refusal: noLease(limits.denied, limits.message) };
    if (limits) return this.#verdicts.decide(lease.judged_sid, limits, factsOf(entry, lease), now);
    return this.#verdicts.withoutLimits(lease.judged_sid, lease.facts);
  }

  /** Why what the broker does not know any more was over: by what it told last, at the latest when that was to end. */
  #lastWord(known: Lease, entry: Entry, user: string, target: GatewayTarget, now: Seconds): Refusal | undefined {
    const judgement = this.#judgeBy(known, entry, user, target, now);
    const is_near = judgement.kind === 'allowed' && between(now, judgement.session_end) <= BEHIND_SECONDS;
    const last = is_near ? this.#judgeBy(known, entry, user, target, judgement.session_end) : judgement;
    return last.kind === 'denied' ? last.refusal : undefined;
  }

  /** Leaves out what another question has answered meanwhile. */
  async #askUnknown(entries: readonly Entry[]): Promise<void> {
    const isKnown = (entry: Entry) => this.#isFresh(entry) && [...entry.targets.values()].every(({ limits }) => limits);
    const unknown = entries.filter((entry) => !isKnown(entry));
    if (unknown.length > 0) await this.#ask(unknown, []);
  }

  async #ask(entries: readonly Entry[], uses: readonly Use[]): Promise<void> {
    const { broker, clock, elapsed } = this.#parts;
    const sent_at = elapsed();
    const asks: Ask[] = entries.map(({ asked, targets }) => ({
      ...asked,
      targets: [...targets.values()].map(({ target }) => target),
    }));
    const { status, body } = await broker.post(GATEWAY_PATHS.sessions, { asks, uses });
    if (status !== 200 || !isLeaseReply(body) || body.sessions.length !== asks.length)
      throw new CurfewError('broker_unreachable', `the broker answered ${status} to a question for leases`);
    clock.learn(body.broker_time, sent_at);
    this.#answered_at = Math.max(this.#answered_at, sent_at);
    this.#record = body.record;
    this.#take(entries, asks, body, sent_at);
  }

  #take(entries: readonly Entry[], asks: readonly Ask[], { sessions }: LeaseReply, sent_at: number): void {
    for (const [i, entry] of entries.entries()) {
      const lease = sessions[i];
      if (!lease || sent_at < entry.void_since || sent_at < entry.asked_at) continue;
      entry.lease = lease;
      entry.asked_at = sent_at;
      if (lease.denied !== undefined) continue;
      entry.known = lease;
      for (const [j, target] of (asks[i]?.targets ?? []).entries()) {
        const known = entry.targets.get(keyOfTarget(target));
        const limits = lease.limits[j];
        if (known && limits) known.limits = limits;
      }
    }
  }
}
