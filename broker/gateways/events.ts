// What became of streams, into the audit log: each event once, however often it is sent, and acknowledged when it is on disk.

import type { ClusterStream, EventsReply, EventsReport, GatewayEvent } from '../../shared/gateway_events.ts';
import { between, type Seconds, seconds } from '../../shared/time.ts';
import type { AuditEvent } from '../audit_log/events.ts';
import type { Broker } from '../broker.ts';
import { Allowance } from '../refusals/allowance.ts';
import { findAll } from '../sessions/find.ts';
import type { Session } from '../sessions/session.ts';
import type { Transaction } from '../store/store.ts';
import type { GatewayCluster } from './caller.ts';

/** Of one cluster: what comes beyond it is counted in a row, as a gateway that was taken over must not fill the disk. */
const ROWS = { at_once: 10_000, a_minute: 6_000 };
/** An event says that it was no longer ago than this, in seconds. */
const OLDEST = seconds(30 * 86_400);

export type EventParts = Pick<Broker, 'store' | 'now'>;

export class StreamEvents {
  readonly #allowances = new Map<string, Allowance>();

  /** @throws CurfewError `store`: none of them is acknowledged */
  async record(
    { store, now }: EventParts,
    cluster: GatewayCluster,
    { instance, first, events }: EventsReport,
  ): Promise<EventsReply> {
    const sids = events.flatMap((event) => (event.type === 'lost' ? [] : [event.sid]));
    const found = sids.length === 0 ? [] : await store.read((db) => findAll(db, sids));
    const sessions = new Map(found.map((session) => [session.sid, session]));
    const allowed = this.#allow(cluster.name, events.length, now());
    return store.transaction(async (transaction) => {
      const place = await lastRecorded(transaction, cluster.name, instance);
      const last = first + events.length - 1;
      if (last <= place) return { acknowledged: place };
      const at = now();
      const wanted = events.slice(Math.max(0, place + 1 - first)).filter((event) => isRecorded(event, cluster));
      const about = { cluster: cluster.name, gateway: instance };
      for (const event of wanted.slice(0, allowed)) await transaction.audit(rowOf(event, about, sessions, at));
      const lost = wanted.length - Math.min(allowed, wanted.length);
      if (lost > 0) await transaction.audit({ event: 'streams_lost', at, ...about, count: lost });
      await keepPlace(transaction, cluster.name, instance, last, at);
      return { acknowledged: last };
    });
  }

  #allow(cluster: string, count: number, now: Seconds): number {
    const allowance = this.#allowances.get(cluster) ?? new Allowance(ROWS);
    this.#allowances.set(cluster, allowance);
    let allowed = 0;
    while (allowed < count && allowance.take(now)) allowed += 1;
    return allowed;
  }
}

type ClusterEvent = Extract<GatewayEvent, ClusterStream | { readonly type: 'lost' }>;

function isRecorded(event: GatewayEvent, { gateway }: GatewayCluster): event is ClusterEvent {
  return event.type === 'lost' || gateway.record.some((kind) => kind === event.kind);
}

function rowOf(
  event: ClusterEvent,
  about: { readonly cluster: string; readonly gateway: string },
  sessions: ReadonlyMap<string, Session>,
  now: Seconds,
): AuditEvent {
  const age = Math.min(OLDEST, Math.floor(event.age_ms / 1000));
  if (event.type === 'lost') return { event: 'streams_lost', at: now, ...about, count: event.count };
  const times = { at: now, happened_at: between(seconds(age), now) };
  const { sid, stream, kind, namespace, resource, name } = event;
  const { iss, sub, username } = sessions.get(sid) ?? {};
  const about_it = { stream, kind, namespace, resource, name };
  const row = { event: 'stream', step: event.type, ...times, sid, iss, sub, username, ...about, ...about_it } as const;
  if (event.type === 'opened') return row;
  const { seconds: length, bytes_sent, bytes_received } = event;
  const reason = event.type === 'cut' ? event.reason : undefined;
  return { ...row, seconds: length, bytes_sent, bytes_received, reason };
}

/** Held until the transaction is over: the same report may be under way twice. */
async function lastRecorded({ db, hold }: Transaction, cluster: string, instance: string): Promise<number> {
  await hold([`gateway ${JSON.stringify([cluster, instance])}`]);
  const known = db.selectFrom('gateway_place').select('seq').where('cluster', '=', cluster);
  return (await known.where('instance', '=', instance).executeTakeFirst())?.seq ?? 0;
}

async function keepPlace(
  { db }: Transaction,
  cluster: string,
  instance: string,
  seq: number,
  at: Seconds,
): Promise<void> {
  await db
    .insertInto('gateway_place')
    .values({ cluster, instance, seq, at })
    .onConflict((conflict) => conflict.columns(['cluster', 'instance']).doUpdateSet({ seq, at }))
    .execute();
}

/** Of gateways that have told nothing since an instant: a process that ended does not come back. */
export async function forgetGateways({ db }: Transaction, before: Seconds): Promise<void> {
  await db.deleteFrom('gateway_place').where('at', '<', before).execute();
}
