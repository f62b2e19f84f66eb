// What a gateway is told of the feed: ends of sessions that its cluster, or one of its targets, admits, and whatever else makes its leases void. Nothing is told
// before it has taken effect in this replica, and nothing is left out after a place that a gateway hands back.

import type { FeedLine } from '../../shared/gateway_wire.ts';
import type { Broker } from '../broker.ts';
import type { Config } from '../config/settings.ts';
import { encryptionOf } from '../encryption.ts';
import { mayReach } from '../policy/accounts.ts';
import { mayUse } from '../policy/admission.ts';
import { findAll } from '../sessions/find.ts';
import type { Change, LoweredChange } from '../store/changes.ts';
import type { FeedEntry } from '../store/feed.ts';
import { type GatewayCaller, gatewayOf } from './caller.ts';
import { type Place, type Places, placeAt, placesOf } from './places.ts';

/** How many changes are read at a time where they are not in memory any more, and about how many lines are told at a time. */
const AT_ONCE = 500;
/** Seconds since the feed was read, up to which it is said that nothing was missed. */
const FRESH_SECONDS = 2;

/** What it takes to tell. */
export type EndsParts = Pick<Broker, 'config' | 'store' | 'replicas'>;

export interface Telling {
  /**
   * What there is to tell since the last time: all of it, or so much that there may be more. Empty where there is nothing.
   *
   * @returns `undefined` where there is nothing more to tell: the gateway's token is no longer good, or the store cannot be relied on
   * @throws CurfewError `store`
   */
  next(): Promise<readonly FeedLine[] | undefined>;
  /** That nothing was missed up to now; `undefined` while that is not known. */
  heartbeat(): FeedLine | undefined;
}

/**
 * @param authorization of the gateway, as it came
 * @param after a place that was told before; without one it begins with what comes next
 * @throws CurfewError `store`
 */
export async function tellEnds(broker: EndsParts, authorization: string, after: string | undefined): Promise<Telling> {
  const telling = new EndsTelling(broker, authorization);
  await telling.begin(after);
  return telling;
}

class EndsTelling implements Telling {
  readonly #broker: EndsParts;
  readonly #authorization: string;
  /** In force when something was told last. */
  #config: Config;
  #places: Places | undefined;
  #place = placeAt(0);
  /** The place that the gateway knows. */
  #told: Place | undefined;
  /** Said first, whatever comes then. */
  #first: FeedLine[] = [];
  #over = false;

  constructor(broker: EndsParts, authorization: string) {
    this.#broker = broker;
    this.#authorization = authorization;
    this.#config = broker.config;
  }

  async begin(after: string | undefined): Promise<void> {
    await this.#readPlaces();
    const asked = after === undefined ? undefined : this.#placesNow().parse(after);
    const found = asked && (await this.#look(asked));
    if (found === 'put_back') {
      this.#broker.store.distrust(
        `a gateway was told of another change ${asked?.seq} of the feed of changes: the store was put back`,
      );
      // Nothing of it is to be read any more: the place is the one that it came with.
      this.#first.push({ type: 'reset', place: after ?? '' });
      this.#over = true;
      return;
    }
    this.#place = found === 'known' && asked ? asked : await this.#head();
    if (after !== undefined && found !== 'known') this.#first.push(this.#reset());
    else this.#first.push({ type: 'heartbeat', place: this.#textOf(this.#place) });
  }

