// The Secrets of sessions, as the store knows them: a row is there before its Secret, and goes after it. So whatever happens in
// between, none is forgotten.

import { createHash, randomBytes } from 'node:crypto';
import type { Selectable } from 'kysely';
import { decide } from '../../shared/decide.ts';
import { withYields } from '../../shared/policy.ts';
import type { Seconds } from '../../shared/time.ts';
import { clusterLimits } from '../config/clusters.ts';
import type { Cluster, Config, ServiceAccountMapping } from '../config/settings.ts';
import { mayLogIn, mayUse } from '../policy/admission.ts';
import { serviceAccountOf } from '../policy/service_accounts.ts';
import type { Transaction } from '../store/store.ts';
import type { BoundSecretTable } from '../store/tables.ts';
import { factsOf } from './limits.ts';
import type { Session, Who } from './session.ts';

export type BoundSecret = Readonly<Selectable<BoundSecretTable>>;

/** On each Secret, so that another broker's are left alone. A label's value is short and has few characters. */
export function labelsOf({ issuer }: Pick<Config, 'issuer'>): Readonly<Record<string, string>> {
  const hash = createHash('sha256').update(issuer).digest('hex').slice(0, 32);
  return { 'app.kubernetes.io/managed-by': 'curfew-broker', 'curfew.internal/issuer': hash };
}

/** Whose session it is, for whoever reads the cluster's audit log. */
export function annotationsOf({ issuer }: Pick<Config, 'issuer'>, { sid, username, iss, sub }: Who) {
  return {
    'curfew.internal/username': username,
    'curfew.internal/session-id': sid,
    'curfew.internal/person': JSON.stringify({ iss, sub }),
    'curfew.internal/broker': issuer,
  };
}

/**
 * The Secret for the tokens of a session at a cluster: the one there is, or one that is to be made.
 *
 * @param session_end when it is to go unless the session is used again
 */
export async function holdSecret(
  { db }: Transaction,
  { sid }: Pick<Session, 'sid'>,
  { name: cluster }: Cluster,
  { namespace, name: service_account }: ServiceAccountMapping,
  session_end: Seconds,
  now: Seconds,
): Promise<BoundSecret> {
  const known = await db
    .selectFrom('bound_secret')
    .selectAll()
    .where('sid', '=', sid)
    .where('cluster', '=', cluster)
    .where('doomed', '=', 0)
    .executeTakeFirst();
  if (known && known.namespace === namespace && known.service_account === service_account) {
    const times = { over_at: session_end, next_at: session_end };
    await db.updateTable('bound_secret').set(times).where('name', '=', known.name).execute();
    return { ...known, ...times };
  }
  // Whom the person acts as has changed: tokens of before must not go on.
  if (known) await db.updateTable('bound_secret').set(toBeDeleted(now)).where('name', '=', known.name).execute();
  const name = `curfew-${randomBytes(16).toString('hex')}`;
  const row = { name, cluster, namespace, service_account, sid, uid: null, doomed: 0, attempts: 0 } as const;
  const fresh = { ...row, over_at: session_end, next_at: session_end };
  await db.insertInto('bound_secret').values(fresh).execute();
  return fresh;
}

function toBeDeleted(now: Seconds) {
  return { doomed: 1, over_at: now, next_at: now } as const;
}

/** A Secret is to go, whatever its session does. */
export async function deleteSecretSoon({ db }: Transaction, name: string, now: Seconds): Promise<void> {
  await db.updateTable('bound_secret').set(toBeDeleted(now)).where('name', '=', name).execute();
}

/**
 * Remembers which Secret was made under a name; one that is to go since then goes, be its row still there or not.
 *
 * @returns false when it is to go: then nothing may be bound to it
 */
export async function keepUid({ db }: Transaction, secret: BoundSecret & { uid: string }, now: Seconds) {
  const { name, uid } = secret;
  const kept = db.updateTable('bound_secret').set({ uid }).where('name', '=', name).where('doomed', '=', 0);
  if ((await kept.executeTakeFirst()).numUpdatedRows === 1n) return true;
  const gone = { ...toBeDeleted(now), uid };
  await db
    .insertInto('bound_secret')
    .values({ ...secret, ...gone })
    .onConflict((conflict) => conflict.column('name').doUpdateSet(gone))
    .execute();
  return false;
}

/** Those of a cluster by what tokens name, also those that are to go. */
export async function secretsByUid(
  db: Transaction['db'],
  { name: cluster }: Pick<Cluster, 'name'>,
  uids: readonly string[],
): Promise<ReadonlyMap<string, BoundSecret>> {
  if (uids.length === 0) return new Map();
  const found = db.selectFrom('bound_secret').selectAll().where('uid', 'in', uids);
  const rows = await found.where('cluster', '=', cluster).execute();
  return new Map(rows.flatMap((row) => (row.uid === null ? [] : [[row.uid, row]])));
}

