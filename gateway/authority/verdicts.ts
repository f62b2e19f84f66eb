// What the engine says of a session here, in words for the person: against it stands whatever was told of its end.

import { type Denied, decide } from '../../shared/decide.ts';
import type { LeasedLimits } from '../../shared/gateway_wire.ts';
import type { SessionFacts } from '../../shared/session.ts';
import type { Seconds } from '../../shared/time.ts';
import { isEndReason } from '../../shared/wire.ts';
import { forgetOldest } from '../forget_oldest.ts';
import { denialOf, type Refusal } from '../words.ts';

/** Ends that are remembered against answers that are under way. */
const MOST_ENDS = 10_000;

export type Judgement =
  | { readonly kind: 'allowed'; readonly session_end: Seconds; readonly limits: LeasedLimits }
  | {
      readonly kind: 'denied';
      readonly refusal: Refusal;
      readonly denied?: Denied | undefined;
      readonly limits?: LeasedLimits;
    }
  /** Nothing is known that could be relied on. */
  | { readonly kind: 'unknown' };

/** As the feed told it. */
interface End {
  readonly reason: string;
  readonly since: Seconds;
}

export class Verdicts {
  readonly #cluster: string | undefined;
  readonly #ends = new Map<string, End>();

  /** @param cluster whose login helps where it alone is denied; absent before targets */
  constructor(cluster: string | undefined) {
    this.#cluster = cluster;
  }

  /** It is over. Answers that were asked for before say nothing against it. */
  end(sid: string, reason: string, since: Seconds): void {
    this.#ends.set(sid, { reason, since });
    forgetOldest(this.#ends, MOST_ENDS);
  }

  /** @param sid of the session that judges */
  decide(sid: string, limits: LeasedLimits, facts: SessionFacts, now: Seconds): Judgement {
    const end = this.#ends.get(sid);
    if (end) return { kind: 'denied', refusal: this.#refusalOf(end), denied: endOf(end), limits };
    const verdict = decide(limits, facts, now);
    if (verdict.allow) return { kind: 'allowed', session_end: verdict.session_end, limits };
    return { kind: 'denied', refusal: denialOf(verdict, this.#cluster, limits.segment), denied: verdict, limits };
  }

  /** What is over is over everywhere, whatever the limits are there. */
  withoutLimits(sid: string, { ended }: SessionFacts): Judgement {
    const end = this.#ends.get(sid) ?? (ended && { reason: ended.reason, since: ended.at });
    return end ? { kind: 'denied', refusal: this.#refusalOf(end) } : { kind: 'unknown' };
  }

  #refusalOf(end: End): Refusal {
    return { ...denialOf(endOf(end), this.#cluster, undefined), code: end.reason };
  }
}

/** As it was told, be it for a reason of a later version. */
function endOf({ reason, since }: End): Denied {
  return { allow: false, reason: 'session_ended', since, ...(isEndReason(reason) && { end_reason: reason }) };
}