  /** Whether all after that place is there. One that was told and is not there says that the store was put back. */
  async #look(asked: Place): Promise<'known' | 'forgotten' | 'put_back'> {
    const { head, forgotten, at_place } = await this.#broker.store.feed.after(asked.seq, 0);
    if (asked.seq > head) return 'put_back';
    if (at_place !== undefined && placeAt(asked.seq, at_place).digest !== asked.digest) return 'put_back';
    return asked.seq >= forgotten ? 'known' : 'forgotten';
  }

  async #head(): Promise<Place> {
    const { feed } = this.#broker.store;
    const { head } = await feed.after(0, 0);
    const { at_place } = await feed.after(head, 0);
    return placeAt(head, at_place);
  }

  async next(): Promise<readonly FeedLine[] | undefined> {
    const lines = this.#first;
    this.#first = [];
    if (this.#over) return lines.length > 0 ? lines : undefined;
    const gateway = this.#gatewayNow(lines);
    if (!gateway) return undefined;
    while (lines.length < AT_ONCE) {
      const entries = await this.#entries();
      if (entries === 'forgotten') lines.push(await this.#resetToNow());
      else if (entries.length === 0) break;
      else lines.push(...(await this.#linesOf(gateway, entries)));
    }
    return lines;
  }

  heartbeat(): FeedLine | undefined {
    const { feed } = this.#broker.replicas;
    if (this.#over || feed.age > FRESH_SECONDS || feed.tail.place < this.#place.seq) return undefined;
    if (this.#told?.seq === this.#place.seq) return { type: 'heartbeat' };
    return { type: 'heartbeat', place: this.#textOf(this.#place) };
  }

  /** Another configuration is in force here than when something was told last: also before other replicas hear of it. */
  #gatewayNow(lines: FeedLine[]): GatewayCaller | undefined {
    const { config } = this.#broker;
    if (config !== this.#config) lines.push({ type: 'reload' });
    this.#config = config;
    return gatewayOf(config, this.#authorization);
  }

  /** Only what has taken effect here. */
  async #entries(): Promise<readonly FeedEntry[] | 'forgotten'> {
    const { store, replicas } = this.#broker;
    const { tail } = replicas.feed;
    const kept = tail.after(this.#place.seq);
    if (kept) return kept;
    const { forgotten, entries } = await store.feed.after(this.#place.seq, AT_ONCE);
    if (forgotten > this.#place.seq) return 'forgotten';
    return entries.filter(({ seq }) => seq <= tail.place);
  }

  async #linesOf(gateway: GatewayCaller, entries: readonly FeedEntry[]): Promise<readonly FeedLine[]> {
    const sids = entries.flatMap(({ change }) => (change?.kind === 'end' ? [change.sid] : []));
    const admitted = new Set<string>();
    if (sids.length > 0) {
      const sessions = await this.#broker.store.read((db) => findAll(db, sids));
      for (const { sid, idp_groups } of sessions) if (isAdmitted(this.#config, gateway, idp_groups)) admitted.add(sid);
    }
    const lines: FeedLine[] = [];
    for (const { seq, text, change } of entries) {
      this.#place = placeAt(seq, text);
      if (change?.kind === 'all_over') {
        // Places of before are of another time: whoever comes with one begins again.
        await this.#readPlaces();
        lines.push(this.#reset());
        continue;
      }
      const told = linesOf(change, this.#config, gateway, admitted);
      // The last says that all of them were told.
      lines.push(
        ...told.map((line, i) => (i < told.length - 1 ? line : { ...line, place: this.#textOf(this.#place) })),
      );
    }
    return lines;
  }

  async #resetToNow(): Promise<FeedLine> {
    await this.#readPlaces();
    this.#place = await this.#head();
    return this.#reset();
  }

  #reset(): FeedLine {
    return { type: 'reset', place: this.#textOf(this.#place) };
  }

  async #readPlaces(): Promise<void> {
    const { store } = this.#broker;
    this.#places = placesOf(() => encryptionOf(this.#broker.config)(), await store.standing());
  }

  #placesNow(): Places {
    if (!this.#places) throw new TypeError('places before they were read');
    return this.#places;
  }

  #textOf(place: Place): string {
    this.#told = place;
    return this.#placesNow().textOf(place);
  }
}

function linesOf(
  change: Change | undefined,
  config: Config,
  gateway: GatewayCaller,
  admitted: ReadonlySet<string>,
): readonly FeedLine[] {
  switch (change?.kind) {
    case undefined:
      return [{ type: 'unknown' }];
    case 'end': {
      const { sid, reason, since, replaced_by } = change;
      return admitted.has(sid)
        ? [{ type: 'end', sid, reason, since, ...(replaced_by !== undefined && { replaced_by }) }]
        : [];
    }
    case 'lowered':
      return concerns(config, change, gateway) ? [{ type: 'lowered', sid: change.sid }] : [];
    case 'policy':
      return [{ type: 'reload' }];
    case 'keys':
      return (change.revoked ?? []).map((kid) => ({ type: 'key_revoked', kid }));
    case 'all_over':
      return [];
  }
}

function isAdmitted({ targets }: Config, gateway: GatewayCaller, idp_groups: readonly string[]): boolean {
  return gateway.kind === 'cluster'
    ? mayUse(gateway.cluster, idp_groups)
    : targets.some((target) => mayReach(target, idp_groups));
}

/** Whether it may matter at the gateway: at its cluster, or at a target. */
function concerns({ targets }: Config, { clusters: names }: LoweredChange, gateway: GatewayCaller): boolean {
  return gateway.kind === 'cluster' ? names.includes(gateway.name) : targets.some(({ name }) => names.includes(name));
}
