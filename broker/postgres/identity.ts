// Whether the database is the one that it was. A standby that was promoted continues from where the other one was; an old primary
// that is started again, or a database that was put back, does not, and what is decided there would contradict what was acknowledged.

import type { Client } from 'pg';
import { CurfewError } from '../../shared/errors.ts';
import { latest, type Seconds } from '../../shared/time.ts';
import type { Link } from '../audit_log/chain.ts';
import type { Standing } from '../store/audit_head.ts';
import { ACCEPT, ANOTHER_STORE, putBack } from '../store/bear_witness.ts';
import { finishCopy } from '../store/moved.ts';
import type { Known, ServerState } from '../store/witness.ts';
import { kyselyOn } from './client.ts';
import { TIMELINE } from './newest_first.ts';

/** What a connection finds, and what the store itself says of where it was made. */
interface Found extends ServerState {
  readonly database_id: string;
  readonly home_system_id: string | null;
  readonly home_timeline: number | null;
}

// Before it is brought to this version: what came later than the oldest one is null where it is not there.
const LOOK = `select database_id, epoch, to_jsonb(store_state) ->> 'epoch_id' as epoch_id,
    greatest(newest, (select max(newest) from audit_lane)) as newest, system_id as home_system_id, timeline as home_timeline,
    (select system_identifier::text from pg_control_system()) as system_id,
    ${TIMELINE} as timeline
  from store_state where id = 1`;
/** The first of these rows that is not there as it was. */
const MISSING = `select lane, seq, hash from unnest($1::bigint[], $2::bigint[], $3::text[]) as known (lane, seq, hash)
  where seq > 0 and not exists (
    select from audit where audit.lane = known.lane and audit.seq = known.seq and audit.hash = known.hash)
  limit 1`;
const SETTLE = `update store_state set system_id = $1, timeline = $2
  where id = 1 and (system_id is null or (system_id = $1 and timeline < $2))`;
const MOVE = 'update store_state set system_id = $1, timeline = $2 where id = 1';

/** Another database than it was, or an earlier state of it. */
export class WrongDatabase extends CurfewError {
  constructor(what: string) {
    super('store', `the database ${what}`, { hint: ACCEPT, retry_after: 1 });
  }
}

export class Identity {
  /** One for each lane that this process has written, and what is known of before. */
  #links = new Map<number, Link>();
  #known: Omit<Known, 'link'> | undefined;
  readonly #unchecked: boolean;

  /** @param unchecked for the command by which an administrator says that it may be used as it is */
  constructor(known: readonly Known[], { unchecked = false }: { readonly unchecked?: boolean | undefined } = {}) {
    this.#unchecked = unchecked;
    for (const { link, ...rest } of known) {
      const before = this.#links.get(link.lane ?? 0);
      if (link.seq > (before?.seq ?? 0)) this.#links.set(link.lane ?? 0, link);
      this.#known = this.#known ? merged(this.#known, rest) : rest;
    }
  }

  /** Whether a database without a store is not the one that is known. */
  get expects(): boolean {
    return this.#known !== undefined && !this.#unchecked;
  }

  get timeline(): number {
    return this.#known?.server?.timeline ?? 0;
  }

