// All that is open: found by session, judged each second and whenever something is heard, and cut. At an end everything that is still
// open goes, also a plain request that never ends; its kind only chooses the words.

import type { StreamKind } from '../../shared/gateway_events.ts';
import { type Asked, LEASE_SECONDS, type LeasedLimits } from '../../shared/gateway_wire.ts';
import { between, latest, over, plus, type Seconds } from '../../shared/time.ts';
import type { Authority } from '../authority/authority.ts';
import { keyOf, keyOfTarget } from '../authority/lease_entries.ts';
import type { Judgement } from '../authority/verdicts.ts';
import type { Metrics } from '../metrics.ts';
import { idleAlone, KEY_REVOKED, LOST_BROKER, type Refusal, sayWarning } from '../words.ts';
import { Opened, type Opening } from './opened.ts';

/** Milliseconds that a round may come late before the feed is given a turn first: the process was stopped. */
const LATE_MS = 1_500;
const TURN_MS = 15;

export interface LiveParts {
  readonly authority: Authority;
  readonly metrics: Metrics;
  /** Milliseconds, by a clock that is never set. */
  readonly elapsed: () => number;
  readonly cut_after_ms: number;
  readonly warn: Seconds | 'off';
}

export class Live {
  readonly #parts: LiveParts;
  readonly #open = new Set<Opened>();
  #timer: NodeJS.Timeout | undefined;
  #due = 0;
  #next = 1;

  constructor(parts: LiveParts) {
    this.#parts = parts;
    this.#wait();
  }

  get size(): number {
    return this.#open.size;
  }

  add(opening: Opening): Opened {
    const { authority, metrics, elapsed } = this.#parts;
    const id = String(this.#next++);
    const opened = new Opened(opening, { authority, metrics, elapsed, id, onClose: () => this.#open.delete(opened) });
    this.#open.add(opened);
    return opened;
  }

  /** It is over, as was just heard. */
  end(sid: string): void {
    const { authority, elapsed } = this.#parts;
    const heard_at = elapsed();
    const theirs = (asked: Asked) => asked.sid === sid || authority.leases.sidOf(asked) === sid;
    this.#sweep(
      [...this.#open].filter(({ speaker }) => speaker && theirs(speaker.asked)),
      heard_at,
    );
  }

  revoke(kid: string): void {
    cutTogether([...this.#open].filter((opened) => opened.kid === kid).map((opened) => [opened, KEY_REVOKED]));
  }

  sweep(): void {
    this.#sweep([...this.#open]);
  }

  cutAll(refusal: Refusal): void {
    cutTogether([...this.#open].map((opened) => [opened, refusal]));
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  /** Ends come at whole seconds of the broker, so that is when to look. */
  #wait(): void {
    const ms = Math.min(1000, Math.max(5, Math.ceil(this.#parts.authority.clock.toNextSecond())));
    this.#due = this.#parts.elapsed() + ms;
    this.#timer = setTimeout(() => this.#round(), ms);
    this.#timer.unref();
  }

  #round(): void {
    const { elapsed } = this.#parts;
    // What the broker told meanwhile has the better words: it is read first.
    if (elapsed() - this.#due > LATE_MS) {
      this.#due = elapsed();
      this.#timer = setTimeout(() => this.#round(), TURN_MS).unref();
      return;
    }
    this.sweep();
    this.#wait();
  }

  #sweep(some: readonly Opened[], heard_at?: number): void {
    const { authority, elapsed, cut_after_ms } = this.#parts;
    const lost = authority.lost();
    const is_lost = lost !== undefined && elapsed() - lost.since >= cut_after_ms;
    const judged = new Map<string, Judgement>();
    const cuts: [Opened, Refusal][] = [];
    for (const opened of some) {
      const { speaker, target } = opened;
      // Who has no session here: there is nothing that could end.
      if (!speaker || opened.refusal) continue;
      authority.leases.want(speaker.asked, target);
      const key = JSON.stringify([keyOf(speaker.asked), speaker.user, keyOfTarget(target)]);
      const judgement = judged.get(key) ?? authority.leases.judge(speaker, target, true);
      judged.set(key, judgement);
      const refusal = this.#refusalOf(opened, judgement, is_lost);
      if (refusal) cuts.push([opened, refusal]);
      else if (judgement.kind === 'allowed') this.#warn(opened, judgement.session_end);
    }
    cutTogether(cuts, heard_at);
  }

  #refusalOf(opened: Opened, judgement: Judgement, is_lost: boolean): Refusal | undefined {
    const { authority, cut_after_ms } = this.#parts;
    const { speaker } = opened;
    if (!speaker) return undefined;
    if (judgement.kind === 'denied' && !this.#isKeptByOutput(opened, judgement)) return judgement.refusal;
    if (is_lost || authority.leases.staleFor(speaker.asked) >= cut_after_ms) return LOST_BROKER;
    if (judgement.kind !== 'unknown') opened.known();
    if (judgement.kind === 'allowed') return this.#idleAlone(opened, judgement.limits);
    return judgement.kind === 'unknown' && opened.isUnknownFor(cut_after_ms + LEASE_SECONDS * 1000)
      ? LOST_BROKER
      : undefined;
  }

  /** Idle by its target's own limit alone, and something arrives on it, and that counts there. */
  #isKeptByOutput(opened: Opened, { denied, limits }: Extract<Judgement, { kind: 'denied' }>): boolean {
    const { output_at, speaker, kind } = opened;
    if (!speaker || !limits || denied?.reason !== 'idle_too_long' || denied.ends !== undefined) return false;
    if (output_at === undefined || !limits.output_counts?.includes(kind as StreamKind)) return false;
    return this.#parts.authority.leases.judgeWithOutput(speaker, limits, output_at).kind === 'allowed';
  }

  /** A connection to a target, by its own input: what the session does elsewhere keeps others open, not this. */
  #idleAlone({ input_at, output_at, speaker, kind }: Opened, limits: LeasedLimits): Refusal | undefined {
    if (!speaker || input_at === undefined) return undefined;
    const counts = output_at !== undefined && limits.output_counts?.includes(kind as StreamKind);
    const last = counts ? latest(input_at, output_at) : input_at;
    const alone = this.#parts.authority.leases.judgeAlone(speaker, limits, last);
    return alone.kind === 'denied' && alone.denied?.reason === 'idle_too_long' ? idleAlone(alone.denied) : undefined;
  }

  /** Once, and only what had longer than that to go at some time: who opens it later knows. */
  #warn(opened: Opened, session_end: Seconds): void {
    const { warn, authority } = this.#parts;
    const now = authority.clock.now();
    if (warn === 'off' || now === undefined) return;
    if (!over(session_end, plus(now, warn))) opened.far_from_end = true;
    else if (opened.far_from_end) opened.warn(session_end, now, sayWarning(between(now, session_end)));
  }
}

/** All are marked before the first is told: what is said to one may depend on whether those beside it go as well. */
function cutTogether(cuts: readonly (readonly [Opened, Refusal])[], heard_at?: number): void {
  for (const [opened, refusal] of cuts) opened.mark(refusal);
  for (const [opened] of cuts) opened.cut(heard_at);
}
