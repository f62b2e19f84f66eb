// What became of streams and connections, into the audit log: each event once, however often it is sent, and acknowledged when it is on disk.

import {
  type ClusterStream,
  type EventsReply,
  type EventsReport,
  type GatewayEvent,
  isClusterStreamKind,
  type StreamSum,
} from '../../shared/gateway_events.ts';
import { between, type Seconds, seconds } from '../../shared/time.ts';
import type { AuditEvent } from '../audit_log/events.ts';
import type { Broker } from '../broker.ts';
import { Allowance } from '../refusals/allowance.ts';
import { closeConnections } from '../sessions/connections.ts';
import { findAll } from '../sessions/find.ts';
import type { Session } from '../sessions/session.ts';
import type { Transaction } from '../store/store.ts';
import type { GatewayCaller, GatewayCluster } from './caller.ts';
import { disconnectOf, whoOf } from './disconnect.ts';

/** Of one cluster: what comes beyond it is counted in a row, as a gateway that was taken over must not fill the disk. */
const ROWS = { at_once: 10_000, a_minute: 6_000 };
/** An event says that it was no longer ago than this, in seconds. */
const OLDEST = seconds(30 * 86_400);

export type EventParts = Pick<Broker, 'store' | 'now'>;

export interface Recorded extends EventsReply {
  /** Ends of connections that were not open: they are told of later than 10 min after they were heard of last. */
  readonly unmatched: number;
}

export class StreamEvents {
  readonly #allowances = new Map<string, Allowance>();

  /** @throws CurfewError `store`: none of them is acknowledged */
  async record(
    { store, now }: EventParts,
    gateway: GatewayCaller,
    { instance, first, events }: EventsReport,
  ): Promise<Recorded> {
    const { name } = gateway;
    const allowed = this.#allow(name, events.length, now());
    return store.transaction(async (transaction) => {
      const place = await lastRecorded(transaction, name, instance);
      const last = first + events.length - 1;
      if (last <= place) return { acknowledged: place, unmatched: 0 };
      const at = now();
      const fresh = events.slice(Math.max(0, place + 1 - first));
      const unmatched =
        gateway.kind === 'cluster'
          ? await recordStreams(transaction, gateway.cluster, fresh, { instance, allowed, at })
          : await recordConnections(transaction, fresh, { instance, at });
      await keepPlace(transaction, name, instance, last, at);
      return { acknowledged: last, unmatched };
    });
  }

  #allow(name: string, count: number, now: Seconds): number {
    const allowance = this.#allowances.get(name) ?? new Allowance(ROWS);
    this.#allowances.set(name, allowance);
    let allowed = 0;
    while (allowed < count && allowance.take(now)) allowed += 1;
    return allowed;
  }
}

type StreamOfCluster = GatewayEvent & { readonly type: 'opened' | 'closed' | 'cut' } & ClusterStream;

/** @returns 0: nothing of them has to match anything */
async function recordStreams(
  transaction: Transaction,
  { name, gateway: { record } }: GatewayCluster,
  events: readonly GatewayEvent[],
  { instance, allowed, at }: { readonly instance: string; readonly allowed: number; readonly at: Seconds },
): Promise<number> {
  const about = { cluster: name, gateway: instance };
  const wanted = events.filter((event) => event.type === 'lost' || (isOfCluster(event) && record.includes(event.kind)));
  const sids = wanted.flatMap((event) => (event.type === 'lost' ? [] : [event.sid]));
  const found = sids.length === 0 ? [] : await findAll(transaction.db, sids);
  const sessions = new Map(found.map((session) => [session.sid, session]));
  for (const event of wanted.slice(0, allowed)) {
    if (event.type === 'lost') await transaction.audit({ event: 'streams_lost', at, ...about, count: event.count });
    else if (isOfCluster(event)) await transaction.audit(rowOf(event, about, sessions, at));
  }
  const lost = wanted.length - Math.min(allowed, wanted.length);
  if (lost > 0) await transaction.audit({ event: 'streams_lost', at, ...about, count: lost });
  return 0;
}

function isOfCluster(event: GatewayEvent): event is StreamOfCluster {
  return event.type !== 'lost' && isClusterStreamKind(event.kind);
}

function rowOf(
  event: StreamOfCluster,
  about: { readonly cluster: string; readonly gateway: string },
  sessions: ReadonlyMap<string, Session>,
  now: Seconds,
): AuditEvent {
  const times = { at: now, happened_at: happenedAt(event, now) };
  const { sid, stream, kind, namespace, resource, name } = event;
  const { iss, sub, username } = sessions.get(sid) ?? {};
  const about_it = { stream, kind, namespace, resource, name };
  const row = { event: 'stream', step: event.type, ...times, sid, iss, sub, username, ...about, ...about_it } as const;
  if (event.type === 'opened') return row;
  return { ...row, ...sumOf(event), reason: event.type === 'cut' ? event.reason : undefined };
}

function happenedAt({ age_ms }: GatewayEvent, now: Seconds): Seconds {
  return between(seconds(Math.min(OLDEST, Math.floor(age_ms / 1000))), now);
}

function sumOf({ seconds: length, bytes_sent, bytes_received }: StreamSum): StreamSum {
  return { seconds: length, bytes_sent, bytes_received };
}

/**
 * Connections that are over. As many rows as there were connections, whatever is told: whose they were, and what they led to, is what the
 * broker wrote down as they were made, and no word of the gateway.
 *
 * @returns how many ends are told of connections that are not open
 */
async function recordConnections(
  transaction: Transaction,
  events: readonly GatewayEvent[],
  { instance, at }: { readonly instance: string; readonly at: Seconds },
): Promise<number> {
  const over = events.filter((event) => (event.type === 'closed' || event.type === 'cut') && !isOfCluster(event));
  const closed = await closeConnections(
    transaction,
    over.map(({ stream }) => stream),
  );
  const whose = await whoOf(transaction, closed);
  const open = new Map(closed.map((connection) => [connection.id, connection]));
  for (const event of events) {
    if (event.type === 'lost')
      await transaction.audit({ event: 'streams_lost', at, gateway: instance, count: event.count });
    if (event.type !== 'closed' && event.type !== 'cut') continue;
    const connection = open.get(event.stream);
    if (!connection || !open.delete(event.stream)) continue;
    await transaction.audit({
      ...disconnectOf(connection, whose),
      ...{ at, happened_at: happenedAt(event, at), gateway: instance, ...sumOf(event) },
      reason: event.type === 'cut' ? event.reason : undefined,
    });
  }
  return over.length - closed.length;
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
