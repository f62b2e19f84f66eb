// What rows of a chain say of others, held against those: one that was put back to what it once was, or removed as a whole, is whole in
// itself, and shows here alone. Each is looked up, in batches: they are many, and come in no order of the chain that they name.

import type { Moment, Place } from './reader.ts';
import { type AuditRow, parseEvent } from './verify.ts';

interface Named extends Place {
  readonly hash: string;
  /** The row that names it. */
  readonly by: Place;
}

/** What is lost of a chain: the first of what is named and not so. */
interface Loss {
  readonly named: Named;
  /** Whether another row is in its place. */
  readonly replaced: boolean;
  readonly count: number;
}

const AT_ONCE = 1_000;

export class NamedHeads {
  readonly #moment: Moment;
  readonly #lanes: ReadonlySet<number>;
  #waiting: Named[] = [];
  /** By chain. */
  readonly #losses = new Map<number, Loss>();

  /** @param lanes those that there are */
  constructor(moment: Moment, lanes: readonly number[]) {
    this.#moment = moment;
    this.#lanes = new Set(lanes);
  }

  /** A row of a chain: what it names is looked up with others, and the last of it in `finish`. */
  async take(row: AuditRow, lane: number): Promise<void> {
    if (row.event !== 'anchor' && row.event !== 'lane_opened') return;
    this.#waiting.push(...namedBy(row, lane));
    if (this.#waiting.length >= AT_ONCE) await this.#lookUp();
  }

  /** After the last row. @returns what is wrong, by chain: of each once, however often it is named */
  async finish(): Promise<readonly (readonly [lane: number, fault: string])[]> {
    await this.#lookUp();
    return [...this.#losses].sort(([one], [other]) => one - other).map(([lane, loss]) => [lane, this.#say(loss)]);
  }

  async #lookUp(): Promise<void> {
    for (let batch = this.#waiting.splice(0, AT_ONCE); batch.length > 0; batch = this.#waiting.splice(0, AT_ONCE)) {
      const hashes = await this.#moment.hashesAt(batch);
      for (const [n, named] of batch.entries()) this.#hold(named, hashes[n]);
    }
  }

  #hold(named: Named, hash: string | undefined): void {
    const { lane, seq } = named;
    // Before the first row there is nothing but the chain itself.
    if (seq === 0 ? this.#lanes.has(lane) : hash === named.hash) return;
    const before = this.#losses.get(lane);
    const first = before && before.named.seq <= seq ? before : { named, replaced: hash !== undefined };
    this.#losses.set(lane, { ...first, count: (before?.count ?? 0) + 1 });
  }

  #say({ named, replaced, count }: Loss): string {
    const by = `row ${named.by.seq} of lane ${named.by.lane}`;
    const rest = count === 1 ? '' : ` (the first of ${count} that are named and not so)`;
    if (!this.#lanes.has(named.lane)) return `removed as a whole: ${by} names its row ${named.seq}`;
    return replaced
      ? `row ${named.seq} is not the one that ${by} names${rest}: it was changed, or the lane taken back to an earlier state`
      : `row ${named.seq}, which ${by} names, is not there${rest}: it was removed, or the lane taken back to an earlier state`;
  }
}

function namedBy({ data, seq }: AuditRow, lane: number): readonly Named[] {
  const heads = parseEvent(data)?.heads;
  return (Array.isArray(heads) ? heads : []).flatMap((head: unknown) => {
    const [of, at, hash]: unknown[] = Array.isArray(head) ? head : [];
    return isSeq(of) && isSeq(at) && typeof hash === 'string' ? [{ lane: of, seq: at, hash, by: { lane, seq } }] : [];
  });
}

function isSeq(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
