// One request or stream that is open: what is counted of it, told of it, and how it is cut.

import { isClusterStreamKind, type Stream } from '../../shared/gateway_events.ts';
import type { GatewayTarget } from '../../shared/gateway_wire.ts';
import type { AccessTarget } from '../../shared/policy.ts';
import type { TargetKind } from '../../shared/targets.ts';
import { over, type Seconds, seconds } from '../../shared/time.ts';
import type { Authority } from '../authority/authority.ts';
import type { Speaker } from '../authority/leases.ts';
import type { Metrics } from '../metrics.ts';
import type { Asked } from '../request/target.ts';
import type { Refusal } from '../words.ts';

/** Milliseconds between two looks at whether a use may be noted: a use is told to the second. */
const USE_MS = 250;

/** A connection to a target, as the broker let it in. */
export interface Connected {
  readonly kind: TargetKind;
  readonly within: AccessTarget;
  readonly is_use: true;
  /** What the broker knows it by; and the session that judged as it was let in. */
  readonly connection: string;
  readonly sid: string;
}

export interface Opening {
  /** Absent for other credentials: they have no session that could end. */
  readonly speaker?: Speaker | undefined;
  readonly kid?: string | undefined;
  readonly asked: Asked | Connected;
  readonly segment?: string | undefined;
  /** Closes it with words, where it can show any. Called once. */
  readonly cut: (refusal: Refusal) => void;
  /** @returns whether there is anything yet that could show it */
  readonly warn?: ((text: string) => boolean) | undefined;
}

export interface OpenedParts {
  readonly authority: Pick<Authority, 'leases' | 'uses' | 'events' | 'clock'>;
  readonly metrics: Metrics;
  readonly elapsed: () => number;
  readonly id: string;
  readonly onClose: () => void;
}

export class Opened {
  readonly #opening: Opening;
  readonly #parts: OpenedParts;
  readonly #opened_at: number;
  /** Why it is cut, from the moment on when that is certain. */
  refusal: Refusal | undefined;
  /** When something arrived last, by the broker's clock. */
  output_at: Seconds | undefined;
  /** Of a connection to a target: when something was sent last, or when it began. */
  input_at: Seconds | undefined;
  /** Why it ended, where that is no end of ours. */
  #failure: string | undefined;
  /** Whether its end was further away than a warning is due before, since it was warned. */
  far_from_end = false;
  /** Of which end it was warned. */
  #warned_of: Seconds | undefined;
  #accepted = false;
  #told = false;
  #closed = false;
  #used_before = false;
  #used_at = Number.NEGATIVE_INFINITY;
  #unknown_since: number | undefined;
  #sent = 0;
  #received = 0;

