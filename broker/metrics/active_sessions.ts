// Which living sessions hold an unexpired token, by cluster: followed from the audit log's rows as they are committed, so that
// asking costs the store nothing. For metrics only; nothing is decided on it.

import { type Kysely, sql } from 'kysely';
import { over, type Seconds } from '../../shared/time.ts';
import type { Schema } from '../store/tables.ts';

/** Sessions that are remembered; beyond them those that were minted for longest ago are not counted. */
const MOST = 100_000;

export interface Minted {
  readonly sid: string;
  readonly cluster: string;
  readonly segment?: string | undefined;
  readonly exp: Seconds;
}

export interface ActiveCount {
  readonly cluster: string;
  readonly segment: string | undefined;
  readonly count: number;
}

export class ActiveSessions {
  /** By session, then by cluster; the one minted for last stands last. */
  readonly #sessions = new Map<string, Map<string, Minted>>();

  minted(token: Minted): void {
    const clusters = this.#sessions.get(token.sid) ?? new Map<string, Minted>();
    const before = clusters.get(token.cluster);
    clusters.set(token.cluster, before && before.exp > token.exp ? { ...token, exp: before.exp } : token);
    this.#sessions.delete(token.sid);
    this.#sessions.set(token.sid, clusters);
    if (this.#sessions.size <= MOST) return;
    const [oldest] = this.#sessions.keys();
    if (oldest !== undefined) this.#sessions.delete(oldest);
  }

  ended(sid: string): void {
    this.#sessions.delete(sid);
  }

  /** Forgets tokens that are over, and counts the rest. */
  count(now: Seconds): ActiveCount[] {
    const counts = new Map<string, ActiveCount>();
    for (const [sid, clusters] of this.#sessions) {
      for (const [cluster, { segment, exp }] of clusters) {
        if (over(exp, now)) {
          clusters.delete(cluster);
          continue;
        }
        const key = `${cluster}\n${segment ?? ''}`;
        counts.set(key, { cluster, segment, count: (counts.get(key)?.count ?? 0) + 1 });
      }
      if (clusters.size === 0) this.#sessions.delete(sid);
    }
    return [...counts.values()];
  }
}

/** Rows of the audit log that are looked through: a start does not take longer the longer the audit log is. */
const MOST_ROWS = 500_000;

/** The tokens of living sessions that were minted since then, the last of each session and cluster; for a start. */
export async function mintedSince(db: Kysely<Schema>, since: Seconds): Promise<readonly Minted[]> {
  // SQLite takes the other columns from the row that has the largest `exp`.
  const { rows } = await sql<Minted & { readonly segment: string | null }>`
    select audit.sid, data ->> 'cluster' as cluster, data ->> 'segment' as segment, max(data ->> 'exp') as exp
    from audit join session on session.sid = audit.sid
    where audit.seq > (select coalesce(max(seq), 0) from audit) - ${MOST_ROWS}
      and audit.event = 'mint' and audit.at >= ${since} and session.ended_at is null
    group by 1, 2 order by exp desc limit ${MOST}`.execute(db);
  return rows.reverse().map(({ segment, ...token }) => ({ ...token, segment: segment ?? undefined }));
}
