// A SET from a transmitter, pushed or polled: what its events do by the policy, durably before it is acknowledged.

import { CurfewError } from '../../shared/errors.ts';
import type { Seconds } from '../../shared/time.ts';
import type { MatchedBy, SignalSource } from '../audit_log/events.ts';
import {
  type Action,
  endReasonOf,
  isKnownType,
  type Signal,
  STREAM_UPDATED,
  signalOfType,
  VERIFICATION,
} from '../audit_log/signals.ts';
import type { Broker } from '../broker.ts';
import { requireTime } from '../clock/clock.ts';
import type { Config, Transmitter } from '../config/settings.ts';
import { isKnown, knowsIdpSessions, type Meant } from '../sessions/meant.ts';
import { peopleNamed } from '../sessions/people.ts';
import type { Transaction } from '../store/store.ts';
import { isName } from '../text/names.ts';
import { act, receiveOnce, type SignalParts, sayUnmatched } from './act.ts';
import { type SecurityEvent, type SecurityEventToken, verifySet } from './set.ts';
import { type Named, readSubject } from './subject.ts';

/** Where it came from. */
export interface Delivery {
  readonly source: Extract<SignalSource, 'push' | 'poll'>;
  readonly transmitter: Transmitter;
  readonly address?: string | undefined;
}

/**
 * @returns its `jti`; also for one that was received before, or that is about nobody here: it is to be acknowledged
 * @throws CurfewError `set_*`: it is to be refused, and did nothing; `identity_provider` or `store`: it may come again
 */
export async function receiveSet(broker: SignalParts, text: string, delivery: Delivery): Promise<string> {
  const { transmitters, store, log, now } = broker;
  requireTime(broker);
  const { transmitter } = delivery;
  const set = await verifySet(text, transmitter, transmitters.signerOf(transmitter), now());
  const heeded = set.events.map((event) => heed(event, broker.config, transmitter));
  const unmatched = await store.transaction(async (transaction) => {
    const nobody: string[] = [];
    if (!(await receiveOnce(transaction, 'set', set))) return nobody;
    for (const one of heeded) {
      if (!(await obey(transaction, broker, set, one, delivery, now()))) nobody.push(one.event.type);
    }
    return nobody;
  });
  const about = { source: delivery.source, transmitter: transmitter.issuer, jti: set.jti };
  for (const type of unmatched) sayUnmatched(log, { ...about, type });
  for (const { event } of heeded) sayEvent(log, event, about);
  return set.jti;
}

function sayEvent(
  log: Broker['log'],
  { type, payload }: SecurityEvent,
  about: Readonly<Record<string, unknown>>,
): void {
  if (type === VERIFICATION) log.info(about, 'the stream was verified');
  else if (type === STREAM_UPDATED) {
    const status = isName(payload.status, 40) ? payload.status : 'unknown';
    log.warn({ ...about, status }, 'the transmitter changed the stream');
  } else if (!isKnownType(type)) log.warn({ ...about, type }, 'an event of a type that is not known here does nothing');
}

/** An event, what it does, and to whom. */
interface Heeded {
  readonly event: SecurityEvent;
  readonly signal?: Signal | undefined;
  readonly action: Action;
  /** Absent where it does nothing here. */
  readonly named?: Named | undefined;
}

/** @throws CurfewError `set_subject` or `set_not_allowed` where one would act and it cannot be told on whom */
function heed(event: SecurityEvent, config: Config, { issuers }: Transmitter): Heeded {
  const signal = signalOfType(event.type);
  const action = signal === undefined ? 'ignore' : actionOf(signal, event, config);
  if (signal === undefined || action === 'ignore') return { event, signal, action: 'ignore' };
  const { issuer, username_claim } = config.identity_provider;
  const named = readSubject(event.subject, { issuer, issuers, by_email: username_claim === 'email' });
  return named === 'elsewhere' ? { event, signal, action: 'ignore' } : { event, signal, action, named };
}

/** Only what makes things worse acts: what is not said counts as worse (CAEP 1.0 3.3, 3.4, 3.8). */
function actionOf(signal: Signal, { payload }: SecurityEvent, { policy }: Config): Action {
  if (signal === 'device-compliance-change' && payload.current_status === 'compliant') return 'ignore';
  if (signal === 'assurance-level-change' && payload.change_direction === 'increase') return 'ignore';
  if (signal === 'risk-level-change' && payload.current_level === 'LOW') return 'ignore';
  return policy.signals[signal];
}

/** @returns false where it was to act, and nobody here or no session is known by what it names */
async function obey(
  transaction: Transaction,
  broker: SignalParts,
  set: SecurityEventToken,
  { event, signal, action, named }: Heeded,
  { source, address }: Delivery,
  now: Seconds,
): Promise<boolean> {
  const { iss: issuer, jti } = set;
  const row = { event: 'signal', at: now, address, source, issuer, type: event.type, jti, action } as const;
  if (!signal || !named) {
    await transaction.audit({ ...row, sessions: 0 });
    return true;
  }
  const { meant, matched_by } = await whoIs(transaction, broker.config, named);
  if (meant.length === 0) await transaction.audit({ ...row, idp_sid: named.idp_sid, sessions: 0, unmatched: true });
  let all_known = meant.length > 0;
  for (const one of meant) {
    const known = await isKnown(transaction, one);
    const end = { action, reason: endReasonOf(signal), ...(address !== undefined && { address }) };
    const sessions = await act(transaction, broker, one, end, now);
    const { iss, sub, idp_sid } = one;
    await transaction.audit({ ...row, iss, sub, idp_sid, sessions, matched_by, ...(!known && { unmatched: true }) });
    all_known &&= known;
  }
  return all_known;
}

interface Found {
  /** None for a name by which nobody is known. */
  readonly meant: readonly Meant[];
  readonly matched_by?: MatchedBy | undefined;
}

async function whoIs(transaction: Transaction, config: Config, named: Named): Promise<Found> {
  const { issuer: iss, username_prefix } = config.identity_provider;
  const { sub, email, idp_sid } = named;
  if (sub !== undefined) return { meant: [{ iss, sub, idp_sid }] };
  if (email !== undefined) {
    const { subs, matched_by } = await peopleNamed(transaction, iss, username_prefix + email);
    return { meant: subs.map((one) => ({ iss, sub: one, idp_sid })), matched_by };
  }
  if (idp_sid === undefined) throw new TypeError('a subject that names nobody');
  if (!(await knowsIdpSessions(transaction, iss))) {
    throw new CurfewError(
      'set_subject',
      'the subject is a session, and the ID tokens of the identity provider carry no sid',
    );
  }
  return { meant: [{ iss, idp_sid }] };
}
