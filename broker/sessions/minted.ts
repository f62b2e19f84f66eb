// The tokens that active sessions were given, from the audit log: for metrics, when the service starts.

import { type Kysely, sql } from 'kysely';
import type { Seconds } from '../../shared/time.ts';
import { jsonField } from '../store/sql.ts';
import type { Schema } from '../store/tables.ts';

export interface Minted {
  readonly sid: string;
  readonly cluster: string;
  readonly segment?: string | undefined;
  readonly exp: Seconds;
}

/** Rows of the audit log that are looked through: a start does not take longer the longer the audit log is. */
const MOST_ROWS = 500_000;

/** The tokens of active sessions that were minted since then, the last of each session and cluster. */
export async function mintedSince(db: Kysely<Schema>, since: Seconds, most: number): Promise<readonly Minted[]> {
  const field = (name: string) => jsonField(db, 'audit.data', name);
  const { rows } = await sql<Minted & { readonly segment: string | null }>`
    select sid, cluster, segment, exp from (
      select *, row_number() over (partition by sid, cluster order by exp desc) as place from (
        select audit.sid, ${field('cluster')} as cluster, ${field('segment')} as segment, cast(${field('exp')} as bigint) as exp
        from audit join session on session.sid = audit.sid
        where audit.seq > (select coalesce(max(seq), 0) from audit) - ${MOST_ROWS}
          and audit.event = 'mint' and ${field('cluster')} is not null and audit.at >= ${since} and session.ended_at is null) as minted) as ranked
    where place = 1 order by exp desc limit ${most}`.execute(db);
  return rows.reverse().map(({ segment, ...token }) => ({ ...token, segment: segment ?? undefined }));
}
