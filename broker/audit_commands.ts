// `curfew-broker audit verify|tail|export`: the record, checked and read, beside a broker that may be running.

import { parseDuration } from '../shared/duration.ts';
import { CurfewError, EXIT } from '../shared/errors.ts';
import { type Clock, type Seconds, seconds } from '../shared/time.ts';
import { createSealer, type Link } from './audit_chain.ts';
import { ChainCheck, type Row } from './audit_verify.ts';
import type { Config } from './config.ts';
import { parseTime } from './rfc3339.ts';
import { withAuditLog } from './store/audit_log.ts';

type Store = Pick<Config, 'store' | 'encryption_key'>;

/** Takes a line, and resolves when the reader is ready for the next one. */
export type Print = (line: string) => Promise<void>;

const NEWEST = 20;
const POLL_MS = 1000;

/**
 * @param anchor `SEQ:HASH` of a row, as it was noted elsewhere
 * @returns the exit status: 78 when the record is not whole
 */
export async function verifyAudit(
  { store, encryption_key }: Store,
  anchor: string | undefined,
  print: Print,
): Promise<number> {
  const check = new ChainCheck(parseAnchor(anchor));
  const faults = await withAuditLog(store.sqlite.file, true, async (log) => {
    for await (const row of log.rowsAfter(0)) check.add(row);
    return check.finish(await log.head(), createSealer(encryption_key));
  });
  for (const fault of faults) await print(`error: ${fault}`);
  const { seq, hash } = check.last;
  if (faults.length === 0) await print(`ok: ${seq} ${seq === 1 ? 'row' : 'rows'}, anchor ${seq}:${hash}`);
  return faults.length === 0 ? EXIT.done : EXIT.configuration;
}

/** The newest rows; with `follow` also those that come, until the process is ended. */
export async function tailAudit({ store }: Store, follow: boolean, print: Print): Promise<void> {
  await withAuditLog(store.sqlite.file, false, async (log) => {
    for (let last = await log.beforeNewest(NEWEST); ; ) {
      for await (const row of log.rowsAfter(last)) {
        await print(lineOf(row));
        last = row.seq;
      }
      if (!follow) return;
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  });
}

/** @param since an instant (RFC 3339), or how long ago (`24h`); without it all rows */
export async function exportAudit(
  { store }: Store,
  since: string | undefined,
  now: Clock,
  print: Print,
): Promise<void> {
  const at = since === undefined ? undefined : parseSince(since, now());
  await withAuditLog(store.sqlite.file, true, async (log) => {
    const before = at === undefined ? 0 : await log.beforeTime(at);
    for await (const row of log.rowsAfter(before)) await print(lineOf(row));
  });
}

/** As the broker prints it on stdout: the event, and its place in the chain. */
function lineOf({ data, seq, hash }: Row): string {
  return JSON.stringify({ ...(JSON.parse(data) as object), seq, hash });
}

function parseSince(text: string, now: Seconds): Seconds {
  const length = parseDuration(text);
  const at = length === undefined ? parseTime(text) : seconds(Math.max(0, now - length));
  if (at !== undefined) return at;
  throw usage(
    `--since: expected an instant such as 2026-01-31T12:00:00Z or a length such as 24h, got ${JSON.stringify(text)}`,
  );
}

function parseAnchor(text: string | undefined): Link | undefined {
  if (text === undefined) return undefined;
  const [, seq, hash] = /^([1-9][0-9]{0,14}):([0-9a-f]{64})$/.exec(text) ?? [];
  if (seq === undefined || hash === undefined) throw usage('--anchor: expected SEQ:HASH, as audit verify prints it');
  return { seq: Number(seq), hash };
}

function usage(message: string): CurfewError {
  return new CurfewError('usage', message, { hint: 'see curfew-broker audit --help' });
}
