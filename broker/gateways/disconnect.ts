// The end of a connection to a target, as the audit log has it: once, be it told by its gateway or not heard of any more.

import type { TargetKind } from '../../shared/targets.ts';
import type { Seconds } from '../../shared/time.ts';
import { type DisconnectEvent, GATEWAY_LOST } from '../audit_log/events.ts';
import { type Connection, closeConnections, lostConnections } from '../sessions/connections.ts';
import { findAll } from '../sessions/find.ts';
import type { Session } from '../sessions/session.ts';
import type { Transaction } from '../store/store.ts';

/** Whose sessions they are. */
export async function whoOf(
  { db }: Pick<Transaction, 'db'>,
  connections: readonly Connection[],
): Promise<ReadonlyMap<string, Session>> {
  if (connections.length === 0) return new Map();
  const sessions = await findAll(db, [...new Set(connections.map(({ sid }) => sid))]);
  return new Map(sessions.map((session) => [session.sid, session]));
}

/** What is known of it by what was written as it was made. */
export function disconnectOf(
  { id, sid, target, kind, account, address }: Connection,
  whose: ReadonlyMap<string, Session>,
): Omit<DisconnectEvent, 'at' | 'happened_at'> {
  const { iss, sub, username, jkt } = whose.get(sid) ?? {};
  return {
    event: 'disconnect',
    sid,
    iss,
    sub,
    username,
    jkt,
    address,
    connection: id,
    target,
    kind: kind as TargetKind,
    account: account ?? undefined,
  };
}

/** Those whose gateway is gone, as nothing was heard of them for 10 min. @returns how many: less than `most` where there are no more */
export async function forgetConnections(transaction: Transaction, now: Seconds, most: number): Promise<number> {
  const lost = await lostConnections(transaction, now, most);
  const closed = await closeConnections(
    transaction,
    lost.map(({ id }) => id),
  );
  const whose = await whoOf(transaction, closed);
  for (const connection of closed) {
    await transaction.audit({
      ...disconnectOf(connection, whose),
      ...{ at: now, happened_at: connection.seen, reason: GATEWAY_LOST },
    });
  }
  return closed.length;
}
