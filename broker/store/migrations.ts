// The migrations that make the tables, and what of older rows each carries over.

import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { Migration } from 'kysely/migration';
import { GENESIS, type Link, linkOf, type Sealer } from '../audit_log/chain.ts';
import { writeHead } from './audit_head.ts';
import { sessionRoles } from './session_role_table.ts';
import type { Schema } from './tables.ts';

async function first(db: Kysely<unknown>): Promise<void> {
  const statements = [
    sql`create table person (
      iss text not null, sub text not null, username text not null unique, login_after integer not null,
      primary key (iss, sub)) strict, without rowid`,
    sql`create table session (
      sid text primary key, iss text not null, sub text not null, username text not null, groups text not null,
      idp_groups text not null, jkt text not null, handle_hash blob not null unique, idp_sid text,
      auth_time integer not null, acr text, amr text, end_at_most integer not null, last_used integer not null,
      over_at integer not null, opened_at integer not null, address text not null,
      ended_at integer, end_reason text, replaced_by text,
      check ((ended_at is null) = (end_reason is null))) strict`,
    sql`create index session_of_person on session (iss, sub) where ended_at is null`,
    sql`create unique index session_of_key on session (jkt) where ended_at is null`,
    sql`create index session_of_idp on session (idp_sid) where ended_at is null and idp_sid is not null`,
    sql`create index session_over on session (over_at) where ended_at is null`,
    sql`create index session_ended on session (ended_at) where ended_at is not null`,
    sql`create table id_token_use (
      hash text primary key, jkt text not null, nonce_hash text not null, sid text not null,
      used_at integer not null, expires_at integer not null) strict, without rowid`,
    sql`create index id_token_use_expiry on id_token_use (expires_at)`,
    sql`create table proof (minute integer not null, hash blob not null, primary key (minute, hash)) strict, without rowid`,
    sql`create table signing_key (
      kid text primary key, public_jwk text not null, sealed blob not null, created_at integer not null) strict`,
    sql`create table audit (
      seq integer primary key autoincrement, at integer not null, event text not null, sid text, data text not null) strict`,
  ];
  for (const statement of statements) await statement.execute(db);
}

async function second(db: Kysely<unknown>): Promise<void> {
  const statements = [
    sql`alter table session add column longest_idle integer not null default 0`,
    sql`alter table session add column user_agent text`,
    sql`alter table session add column yields text not null default '[]'`,
    sql`create index session_ended_of_person on session (iss, sub, ended_at) where ended_at is not null`,
    sql`create index session_opened on session (opened_at, sid) where ended_at is null`,
    sql`alter table audit add column hash text not null default ''`,
    sql`create table audit_head (
      id integer primary key check (id = 1), seq integer not null, hash text not null, seal text not null) strict`,
    sql`create table failed_login (
      key text primary key, count integer not null, first_at integer not null, last_at integer not null,
      blocked_until integer not null) strict, without rowid`,
    sql`create table hook_delivery (
      id integer primary key autoincrement, url text not null, body text not null, created_at integer not null,
      attempts integer not null, next_at integer not null) strict`,
  ];
  for (const statement of statements) await statement.execute(db);
}

async function third(db: Kysely<unknown>): Promise<void> {
  const statements = [
    sql`create table login_after (
      iss text not null, kind text not null check (kind in ('sub', 'idp_sid')), id text not null,
      instant integer not null, primary key (iss, kind, id)) strict, without rowid`,
    sql`insert into login_after (iss, kind, id, instant)
      select iss, 'sub', sub, login_after from person where login_after > 0`,
    sql`alter table person drop column login_after`,
    sql`alter table session add column revalidated_at integer not null default 0`,
    sql`update session set revalidated_at = opened_at`,
    sql`alter table session add column end_at_renewal text`,
    sql`create table signal_received (
      iss text not null, jti text not null, expires_at integer not null, primary key (iss, jti)) strict, without rowid`,
    sql`create index signal_received_expiry on signal_received (expires_at)`,
    sql`create table bound_secret (
      name text primary key, cluster text not null, namespace text not null, service_account text not null,
      sid text not null, uid text, doomed integer not null default 0, over_at integer not null,
      next_at integer not null, attempts integer not null default 0) strict, without rowid`,
    sql`create unique index bound_secret_of_session on bound_secret (sid, cluster) where doomed = 0`,
    sql`create index bound_secret_next on bound_secret (next_at)`,
  ];
  for (const statement of statements) await statement.execute(db);
}

