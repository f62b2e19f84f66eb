// `curfew-broker audit tail|export`: what they read and say. They only read, also while the broker runs.

import { setTimeout as sleep } from 'node:timers/promises';
import { parseDuration } from '../../shared/duration.ts';
import { CurfewError } from '../../shared/errors.ts';
import { between, type Seconds } from '../../shared/time.ts';
import { merged } from '../audit_log/merge.ts';
import { type AuditRow, parseEvent } from '../audit_log/verify.ts';
import { visibleJson } from '../text/names.ts';
import { parseTime } from '../text/rfc3339.ts';
import { type Places, reading } from './audit_reader.ts';

/** Takes one line; says false once nobody reads any more. */
export type Print = (line: string) => Promise<boolean>;

interface Settings {
  readonly store: Places;
}

/** Rows that `tail` begins with, and milliseconds until it looks for more. */
const LAST = 20;
const POLL_MS = 1_000;
/** In turn, while the database is away: about a minute, in which it is restarted, or another one takes over. */
const MOST_FAILED = 30;

/** @throws CurfewError `configuration` when there is no store to read, `store` when it cannot be read on */
export async function tailAuditLog({ store }: Settings, { follow }: { follow: boolean }, print: Print): Promise<void> {
  await reading(store, async (log) => {
    /** By lane: it has one writer, so nothing is missed behind the last row of it. Behind an instant there would be. */
    const places = new Map<number, number>();
    const rows: AuditRow[] = [];
    for await (const row of merged(await log.lanes(), (lane) => log.newestRows(lane, LAST))) {
      places.set(row.lane ?? 0, row.seq);
      rows.push(row);
    }
    for (const row of rows.slice(-LAST)) if (!(await print(lineOf(row)))) return;
    const printNewer = async () => {
      const newer = (lane: number) => log.rowsAfter({ lane, seq: places.get(lane) ?? 0 });
      for await (const row of merged(await log.lanes(), newer)) {
        if (!(await print(lineOf(row)))) return false;
        places.set(row.lane ?? 0, row.seq);
      }
      return true;
    };
    for (let failed = 0; follow; ) {
      await sleep(POLL_MS);
      try {
        if (!(await printNewer())) return;
        failed = 0;
      } catch (error) {
        const away = error instanceof CurfewError && error.code === 'store';
        if (!away || ++failed >= MOST_FAILED) throw error;
      }
    }
  });
}

/**
 * Prints the audit log to its end: by time, and each chain of it in its own order.
 *
 * @param since an RFC 3339 time, or how far back, such as `24h`
 * @throws CurfewError `usage`; `configuration` when there is no store to read, `store` when it cannot be read on
 */
export async function exportAuditLog(
  { store }: Settings,
  { since: text, now }: { readonly since?: string | undefined; readonly now: Seconds },
  print: Print,
): Promise<void> {
  const since = parseSince(text, now);
  await reading(store, async (log) => {
    const rows = merged(await log.lanes(), (lane) => log.rowsAfter({ lane, seq: 0 }, since));
    for await (const row of rows) if (!(await print(lineOf(row)))) return;
  });
}

/** As the broker puts it on stdout. Of what is no event any more only its place is told. */
function lineOf({ lane, seq, hash, data, at, event, sid }: AuditRow): string {
  const told = parseEvent(data) ?? { event, at, sid, unreadable: true };
  return visibleJson(JSON.stringify({ ...told, seq, hash, ...(lane && { lane }) }));
}

function parseSince(text: string | undefined, now: Seconds): Seconds | undefined {
  if (text === undefined) return undefined;
  const back = parseDuration(text);
  const since = back === undefined ? parseTime(text) : between(back, now);
  if (since !== undefined) return since;
  throw new CurfewError('usage', '--since: expected a time such as 2027-01-15T08:00:00Z, or how far back, such as 24h');
}
