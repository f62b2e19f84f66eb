import type { FailedLoginsEvent } from '../audit_log/events.ts';
import type { Config } from '../config/settings.ts';
import { countOf } from '../store/sql.ts';
import type { Transaction } from '../store/store.ts';
import { formatTime } from '../text/rfc3339.ts';
import { randomId } from '../tokens/random.ts';

/** Reports that wait for a hook that is away: further ones is in the audit log alone. */
export const LONGEST_QUEUE = 10000;

/** One report for each hook, to be delivered after the commit. */
export async function queueReports(
  { db }: Transaction,
  { hooks }: Pick<Config, 'hooks'>,
  { event: type, ...data }: FailedLoginsEvent,
): Promise<void> {
  const { at } = data;
  for (const { url } of hooks) {
    if ((await countOf(db.selectFrom('hook_delivery').where('url', '=', url))) >= LONGEST_QUEUE) continue;
    const body = JSON.stringify({ id: randomId(), type, timestamp: formatTime(at), data });
    const row = { url, body, created_at: at, attempts: 0, next_at: at };
    await db.insertInto('hook_delivery').values(row).execute();
  }
}