  /** Looks at what a new connection leads to. @returns its timeline @throws WrongDatabase where it is not to be used */
  async see(client: Client): Promise<number> {
    // As of before the look: what is committed meanwhile is not in what is found.
    const known = this.#known;
    const links = [...this.#links.values()];
    const { rows } = await client.query<Found>(LOOK);
    const [found] = rows;
    if (!found) throw new WrongDatabase('does not say which store is in it');
    const fault = this.#unchecked ? undefined : await faultOf(found, known ?? {}, links, client);
    if (fault !== undefined) throw new WrongDatabase(fault);
    const { database_id, system_id, timeline, epoch, epoch_id, newest } = found;
    await client.query(SETTLE, [system_id, timeline]);
    const seen = { database_id, server: { system_id, timeline, epoch, epoch_id, newest } };
    if (epoch > (this.#known?.server?.epoch ?? epoch)) this.#links.clear();
    this.#known = this.#known && epoch === this.#known.server?.epoch ? merged(this.#known, seen) : seen;
    return timeline;
  }

  /** After a commit. */
  committed(link: Link, newest: Seconds): void {
    this.#links.set(link.lane ?? 0, link);
    const { server } = this.#known ?? {};
    if (this.#known && server)
      this.#known = { ...this.#known, server: { ...server, newest: latest(server.newest, newest) } };
  }

  /** For a witness: all of it, and of the chains the one that was written last, or any. */
  known(link?: Link): Known | undefined {
    const last = link ?? [...this.#links.values()].at(-1) ?? { seq: 0, hash: '' };
    return this.#known && { ...this.#known, link: last };
  }

  /** All was declared over: from here on it is as it is. */
  accepted({ epoch, epoch_id, newest }: Pick<Standing, 'epoch' | 'epoch_id' | 'newest'>): void {
    const { server } = this.#known ?? {};
    if (!this.#known || !server || epoch <= server.epoch) return;
    this.#known = { ...this.#known, server: { ...server, epoch, epoch_id, newest } };
  }

  /** From here on the store is at home where this connection leads. */
  async settle(client: Client): Promise<void> {
    const { rows } = await client.query<Found>(LOOK);
    if (rows[0]) await client.query(MOVE, [rows[0].system_id, rows[0].timeline]);
    await finishCopy(kyselyOn(client));
  }
}

/** Its number alone says nothing: of two copies of a store each may have been accepted as often. */
const ACCEPTED_APART =
  'was put back, or is a copy, and was accepted as it is: it is not the one that was accepted here';
const OLD_PRIMARY = 'is an old primary: another one has been promoted since';

async function faultOf(
  found: Found,
  { database_id, server }: Partial<Omit<Known, 'link'>>,
  links: readonly Link[],
  client: Client,
): Promise<string | undefined> {
  // An administrator has said meanwhile that it may be used: everything of before is over.
  if (server && found.epoch > server.epoch) return faultOfHome(found);
  if (database_id !== undefined && database_id !== found.database_id) return ANOTHER_STORE;
  if (server) {
    if (server.system_id !== found.system_id) return 'is in another database cluster than it was';
    if (found.timeline < server.timeline) return OLD_PRIMARY;
    if (found.epoch < server.epoch || found.newest < server.newest) return 'was put back to an earlier state';
    // What was remembered before declarations had a name says nothing.
    if (server.epoch_id !== undefined && found.epoch_id !== server.epoch_id) return ACCEPTED_APART;
  }
  const { rows } = await client.query<Link>(MISSING, [
    links.map(({ lane = 0 }) => lane),
    links.map(({ seq }) => seq),
    links.map(({ hash }) => hash),
  ]);
  return rows[0] ? putBack(rows[0]) : faultOfHome(found);
}

function faultOfHome({ home_system_id, home_timeline, system_id, timeline }: Found): string | undefined {
  if (home_system_id !== null && home_system_id !== system_id)
    return 'was copied, or restored, from another database cluster';
  return home_timeline !== null && timeline < home_timeline ? OLD_PRIMARY : undefined;
}

function merged(a: Omit<Known, 'link'>, b: Omit<Known, 'link'>): Omit<Known, 'link'> {
  if (!a.server || !b.server) return { ...a, ...b };
  const { epoch, epoch_id } = a.server.epoch > b.server.epoch ? a.server : b.server;
  const server = {
    system_id: b.server.system_id,
    timeline: Math.max(a.server.timeline, b.server.timeline),
    ...{ epoch, epoch_id },
    newest: latest(a.server.newest, b.server.newest),
  };
  return { database_id: b.database_id, server };
}
