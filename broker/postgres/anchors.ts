// Where all lanes are, written down in some of them. A lane alone shows what was changed in it, and not that it was put back to what it
// once was, together with its old head, or removed as a whole: that shows in what others say of it.

import type { Client } from 'pg';
import type { Seconds } from '../../shared/time.ts';
import type { Sealer } from '../audit_log/chain.ts';
import type { AnchorEvent, LaneOpenedEvent, NamedHead } from '../audit_log/events.ts';
import { asFailure } from '../store/failure.ts';
import type { Work } from '../store/store.ts';
import { type Lane, NOWHERE } from './lane.ts';
import type { Lanes } from './lanes.ts';

const HEADS = 'select lane, seq, hash, seal from audit_lane where lane <> $1 order by lane';
/** Whether there is more than what anchors themselves have added: two replicas that anchor do not keep one another at it. */
const MOVED = `select exists (
  select from unnest($1::bigint[], $2::bigint[]) as place (lane, seq) join audit on audit.lane = place.lane and audit.seq > place.seq
  where audit.event not in ('anchor', 'lane_opened')) as moved`;
/** So that each lane is named in another than itself. */
const COPIES = 2;

type Transact = (lane: Lane, work: Work<AnchorEvent | undefined>) => Promise<AnchorEvent | undefined>;

export class Anchors {
  readonly #lanes: Lanes;
  readonly #sealer: Sealer;
  /** By lane: what was written down of it last, by this process. */
  #named: ReadonlyMap<number, NamedHead> = new Map();
  /** Where it was after that: anchors are rows as well. */
  #settled: ReadonlyMap<number, NamedHead> = new Map();

  constructor(lanes: Lanes, sealer: Sealer) {
    this.#lanes = lanes;
    this.#sealer = sealer;
  }

  /** In lanes that have rested, so by turns in all that this replica has. @throws CurfewError `store` */
  async write(at: Seconds, transact: Transact): Promise<void> {
    const lanes = await this.#lanes.takeRested(COPIES).catch((error: unknown) => {
      throw asFailure(error, { retry_after: 1 });
    });
    try {
      const named: NamedHead[] = [];
      for (const lane of lanes) {
        const event = await transact(lane, async ({ audit }) => {
          const anchor = await this.#anchorFor(lane, at);
          if (anchor) await audit(anchor);
          return anchor;
        });
        named.push(...(event?.heads ?? []));
      }
      this.#named = withHeads(this.#named, named);
      this.#settled = withHeads(this.#settled, [...named, ...lanes.map(headOf)]);
    } finally {
      for (const lane of lanes) this.#lanes.give(lane);
    }
  }

  /** @returns nothing where nothing has happened since the last one */
  async #anchorFor(lane: Lane, at: Seconds): Promise<AnchorEvent | undefined> {
    const heads = await otherHeads(lane, this.#sealer);
    if (!(await this.#haveMoved(lane.client, [...heads, headOf(lane)]))) return undefined;
    const news = heads.filter((head) => !isAt(head, this.#named));
    return news.length > 0 ? { event: 'anchor', at, heads: news } : undefined;
  }

  async #haveMoved(client: Client, heads: readonly NamedHead[]): Promise<boolean> {
    const moved = heads.filter((head) => !isAt(head, this.#settled));
    if (moved.length === 0) return false;
    const places = moved.map(([lane]) => this.#settled.get(lane)?.[1] ?? 0);
    const { rows } = await client.query<{ moved: boolean }>(MOVED, [moved.map(([lane]) => lane), places]);
    return rows[0]?.moved === true;
  }
}

/** For the first row of a connection, in its transaction. */
export async function laneOpened(lane: Lane, sealer: Sealer): Promise<Omit<LaneOpenedEvent, 'at'>> {
  return { event: 'lane_opened', heads: await otherHeads(lane, sealer) };
}

/**
 * As they are committed. Of one that does not fit the key a hash is written down that no row has: that it was so then shows for good,
 * whatever is put in its place.
 */
async function otherHeads({ client, number }: Lane, sealer: Sealer): Promise<readonly NamedHead[]> {
  const { rows } = await client.query<{ lane: number; seq: number; hash: string; seal: string }>(HEADS, [number]);
  return rows.map(({ seal, ...link }) => [link.lane, link.seq, sealer.isSealed(link, seal) ? link.hash : NOWHERE]);
}

function headOf({ number, head }: Lane): NamedHead {
  return [number, head.seq, head.hash];
}

function isAt([lane, seq, hash]: NamedHead, places: ReadonlyMap<number, NamedHead>): boolean {
  const place = places.get(lane);
  return place?.[1] === seq && place[2] === hash;
}

function withHeads(places: ReadonlyMap<number, NamedHead>, heads: readonly NamedHead[]) {
  return new Map([...places, ...heads.map((head): [number, NamedHead] => [head[0], head])]);
}
