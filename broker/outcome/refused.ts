// A refusal: the value that the caller is told, and its row in the audit log.

import type { Denied } from '../../shared/decide.ts';
import type { Code } from '../../shared/errors.ts';
import { sayDenial } from '../../shared/messages.ts';
import type { WireSession } from '../../shared/wire.ts';
import type { Asking, RefusalEvent } from '../audit_log/events.ts';
import type { Broker } from '../broker.ts';
import type { Asked, Unresolved } from '../policy/target.ts';
import type { Transaction } from '../store/store.ts';

/** A denial as a value: what the caller is told. It is in the audit log already. */
export interface Refused {
  readonly refused: Code;
  readonly message: string;
  readonly denied?: Denied | undefined;
  /** Told to the holder of the session's key only. */
  readonly session?: WireSession | undefined;
  /** After how many seconds the same may be tried again. */
  readonly retry_after?: number | undefined;
}

/** Writes the refusal into the audit log and makes the answer of it. */
export async function refuse(
  transaction: Transaction,
  event: Omit<RefusalEvent, 'event' | 'reason'>,
  refused: Code,
  message: string,
): Promise<Refused> {
  await transaction.audit({ ...event, event: 'refusal', reason: refused });
  return { refused, message };
}

/** Writes the refusal of a caller that is not known into the audit log: one row for each kind and address within a minute. */
export function recordStranger(
  broker: Pick<Broker, 'store' | 'refusals' | 'now'>,
  grant: Asking,
  reason: Code,
  address: string,
): Promise<void> {
  return countRefusal(broker, { grant, at: broker.now(), address, reason });
}

/** Counts a refusal that anybody can cause as often as they like; without waiting for the store, unless it has a row of its own. */
export async function countRefusal(
  { store, refusals }: Pick<Broker, 'store' | 'refusals'>,
  event: Omit<RefusalEvent, 'event'>,
): Promise<void> {
  const row = refusals.note({ ...event, event: 'refusal' });
  if (row) await store.transaction((transaction) => transaction.audit(row));
}

/** A refusal because the target cannot be judged. */
export function refuseUnresolved(
  transaction: Transaction,
  event: Omit<RefusalEvent, 'event' | 'reason'>,
  { refused, message, ...facts }: Unresolved,
): Promise<Refused> {
  return refuse(transaction, { ...event, ...facts }, refused, message);
}

/** A refusal by the engine's verdict, with what the holder of the session may know of it. */
export async function refuseByVerdict(
  transaction: Transaction,
  event: Omit<RefusalEvent, 'event' | 'reason'>,
  denied: Denied,
  asked: Asked,
  session?: WireSession,
): Promise<Refused> {
  const { end_reason, reason } = denied;
  const facts = { segment: asked.limits.segment, limits: asked.limits.target, end_reason };
  const refusal = await refuse(transaction, { ...event, ...facts }, reason, sayDenial(denied));
  return { ...refusal, denied, session };
}
