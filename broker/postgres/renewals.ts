// Renewals past transactions: two questions instead of seven, of which many share the first.

import type { Seconds, Stopwatch } from '../../shared/time.ts';
import { linkOf } from '../audit_log/chain.ts';
import type { StoreObserver } from '../store/options.ts';
import type { RenewalCommit, Renewals } from '../store/renewals.ts';
import type { ServingSince } from '../store/served.ts';
import { Together } from '../store/together.ts';
import { VERSION } from '../store/version.ts';
import { visibleJson } from '../text/names.ts';
import { acknowledged } from './commit.ts';
import { codeOf, isLost, Unacknowledged } from './faults.ts';
import type { Committed, Lane } from './lane.ts';
import { LANE_MOVED, REPLAYED } from './renew_commit.ts';

const COMMIT = `select renew_commit(${Array.from({ length: 22 }, (_, i) => `$${i + 1}`).join(', ')}) as done`;
/** A deadlock, a serialization failure: a transaction tries again. */
const AGAIN: ReadonlySet<string> = new Set([REPLAYED, LANE_MOVED, '40P01', '40001', '23505']);

/** What it takes of the store. */
export interface RenewalsStore {
  using<T>(work: (lane: Lane) => Promise<T>): Promise<T>;
  serving(): ServingSince | undefined;
  /** After a commit, before anything of it is acknowledged. */
  committed(lane: Lane, committed: Committed): void;
  readonly observer: StoreObserver | undefined;
  /** Seconds. */
  readonly stopwatch: Stopwatch;
}

interface Found {
  readonly of_sid: string;
  readonly of_version: string;
  /** Hex. */
  readonly of_handle: string;
}

export class PostgresRenewals implements Renewals {
  readonly #store: RenewalsStore;
  readonly #rows = new Map<readonly string[], Together<Found>>();

  constructor(store: RenewalsStore) {
    this.#store = store;
  }

  async attempt<Row extends object, T>(
    columns: readonly string[],
    handle_hash: Uint8Array,
    decide: (row: Row) => RenewalCommit<T> | undefined,
  ): Promise<T | undefined> {
    const { observer } = this.#store;
    const settled = observer?.asked();
    const found = await this.#rowsOf(columns).find(Buffer.from(handle_hash).toString('hex'));
    const result = found && (await this.#store.using((lane) => this.#on(lane, found, decide)));
    if (result !== undefined) settled?.('committed');
    observer?.renewed(result === undefined ? 'transaction' : 'direct');
    return result;
  }

  /** Decides with a connection in hand, as late as may be: whatever changed since the row was read makes nothing of it. */
  async #on<Row extends object, T>(
    lane: Lane,
    { of_sid: sid, of_version: version, of_handle: _, ...row }: Found,
    decide: (row: Row) => RenewalCommit<T> | undefined,
  ): Promise<T | undefined> {
    const serving = this.#store.serving();
    // The first row of a connection says where all lanes are, and that takes a transaction.
    if (!serving || !lane.begun || !lane.sound) return undefined;
    const decided = decide(row as Row);
    if (!decided) return undefined;
    return (await this.#commit(lane, { sid, version, serving }, decided)) ? decided.result : undefined;
  }

  async #commit(
    lane: Lane,
    read: { readonly sid: string; readonly version: string; readonly serving: ServingSince },
    { proof, change, kid, event }: RenewalCommit<unknown>,
  ): Promise<boolean> {
    const { sid, version, serving } = read;
    const { before } = lane;
    const data = visibleJson(JSON.stringify(event));
    const link = linkOf(before, data);
    const newest = serving.clock.newest() ?? (0 as Seconds);
    const { last_used, longest_idle, gaps, token_exp, end_at_most, over_at } = change;
    const values = [
      ...[sid, version, last_used, longest_idle, gaps, token_exp, end_at_most, over_at],
      ...[proof.minute, proof.hash, kid, serving.epoch, VERSION],
      ...[lane.number, before.seq, before.hash, link.hash, lane.seal(link), newest],
      ...[event.at, event.event, data],
    ];
    const begin = this.#store.stopwatch();
    try {
      const { rows } = await acknowledged(lane.client, () => lane.client.query<{ done: boolean }>(COMMIT, values));
      if (rows[0]?.done !== true) return false;
    } catch (error) {
      // Of these what became of it is known: it was undone.
      if (error instanceof Unacknowledged || isLost(error)) lane.dead = true;
      if (!AGAIN.has(codeOf(error))) throw error;
      if (codeOf(error) === LANE_MOVED) await lane.look();
      return false;
    }
    const seconds = this.#store.stopwatch() - begin;
    this.#store.committed(lane, { link, newest, entries: [{ ...link, event }], seconds });
    return true;
  }

  /** Many renewals at once read their rows in one question. */
  #rowsOf(columns: readonly string[]): Together<Found> {
    const known = this.#rows.get(columns);
    if (known) return known;
    // One table: who changes several has no order in which to wait for whom reads several.
    const text = `select ${columns.map((column) => `"${column}"`).join(', ')}, sid as of_sid, xmin::text as of_version,
        encode(handle_hash, 'hex') as of_handle
      from session where handle_hash = any($1::bytea[])`;
    const rows = new Together<Found>((handles) =>
      this.#store.using(async (lane) => {
        const { rows } = await lane.client.query<Found>(text, [handles.map((hex) => Buffer.from(hex, 'hex'))]);
        return new Map(rows.map((row) => [row.of_handle, row]));
      }),
    );
    this.#rows.set(columns, rows);
    return rows;
  }
}