/** 0.5.0. */
async function fourth(db: Kysely<unknown>): Promise<void> {
  const statements: readonly RawBuilder<unknown>[] = [
    sql`create table store_state (
      id integer primary key check (id = 1), database_id text not null, witnessed integer not null default 0,
      epoch integer not null default 0, over_before integer not null default 0, newest integer not null default 0) strict`,
    sql`insert into store_state (id, database_id) values (1, lower(hex(randomblob(16))))`,
    sql`create table old_token_ids (id integer primary key check (id = 1), since integer, until integer) strict`,
    sql`insert into old_token_ids (id) select 1 where exists (select 1 from session)`,
    // Those of addresses are counted in memory.
    sql`delete from failed_login where key like 'address:%'`,
    sql`create table idle_gap (
      iss text not null, sub text not null, start integer not null, length integer,
      primary key (iss, sub, start)) strict, without rowid`,
    sql`create index idle_gap_start on idle_gap (start)`,
    sql`create table counted_login (
      iss text not null, sub text not null, raw integer not null, auth_time integer not null,
      primary key (iss, sub, raw)) strict, without rowid`,
    sql`create index counted_login_raw on counted_login (raw)`,
    sql`create table resting_name (
      username text primary key, iss text not null, sub text not null, free_at integer not null) strict, without rowid`,
    sql`alter table session add column token_exp integer not null default 0`,
    // No token outlives its session.
    sql`update session set token_exp = over_at`,
    sql`alter table session add column raw_auth_time integer`,
    sql`alter table session add column gaps text not null default '[]'`,
    sql`alter table session add column idle_before text not null default '[]'`,
    // When it began is not known: the latest that it can have been.
    sql`update session set gaps = json_array(json_array(last_used - longest_idle, longest_idle)) where longest_idle > 0`,
    // By the database itself: a name changes at a login, and by an administrator's command.
    sql`create table past_name (
      iss text not null, username text not null, sub text not null, primary key (iss, username, sub)) strict, without rowid`,
    sql`create index past_name_folded on past_name (lower(username), iss)`,
    sql`create index person_folded on person (lower(username), iss)`,
    sql`create trigger person_renamed after update of username on person when old.username is not new.username begin
      insert or ignore into past_name (iss, username, sub) values (old.iss, old.username, old.sub); end`,
    sql`create trigger person_forgotten after delete on person begin
      insert or ignore into past_name (iss, username, sub) values (old.iss, old.username, old.sub); end`,
    // Also of sessions that are over: whether a session of the IdP is known at all is asked of those too.
    sql`drop index session_of_idp`,
    sql`create index session_of_idp on session (idp_sid) where idp_sid is not null`,
    sql`alter table signal_received rename to signal_received_before`,
    sql`create table signal_received (
      kind text not null check (kind in ('logout_token', 'set')), iss text not null, jti text not null,
      expires_at integer not null, primary key (kind, iss, jti)) strict, without rowid`,
    // Of which kind they were is not known: they act again as neither.
    sql`insert into signal_received (kind, iss, jti, expires_at)
      select 'logout_token', iss, jti, expires_at from signal_received_before
      union all select 'set', iss, jti, expires_at from signal_received_before`,
    sql`drop table signal_received_before`,
    sql`create index signal_received_expiry on signal_received (expires_at)`,
  ];
  for (const statement of statements) await statement.execute(db);
}

/** What came before writes no feed: nothing of it may run beside this. */
async function fifth(db: Kysely<unknown>): Promise<void> {
  const statements = [
    sql`create table feed_head (
      id integer primary key check (id = 1), seq integer not null, forgotten integer not null) strict`,
    sql`insert into feed_head (id, seq, forgotten) values (1, 0, 0)`,
    sql`create table feed (
      seq integer primary key, at integer not null, kind text not null, sid text, data text not null) strict`,
    sql`create table lease (
      name text primary key, holder text, until integer, fence integer not null) strict, without rowid`,
    sql`alter table store_state add column oldest_reader integer not null default 0`,
  ];
  for (const statement of statements) await statement.execute(db);
}

async function gateways(db: Kysely<unknown>): Promise<void> {
  const statements = [
    sql`create table gateway_place (
      cluster text not null, instance text not null, seq integer not null, at integer not null,
      primary key (cluster, instance)) strict, without rowid`,
    sql`create index gateway_place_at on gateway_place (at)`,
    // Tokens name their Secret by it.
    sql`create index bound_secret_uid on bound_secret (uid) where uid is not null`,
  ];
  for (const statement of statements) await statement.execute(db);
}

/** Whether it was moved to another database, or is a copy. */
async function moved(db: Kysely<unknown>): Promise<void> {
  await sql`alter table store_state add column moved text`.execute(db);
}

/** Which declaration that all is over an epoch began with. */
async function epochs(db: Kysely<unknown>): Promise<void> {
  await sql`alter table store_state add column epoch_id text`.execute(db);
}

