// A store with living sessions in it, made by the broker's own schema before the broker starts.

import type { KeyObject } from 'node:crypto';
import { type Selectable, sql } from 'kysely';
import { createSealer, type Sealer } from '../../broker/audit_log/chain.ts';
import { parseDatabaseAddress } from '../../broker/config/database_address.ts';
import { PostgresStore } from '../../broker/postgres/store.ts';
import { hashOfHandle } from '../../broker/sessions/find.ts';
import { overAt } from '../../broker/sessions/use.ts';
import { openSqlite } from '../../broker/store/sqlite.ts';
import { SqliteStore } from '../../broker/store/sqlite_store.ts';
import type { Store } from '../../broker/store/store.ts';
import type { SessionTable } from '../../broker/store/tables.ts';
import { randomHandle, randomId } from '../../broker/tokens/random.ts';
import type { WholeLimits } from '../../shared/limits.ts';
import { fromMilliseconds, plus, type Seconds } from '../../shared/time.ts';
import type { HeldSession } from './load.ts';

export interface Filling {
  /** SQLite's file, or the URL of a database of PostgreSQL. */
  readonly place: string;
  /** The broker's encryption key: seals the audit log. */
  readonly key: KeyObject;
  /** Issuer of the persons. */
  readonly iss: string;
  readonly limits: WholeLimits;
  /** How many sessions there are in all, one person each. */
  readonly sessions: number;
  /** Those among them that will be used, spread evenly. */
  readonly held: readonly HeldSession[];
  /** Takes a line now and then where there are many. */
  readonly log?: (line: string) => void;
}

/** Rows in one statement: SQLite takes 32,766 parameters. */
const AT_ONCE = 500;
/** Of sessions that nobody holds, made by the database itself. */
const COPIED_AT_ONCE = 10_000;

export async function fillStore(filling: Filling): Promise<void> {
  const { place, key, sessions, held, log = () => undefined } = filling;
  const store = await open(place, createSealer(key));
  try {
    const rest = sessions - held.length;
    const chunks = Math.max(1, Math.ceil(rest / COPIED_AT_ONCE));
    const share = (all: number, chunk: number) => Math.floor((all * chunk) / chunks);
    const copied = await template(store, filling);
    let said = 0;
    for (let chunk = 0; chunk < chunks; chunk++) {
      // Those that are used lie among the others, as evenly as the chunks allow.
      const ours = held.slice(share(held.length, chunk), share(held.length, chunk + 1));
      await addHeld(store, filling, ours, share(held.length, chunk));
      await copied(held.length + share(rest, chunk), held.length + share(rest, chunk + 1));
      const done = share(sessions, chunk + 1);
      if (done - said >= 100_000 && done < sessions) {
        log(`${done} of ${sessions} sessions`);
        said = done;
      }
    }
    // As autovacuum would have by then.
    await store.transaction(({ db }) => sql.raw('analyze').execute(db));
  } finally {
    await store.close();
  }
}

function open(place: string, sealer: Sealer): Promise<Store> {
  const options = { onAudit: () => undefined, onBroken: () => undefined, sealer };
  if (!place.startsWith('postgres://')) return SqliteStore.open(openSqlite(place), options);
  const address = parseDatabaseAddress(place, 'place');
  return PostgresStore.open({ address, application: 'curfew-bench', connections: 2 }, options);
}

async function addHeld(store: Store, filling: Filling, held: readonly HeldSession[], first: number): Promise<void> {
  const now = fromMilliseconds(Date.now());
  for (let from = 0; from < held.length; from += AT_ONCE) {
    const rows = held.slice(from, from + AT_ONCE).map((one, n) => rowOf(first + from + n, one, { ...filling, now }));
    const persons = rows.map(({ iss, sub, username }) => ({ iss, sub, username }));
    await store.transaction(async ({ db }) => {
      await db.insertInto('person').values(persons).execute();
      await db.insertInto('session').values(rows).execute();
    });
  }
}

/** Sessions that nobody holds are copies of one, but for what is each one's own. @returns what adds those with numbers from one up to another */
async function template(store: Store, filling: Filling) {
  const postgres = filling.place.startsWith('postgres://');
  const { sub: _, username: __, ...like } = rowOf(0, nobodys(0), { ...filling, now: fromMilliseconds(Date.now()) });
  const text = postgres ? 'md5(random()::text)' : 'lower(hex(randomblob(16)))';
  const own: Readonly<Record<string, string>> = {
    sub: `'subject-' || n`,
    username: `'curfew:person-' || n || '@example.com'`,
    sid: text,
    idp_sid: text,
    jkt: postgres ? 'md5(random()::text) || substr(md5(random()::text), 1, 11)' : 'substr(hex(randomblob(22)), 1, 43)',
    handle_hash: postgres ? `sha256(random()::text::bytea)` : 'randomblob(32)',
  };
  const columns = [...Object.keys(own), ...Object.keys(like).filter((name) => !(name in own))];
  const values = columns.map((name) =>
    own[name] === undefined ? sql`${sql.lit(like[name as keyof typeof like])}` : sql.raw(own[name]),
  );
  return (from: number, to: number) =>
    store.transaction(async ({ db }) => {
      if (from >= to) return;
      const numbers = postgres
        ? sql`generate_series(${sql.lit(from)}::int, ${sql.lit(to - 1)}::int) as numbers (n)`
        : sql`(with recursive numbers (n) as (select ${sql.lit(from)} union all select n + 1 from numbers where n < ${sql.lit(to - 1)}) select n from numbers) as numbers`;
      await sql`insert into person (iss, sub, username)
        select ${sql.lit(filling.iss)}, ${sql.raw(own.sub ?? '')}, ${sql.raw(own.username ?? '')} from ${numbers}`.execute(
        db,
      );
      await sql`insert into session (${sql.join(columns.map((name) => sql.ref(name)))})
        select ${sql.join(values)} from ${numbers}`.execute(db);
    });
}

/** Nobody has this key and this handle. */
function nobodys(number: number): HeldSession {
  const names = { sid: randomId(), username: `curfew:person-${number}@example.com` };
  return { ...names, jkt: randomHandle(), handle_hash: hashOfHandle(randomHandle()) };
}

export function rowOf(
  number: number,
  { sid, username, jkt, handle_hash }: HeldSession,
  { iss, limits, now }: { readonly iss: string; readonly limits: WholeLimits; readonly now: Seconds },
): Selectable<SessionTable> {
  const groups = ['dev', 'sre', 'on-call', 'payments-readers', 'vpn-users'];
  const end_at_most = plus(now, limits.max_age);
  return {
    sid,
    iss,
    sub: `subject-${number}`,
    username,
    groups: JSON.stringify(groups.map((group) => `curfew:${group}`)),
    idp_groups: JSON.stringify(groups),
    jkt,
    handle_hash,
    idp_sid: randomId(),
    auth_time: now,
    revalidated_at: now,
    end_at_renewal: null,
    acr: null,
    amr: JSON.stringify(['pwd', 'otp']),
    end_at_most,
    last_used: now,
    longest_idle: 0 as Seconds,
    raw_auth_time: null,
    token_exp: 0 as Seconds,
    gaps: '[]',
    idle_before: '[]',
    over_at: overAt(end_at_most, now, limits),
    opened_at: now,
    address: '127.0.0.1',
    user_agent: null,
    yields: '[]',
    ended_at: null,
    end_reason: null,
    replaced_by: null,
  };
}
