// What was acknowledged, held against the audit log: by the broker's own commands, and by the database's own order of commits.

import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { AuditLine } from './broker_process.ts';
import type { Brokers } from './brokers.ts';
import type { Acknowledged } from './crowd.ts';
import type { Postgres } from './postgres.ts';

/** A server that keeps them, and the database. */
export interface CommitTimes {
  readonly server: Pick<Postgres, 'query'>;
  readonly name: string;
}

/** For `startPostgres`, where commits are to be held against each other. */
export const KEEPS_COMMIT_TIMES = { track_commit_timestamp: 'on' } as const;

/** @returns what is missing or wrong, in words */
export async function faultsOfRecord(
  brokers: Brokers,
  { logins, ends, tokens }: Acknowledged,
  commits?: CommitTimes,
): Promise<string[]> {
  const faults: string[] = [];
  const said = brokers.rows();
  const newest = new Map<unknown, AuditLine>();
  for (const row of said) if (Number(row.seq) > Number(newest.get(row.lane)?.seq ?? 0)) newest.set(row.lane, row);
  const anchors = [...newest.values()].map(({ lane = 0, seq, hash }) => `${lane}:${seq}:${hash}`);
  const verified = await brokers.command('audit', 'verify', ...anchors.flatMap((anchor) => ['--anchor', anchor]));
  if (verified.code !== 0) faults.push(`audit verify: ${verified.code} ${verified.stdout}${verified.stderr}`);

  const exported = await brokers.command('audit', 'export');
  if (exported.code !== 0) faults.push(`audit export: ${exported.code} ${exported.stderr}`);
  const rows = exported.stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as AuditLine);
  const hashes = new Map(rows.map(({ lane = 0, seq, hash }) => [`${lane}:${seq}`, hash]));
  for (const { lane = 0, seq, hash, event } of said)
    if (hashes.get(`${lane}:${seq}`) !== hash)
      faults.push(`row ${seq} of lane ${lane} (${event}) was told, and is lost`);

  const of = (event: string) => rows.filter((row) => row.event === event);
  const missing = (what: string, told: Iterable<string>, kept: readonly unknown[]) => {
    const there = new Set(kept);
    for (const one of told) if (!there.has(one)) faults.push(`${one}: no row of its ${what}`);
  };
  missing(
    'login',
    logins,
    of('login').map(({ sid }) => sid),
  );
  missing(
    'end',
    ends,
    of('end').map(({ sid }) => sid),
  );
  missing(
    'token',
    tokens,
    of('mint').map(({ jti }) => jti),
  );
  for (const event of ['login', 'end']) {
    const seen = new Set<unknown>();
    // The holder's own retry of a login, whose reply was lost, has a row that says so.
    for (const { sid, retry } of of(event)) {
      if (retry === true) continue;
      if (seen.has(sid)) faults.push(`${sid}: two rows of its ${event}`);
      seen.add(sid);
    }
  }
  const jtis = of('mint').map(({ jti }) => String(jti));
  if (new Set(jtis).size !== jtis.length) faults.push('a jti is in two rows');
  const late = commits
    ? await lateInPostgres(commits)
    : lateInSqlite(path.join(path.dirname(brokers.replicas[0]?.configFile ?? ''), 'curfew.db'));
  faults.push(...late.map((sid) => `${sid}: a token was committed after its end`));
  return faults;
}

const LATE = `select distinct mint.sid from audit as mint join audit as ended on ended.sid = mint.sid
  where mint.event = 'mint' and ended.event = 'end' and`;

/** One chain: its order is the order of commits. */
function lateInSqlite(file: string): readonly string[] {
  const database = new DatabaseSync(file, { readOnly: true });
  try {
    return database
      .prepare(`${LATE} mint.seq > ended.seq`)
      .all()
      .map(({ sid }) => String(sid));
  } finally {
    database.close();
  }
}

/** Whoever commits second has waited for the row of the session, so its time is the later one. */
async function lateInPostgres({ server, name }: CommitTimes): Promise<readonly string[]> {
  const later = `pg_xact_commit_timestamp(mint.xmin) > pg_xact_commit_timestamp(ended.xmin)`;
  const rows = (await server.query(`${LATE} ${later}`, name)) as { sid: string }[];
  return rows.map(({ sid }) => sid);
}