  constructor(opening: Opening, parts: OpenedParts) {
    this.#opening = opening;
    this.#parts = parts;
    this.#opened_at = parts.elapsed();
    parts.metrics.opened(this.kind, this.#segment);
    // That it is there is on disk already: how it ends is told whatever becomes of it.
    this.#told = isConnection(opening.asked);
    if (this.#told) this.input_at = parts.authority.clock.now();
  }

  get speaker(): Speaker | undefined {
    return this.#opening.speaker;
  }

  get kid(): string | undefined {
    return this.#opening.kid;
  }

  get kind(): Asked['kind'] | TargetKind {
    return this.#opening.asked.kind;
  }

  get target(): GatewayTarget {
    return this.#opening.asked.within;
  }

  get #segment(): string {
    return this.#opening.segment ?? '';
  }

  known(): void {
    this.#unknown_since = undefined;
  }

  /** Whether nothing has been known of its target for so long. */
  isUnknownFor(ms: number): boolean {
    this.#unknown_since ??= this.#parts.elapsed();
    return this.#parts.elapsed() - this.#unknown_since >= ms;
  }

  /** The API server has let it in, by a token whose signature was verified: that is a use. @param as_stream whether it goes on */
  accepted(as_stream: boolean): void {
    this.#accepted = true;
    if (this.#opening.asked.is_use || this.#used_before) this.#use();
    if (as_stream) this.#tellOpened();
  }

  /** @param is_use whether something of it is what a person sends */
  sent(bytes: number, is_use: boolean): void {
    this.#sent += bytes;
    this.#parts.metrics.bytes('sent', bytes);
    if (!is_use) return;
    if (this.input_at !== undefined) this.input_at = this.#parts.authority.clock.now();
    this.#use();
  }

  /** @param is_output whether something of it is output: no ping, and no frame that only moves the stream on */
  received(bytes: number, is_output: boolean): void {
    this.#received += bytes;
    this.#parts.metrics.bytes('received', bytes);
    if (is_output) this.output_at = this.#parts.authority.clock.now();
  }

  /** Once for each end. One that was put off is warned of again, but not before the one that was warned of has passed. */
  warn(end: Seconds, now: Seconds, text: string): void {
    if (this.#closed || this.refusal || (this.#warned_of !== undefined && !over(this.#warned_of, now))) return;
    if (!(this.#opening.warn?.(text) ?? true)) return;
    this.#warned_of = end;
    this.far_from_end = false;
  }

  mark(refusal: Refusal): void {
    if (!this.#closed) this.refusal ??= refusal;
  }

  /** @param heard_at when the end was heard of that it is cut for */
  cut(heard_at?: number): void {
    const { refusal } = this;
    if (!refusal || this.#closed) return;
    const { metrics, elapsed, authority } = this.#parts;
    this.#opening.cut(refusal);
    metrics.cut(refusal.code, heard_at === undefined ? undefined : (elapsed() - heard_at) / 1000);
    const stream = this.#told && this.#stream();
    if (stream) authority.events.tell({ type: 'cut', reason: refusal.code, ...stream, ...this.#sum() });
    this.#finish();
  }

  /** It has ended by itself, on either side. */
  close(): void {
    if (this.#closed) return;
    const stream = this.#told && this.#stream();
    const how =
      this.#failure === undefined ? ({ type: 'closed' } as const) : ({ type: 'cut', reason: this.#failure } as const);
    if (stream) this.#parts.authority.events.tell({ ...how, ...stream, ...this.#sum() });
    this.#finish();
  }

  /** It is about to end, and not as either side wished. @param reason for the audit log */
  fail(reason: string): void {
    this.#failure ??= reason;
  }

  #finish(): void {
    this.#closed = true;
    this.#parts.metrics.closed(this.kind, this.#segment);
    this.#parts.onClose();
  }

  /** Noted while the session may still be used, and no more often than it matters. */
  #use(): void {
    const { speaker, asked } = this.#opening;
    if (!speaker || this.refusal) return;
    // What is sent before the API server has answered shows nothing yet.
    if (!this.#accepted) {
      this.#used_before = true;
      return;
    }
    const { authority, elapsed } = this.#parts;
    const now = elapsed();
    if (now - this.#used_at < USE_MS) return;
    const sid = authority.leases.sidOf(speaker.asked);
    if (sid === undefined || authority.leases.judge(speaker, asked.within).kind !== 'allowed') return;
    this.#used_at = now;
    authority.leases.use(speaker.asked);
    authority.uses.note(sid);
  }

  #tellOpened(): void {
    const stream = this.#stream();
    if (!stream || !this.#parts.authority.leases.record.includes(stream.kind)) return;
    this.#told = true;
    this.#parts.authority.events.tell({ type: 'opened', ...stream });
  }

  #stream(): Stream | undefined {
    const { speaker, asked } = this.#opening;
    const sid = speaker && this.#parts.authority.leases.sidOf(speaker.asked);
    if (isConnection(asked)) {
      const { connection, kind, within } = asked;
      return { stream: connection, sid: sid ?? asked.sid, kind, target: within.target, account: within.account };
    }
    const { kind, namespace, resource, name } = asked;
    if (sid === undefined || !isClusterStreamKind(kind)) return undefined;
    return {
      stream: this.#parts.id,
      sid,
      kind,
      namespace: short(namespace),
      resource: short(resource),
      name: short(name),
    };
  }

  #sum() {
    const length = seconds(Math.max(0, Math.floor((this.#parts.elapsed() - this.#opened_at) / 1000)));
    return { seconds: length, bytes_sent: this.#sent, bytes_received: this.#received };
  }
}

/** What shows that the API server has let a request in: 400, 429 and 503 may come before it knows whose it is. */
export function isLetIn(status: number): boolean {
  return (status >= 200 && status < 300) || [403, 404, 409, 422].includes(status);
}

function isConnection(asked: Asked | Connected): asked is Connected {
  return 'connection' in asked;
}

/** As long as the broker takes it. */
function short<T extends string | undefined>(text: T): T {
  return text?.slice(0, 256) as T;
}
