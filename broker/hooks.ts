// Reports to the configured hooks: queued with the event that they tell of, or not at all.

import type { FailedLoginsEvent } from './audit.ts';
import type { Config } from './config.ts';
import { randomId } from './sessions.ts';
import type { Transaction } from './store/store.ts';

/** One report for each hook, to be delivered after the commit. */
export async function queueReports(
  { db }: Transaction,
  { hooks }: Pick<Config, 'hooks'>,
  event: FailedLoginsEvent,
): Promise<void> {
  const { at } = event;
  const rows = hooks.map(({ url }) => {
    const { event: type, ...data } = event;
    return {
      url,
      body: JSON.stringify({ id: randomId(), type, timestamp: at, data }),
      created_at: at,
      attempts: 0,
      next_at: at,
    };
  });
  if (rows.length > 0) await db.insertInto('hook_delivery').values(rows).execute();
}