/** Keys of before sign at once, and tokens of a day are longer than any that is out. */
export const KEY_TIMES = [
  'alter table signing_key add column sign_from bigint not null default 0',
  'alter table signing_key add column longest_token bigint not null default 86400',
] as const;

async function keyTimes(db: Kysely<unknown>): Promise<void> {
  for (const statement of KEY_TIMES) await sql.raw(statement.replace('bigint', 'integer')).execute(db);
}

async function connections(db: Kysely<unknown>): Promise<void> {
  const statements = [
    sql`create table connection (
      id text primary key, sid text not null, judged_sid text not null, target text not null, kind text not null,
      account text, address text not null, since integer not null, seen integer not null) strict, without rowid`,
    sql`create index connection_judged on connection (judged_sid, since)`,
    sql`create index connection_seen on connection (seen)`,
  ];
  for (const statement of statements) await statement.execute(db);
}

async function sshCa(db: Kysely<unknown>): Promise<void> {
  await sql`create table ssh_ca_key (
    kid text primary key, public_key text not null, sealed blob not null, created_at integer not null,
    printed text not null) strict`.execute(db);
}

/** Rows of 0.1.0 get their place in the chain; from here on a change to them is found. @returns the newest */
async function chainOldRows(db: Kysely<Schema>): Promise<Link> {
  let link = GENESIS;
  for (;;) {
    const rows = await db
      .selectFrom('audit')
      .select(['seq', 'data'])
      .where('seq', '>', link.seq)
      .orderBy('seq')
      .limit(500)
      .execute();
    for (const { seq, data } of rows) {
      link = linkOf({ ...link, seq: seq - 1 }, data);
      await db.updateTable('audit').set({ hash: link.hash }).where('seq', '=', seq).execute();
    }
    if (rows.length === 0) return link;
  }
}

/** In order; a landed migration never changes. @param sealer seals rows that stood there before there was a chain, as they are */
export function migrationsWith(sealer: Sealer): Readonly<Record<(typeof MIGRATIONS)[number], Migration>> {
  return {
    '0001_first': { up: first },
    '0002_ends': {
      up: async (db: Kysely<unknown>) => {
        await second(db);
        const now = db as Kysely<Schema>;
        await writeHead(now, await chainOldRows(now), sealer);
      },
    },
    '0003_signals': { up: third },
    '0004_sound': { up: fourth },
    '0005_feed': declared('0005_feed', fifth),
    '0006_gateways': declared('0006_gateways', gateways),
    // A function of PostgreSQL alone.
    '0007_renewals': declared('0007_renewals', async () => {}),
    '0008_moved': declared('0008_moved', moved),
    '0009_epochs': declared('0009_epochs', epochs),
    '0010_key_times': declared('0010_key_times', keyTimes),
    '0011_connections': declared('0011_connections', connections),
    '0012_ssh_ca': declared('0012_ssh_ca', sshCa),
    '0013_session_roles': declared('0013_session_roles', sessionRoles),
  };
}

/**
 * Whose programs may go on with the tables as each migration leaves them: those of this version and later. During an upgrade the version
 * before and this one run side by side, so a migration mostly names the version before its own (docs/decisions/schema-versions.md).
 */
const OLDEST_READERS: Readonly<Record<Exclude<(typeof MIGRATIONS)[number], (typeof UNDECLARED)[number]>, number>> = {
  '0005_feed': 5,
  '0006_gateways': 5,
  '0007_renewals': 5,
  '0008_moved': 5,
  '0009_epochs': 5,
  '0010_key_times': 5,
  '0011_connections': 5,
  '0012_ssh_ca': 5,
  '0013_session_roles': 5,
};

/** From before versions ran side by side. */
const UNDECLARED = ['0001_first', '0002_ends', '0003_signals', '0004_sound'] as const;

/** A migration that leaves in the store who may go on with it. */
export function declared(name: keyof typeof OLDEST_READERS, up: (db: Kysely<unknown>) => Promise<void>): Migration {
  return {
    async up(db: Kysely<unknown>) {
      await up(db);
      await (db as Kysely<Schema>).updateTable('store_state').set({ oldest_reader: OLDEST_READERS[name] }).execute();
    },
  };
}

/** What a store of this version has been through. */
export const MIGRATIONS = [
  '0001_first',
  '0002_ends',
  '0003_signals',
  '0004_sound',
  '0005_feed',
  '0006_gateways',
  '0007_renewals',
  '0008_moved',
  '0009_epochs',
  '0010_key_times',
  '0011_connections',
  '0012_ssh_ca',
  '0013_session_roles',
] as const;
