// A SET from a transmitter, pushed or polled: what its events do by the policy, durably before it is acknowledged.

import { CurfewError } from '../../shared/errors.ts';
import type { Seconds } from '../../shared/time.ts';
import type { SignalSource } from '../audit.ts';
import type { Broker } from '../broker.ts';
import { requireTime } from '../clock.ts';
import type { Config, Transmitter } from '../config.ts';
import { isName } from '../names.ts';
import type { Transaction } from '../store/store.ts';
import { type Action, endReasonOf, type Signal, STREAM_UPDATED, signalOfType, VERIFICATION } from './events.ts';
import { act, knowsIdpSessions, type Meant, receiveOnce } from './received.ts';
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
export async function receiveSet(broker: Broker, text: string, delivery: Delivery): Promise<string> {
  const { transmitters, store, log, now } = broker;
  requireTime(broker);
  const { transmitter } = delivery;
  const set = await verifySet(text, transmitter, transmitters.signerOf(transmitter), now());
  const heeded = set.events.map((event) => heed(event, broker.config, transmitter));
  await store.transaction(async (transaction) => {
    if (!(await receiveOnce(transaction, set))) return;
    for (const one of heeded) await obey(transaction, broker, set, one, delivery, now());
  });
  for (const { event } of heeded) {
    if (event.type === VERIFICATION) log.info({ transmitter: transmitter.issuer }, 'the stream was verified');
    if (event.type === STREAM_UPDATED) {
      const status = isName(event.payload.status, 40) ? event.payload.status : 'unknown';
      log.warn({ transmitter: transmitter.issuer, status }, 'the transmitter changed the stream');
    }
  }
  return set.jti;
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

/** Only what makes things worse acts: what is not said counts as worse (CAEP 1.0 3.3, 3.4). */
function actionOf(signal: Signal, { payload }: SecurityEvent, { policy }: Config): Action {
  if (signal === 'device-compliance-change' && payload.current_status === 'compliant') return 'ignore';
  if (signal === 'assurance-level-change' && payload.change_direction === 'increase') return 'ignore';
  return policy.signals[signal];
}

async function obey(
  transaction: Transaction,
  broker: Broker,
  { iss: issuer, jti }: SecurityEventToken,
  { event, signal, action, named }: Heeded,
  { source, address }: Delivery,
  now: Seconds,
): Promise<void> {
  const meant = named && (await whoIs(transaction, broker.config, named));
  const sessions =
    signal && meant
      ? await act(
          transaction,
          broker,
          meant,
          { action, reason: endReasonOf(signal), ...(address !== undefined && { address }) },
          now,
        )
      : 0;
  await transaction.audit({
    ...{ event: 'signal', at: now, address, source, issuer, type: event.type, jti },
    ...{ iss: meant?.iss, sub: meant?.sub, idp_sid: meant?.idp_sid, action, sessions },
  });
}

/** @returns `undefined` for somebody who never logged in here, by a name that says no more */
async function whoIs(transaction: Transaction, config: Config, named: Named): Promise<Meant | undefined> {
  const { issuer: iss, username_prefix } = config.identity_provider;
  const { idp_sid, email } = named;
  const sub = named.sub ?? (email === undefined ? undefined : await subOf(transaction, iss, username_prefix + email));
  if (sub !== undefined) return { iss, sub, idp_sid };
  if (email !== undefined || idp_sid === undefined) return undefined;
  if (!(await knowsIdpSessions(transaction, iss))) {
    throw new CurfewError(
      'set_subject',
      'the subject is a session, and the ID tokens of the identity provider carry no sid',
    );
  }
  return { iss, idp_sid };
}

async function subOf({ db }: Transaction, iss: string, username: string): Promise<string | undefined> {
  const person = db.selectFrom('person').select('sub').where('iss', '=', iss).where('username', '=', username);
  return (await person.executeTakeFirst())?.sub;
}