/** Whether a Secret is still that of the session, so that what is bound to it dies with that. */
export async function isHeld({ db }: Transaction, { name, uid }: BoundSecret, { sid }: Pick<Session, 'sid'>) {
  const held = db.selectFrom('bound_secret').select('name').where('name', '=', name).where('doomed', '=', 0);
  return (await held.where('sid', '=', sid).where('uid', '=', uid).executeTakeFirst()) !== undefined;
}

/** What becomes of a Secret is looked at with the next round, not only when its session was to end. */
export async function reviewSoon({ db }: Transaction, { name }: BoundSecret, now: Seconds): Promise<void> {
  const held = db.updateTable('bound_secret').set({ next_at: now }).where('name', '=', name);
  await held.where('doomed', '=', 0).execute();
}

/** How many are to be gone by now, by cluster. */
export async function countOverdue(db: Transaction['db'], now: Seconds): Promise<ReadonlyMap<string, number>> {
  const rows = await db
    .selectFrom('bound_secret')
    .select(({ fn }) => ['cluster', fn.countAll<number>().as('count')])
    .where('over_at', '<=', now)
    .groupBy('cluster')
    .execute();
  return new Map(rows.map(({ cluster, count }) => [cluster, count]));
}

/**
 * What becomes of a Secret now: it goes if its session is over, or over for this cluster, or acts as somebody else there; else it
 * is looked at again when that is to be.
 *
 * @param session with uses that are not written yet; `undefined` when there is none any more
 * @returns whether it is to go
 */
export async function reviewSecret(
  { db }: Transaction,
  config: Config,
  secret: BoundSecret,
  session: Session | undefined,
  now: Seconds,
): Promise<boolean> {
  if (secret.doomed === 1) return true;
  const end = session ? endOf(config, secret, session, now) : undefined;
  const change = end === undefined ? toBeDeleted(now) : { over_at: end, next_at: end };
  if (end !== secret.over_at) {
    await db.updateTable('bound_secret').set(change).where('name', '=', secret.name).execute();
  }
  return end === undefined;
}

/** @returns when it is over, or `undefined` when it is */
function endOf(config: Config, secret: BoundSecret, session: Session, now: Seconds): Seconds | undefined {
  const cluster = config.clusters.find(({ name }) => name === secret.cluster);
  const groups = session.idp_groups;
  if (!cluster || !mayLogIn(config, session) || !mayUse(cluster, groups)) return undefined;
  const account = serviceAccountOf(cluster, groups);
  if (account?.namespace !== secret.namespace || account.name !== secret.service_account) return undefined;
  const limits = withYields(clusterLimits(config, cluster), { cluster: cluster.name }, session.yields);
  const verdict = decide(limits, factsOf(session), now);
  return verdict.allow ? verdict.session_end : undefined;
}

/** Of the table `bound_secret`, in the order in which they are to be looked at. */
export function dueSecrets(db: Transaction['db'], now: Seconds, most: number): Promise<readonly BoundSecret[]> {
  const due = db.selectFrom('bound_secret').selectAll().where('next_at', '<=', now);
  return due.orderBy('over_at').limit(most).execute();
}

/** Those of sessions that may be active, by name, from one on. */
export function heldSecrets(db: Transaction['db'], after: string, most: number): Promise<readonly BoundSecret[]> {
  const held = db.selectFrom('bound_secret').selectAll().where('doomed', '=', 0).where('name', '>', after);
  return held.orderBy('name').limit(most).execute();
}

/** It is gone. */
export async function forgetSecret({ db }: Transaction, name: string): Promise<void> {
  await db.deleteFrom('bound_secret').where('name', '=', name).execute();
}

/** It is looked at again then. */
export async function postponeSecret({ db }: Transaction, name: string, next_at: Seconds): Promise<void> {
  await db.updateTable('bound_secret').set({ next_at }).where('name', '=', name).execute();
}

/** All that are to go in a cluster wait until then. */
export async function postponeCluster(
  { db }: Transaction,
  cluster: string,
  { next_at, attempts }: Pick<BoundSecret, 'next_at' | 'attempts'>,
): Promise<void> {
  const waiting = db.updateTable('bound_secret').set({ next_at, attempts });
  await waiting.where('cluster', '=', cluster).where('doomed', '=', 1).execute();
}

/** Writes down Secrets that no row knows: they are to go. @returns how many there are */
export async function adoptUnknown(
  { db }: Transaction,
  cluster: string,
  found: readonly { readonly namespace: string; readonly name: string; readonly uid: string }[],
  now: Seconds,
): Promise<number> {
  let count = 0;
  for (const { namespace, name, uid } of found) {
    const row = { name, cluster, namespace, service_account: '', sid: '', uid, doomed: 1 } as const;
    const { numInsertedOrUpdatedRows } = await db
      .insertInto('bound_secret')
      .values({ ...row, over_at: now, next_at: now, attempts: 0 })
      .onConflict((conflict) => conflict.doNothing())
      .executeTakeFirst();
    count += Number(numInsertedOrUpdatedRows ?? 0n);
  }
  return count;
}
