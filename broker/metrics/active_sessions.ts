// Which active sessions hold an unexpired token, by cluster: followed from the audit log's rows as they are committed, so that
// asking costs the store nothing. For metrics only; nothing is decided on it.

import { over, type Seconds } from '../../shared/time.ts';
import type { Minted } from '../sessions/minted.ts';

/** Sessions that are remembered; beyond them those that were minted for longest ago are not counted. */
export const MOST_SESSIONS = 100_000;

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
    if (this.#sessions.size <= MOST_SESSIONS) return;
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
