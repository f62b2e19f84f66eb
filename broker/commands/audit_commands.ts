// `curfew-broker audit verify|tail|export`: what they read and say. They only read, also while the broker runs.

import { setTimeout as sleep } from 'node:timers/promises';
import { type Kysely, sql } from 'kysely';
import { parseDuration } from '../../shared/duration.ts';
import { CurfewError, EXIT } from '../../shared/errors.ts';
import { between, type Seconds } from '../../shared/time.ts';
import { createSealer, type Link } from '../audit_log/chain.ts';
import { type AuditRow, type Findings, parseEvent, verification } from '../audit_log/verify.ts';
import type { Config } from '../config/settings.ts';
import { newestRows, openAuditLog, placeOf, rowsAfter, sealedHead } from '../store/audit_log.ts';
import type { Schema } from '../store/tables.ts';
import { visibleJson } from '../text/names.ts';
import { parseTime } from '../text/rfc3339.ts';

/** Takes one line; says false once nobody reads any more. */
export type Print = (line: string) => Promise<boolean>;

type Settings = Pick<Config, 'store' | 'encryption_key'>;

/** Rows that `tail` begins with, and milliseconds until it looks for more. */
const LAST = 20;
const POLL_MS = 1_000;

/**
 * @param anchor `SEQ:HASH` as a line of the audit log has them
 * @throws CurfewError `usage` for what is no anchor, `configuration` when there is no store to read
 */
export async function verifyAuditLog(
  { store, encryption_key }: Settings,
  anchorText?: string,
): Promise<{ readonly lines: readonly string[]; readonly exit: number }> {
  const anchor = parseAnchor(anchorText);
  const sealer = createSealer(encryption_key);
  const { rows, newest, faults } = await reading(store, (record) =>
    record.connection().execute(async (db) => {
      // One moment's view of rows and seal: what the broker writes meanwhile does not count.
      await sql`begin`.execute(db);
      const verifying = verification(await sealedHead(db), sealer, anchor);
      try {
        for await (const row of rowsAfter(db, Number.MIN_SAFE_INTEGER)) verifying.take(row);
      } catch (error) {
        return unreadable(verifying.finish(), error);
      }
      return verifying.finish();
    }),
  );
  if (faults.length > 0) return { lines: faults.map((fault) => `error: ${fault}`), exit: EXIT.configuration };
  const held = anchor ? [`ok: row ${anchor.seq} is the one of the anchor`] : [];
  const told = `ok: ${rows} ${rows === 1 ? 'row' : 'rows'}, anchor ${newest.seq}:${newest.hash}`;
  return { lines: [told, ...held], exit: EXIT.done };
}

/** A file that is damaged is a fault of the audit log like others. What comes after the place cannot be judged, nor the end. */
function unreadable(findings: Findings, error: unknown): Findings {
  const what = error instanceof Error ? error.message : 'unknown';
  return { ...findings, faults: [`the store cannot be read after row ${findings.newest.seq} (${what})`] };
}

/** @throws CurfewError `configuration` when there is no store to read, `store` when it cannot be read on */
export async function tailAuditLog({ store }: Settings, { follow }: { follow: boolean }, print: Print): Promise<void> {
  await reading(store, async (record) => {
    let last = 0;
    for (const row of await newestRows(record, LAST)) {
      if (!(await print(lineOf(row)))) return;
      last = row.seq;
    }
    while (follow) {
      await sleep(POLL_MS);
      for await (const row of rowsAfter(record, last)) {
        if (!(await print(lineOf(row)))) return;
        last = row.seq;
      }
    }
  });
}

/**
 * Prints the audit log, in order and to its end.
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
  await reading(store, async (record) => {
    const place = since === undefined ? 0 : await placeOf(record, since);
    for await (const row of rowsAfter(record, place, since)) if (!(await print(lineOf(row)))) return;
  });
}

async function reading<T>({ sqlite }: Config['store'], story: (record: Kysely<Schema>) => Promise<T>): Promise<T> {
  const record = await openAuditLog(sqlite.file);
  try {
    return await story(record);
  } catch (cause) {
    if (cause instanceof CurfewError) throw cause;
    throw new CurfewError('store', `the store ${sqlite.file} cannot be read`, { cause });
  } finally {
    await record.destroy();
  }
}

/** As the broker puts it on stdout. Of what is no event any more only its place is told. */
function lineOf({ seq, hash, data, at, event, sid }: AuditRow): string {
  return visibleJson(JSON.stringify({ ...(parseEvent(data) ?? { event, at, sid, unreadable: true }), seq, hash }));
}

function parseAnchor(text: string | undefined): Link | undefined {
  if (text === undefined) return undefined;
  const [, seq, hash] = /^([1-9][0-9]{0,14}):([0-9a-f]{64})$/.exec(text.toLowerCase()) ?? [];
  if (seq !== undefined && hash !== undefined) return { seq: Number(seq), hash };
  throw new CurfewError('usage', '--anchor: expected SEQ:HASH, as a line of the audit log has them');
}

function parseSince(text: string | undefined, now: Seconds): Seconds | undefined {
  if (text === undefined) return undefined;
  const back = parseDuration(text);
  const since = back === undefined ? parseTime(text) : between(back, now);
  if (since !== undefined) return since;
  throw new CurfewError('usage', '--since: expected a time such as 2027-01-15T08:00:00Z, or how far back, such as 24h');
}
