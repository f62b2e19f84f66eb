// Token exchange (RFC 8693): an ID token in, a session and its first Kubernetes token out. Verify, decide, consume, sign.

import { createHash } from 'node:crypto';
import { type Code, CurfewError } from '../../shared/errors.ts';
import type { ExchangeParameters } from '../../shared/exchange.ts';
import { between, type Seconds } from '../../shared/time.ts';
import type { Broker } from '../broker.ts';
import { requireClock } from '../clock/clock.ts';
import { groupsTighten } from '../config/clusters.ts';
import {
  delayOf,
  forgetFailures,
  isFailedLogin,
  noteFailure,
  sayDelay,
  tellFailures,
} from '../failed_logins/failed_logins.ts';
import type { Granted } from '../outcome/granted.ts';
import { countRefusal, type Refused, refuse } from '../outcome/refused.ts';
import type { Caller } from '../policy/caller.ts';
import { countedFromFirstSight } from '../sessions/counted_login.ts';
import { keyHeld, meantHeld, nameHeld } from '../sessions/holds.ts';
import { endRenamed } from '../sessions/usernames.ts';
import type { Transaction } from '../store/store.ts';
import type { IdTokenClaims } from '../upstream/id_token.ts';
import { claimedUsername, identityOf } from '../upstream/identity.ts';
import { type Decided, deliver } from './credential.ts';
import { type LoginParts, openOrRefuse, type ProvenLogin } from './login.ts';
import { RETRY_WINDOW } from './opening.ts';

export interface ExchangeRequest extends ExchangeParameters {
  readonly subject_token: string;
}

/** A login whose ID token is good, and bound to the key: it is not looked at yet whom it names. */
type VerifiedLogin = Pick<ProvenLogin, 'caller' | 'idToken'> & { readonly request: ExchangeRequest };

export type ExchangeParts = LoginParts &
  Parameters<typeof deliver>[0] &
  Pick<Broker, 'identityProvider' | 'refusals' | 'strangers' | 'clock' | 'now'>;

/**
 * @throws CurfewError with the code of what is wrong with the ID token, before anything was decided
 */
export async function exchange(
  broker: ExchangeParts,
  caller: Caller,
  request: ExchangeRequest,
): Promise<Granted | Refused> {
  const { store, now } = broker;
  try {
    const verified = await verifyLogin(broker, caller, request);
    const delayed = await refuseDelayed(broker, verified);
    if (delayed) return delayed;
    let decided = 0;
    const outcome = await store.transaction((transaction) => {
      requireClock(broker);
      decided = broker.stopwatch();
      return openOrCount(transaction, broker, verified, now());
    });
    return await deliver(broker, outcome, decided);
  } catch (error) {
    if (error instanceof CurfewError && !error.unavailable && isFailedLogin(error.code))
      await countStranger(broker, caller, error.code);
    throw error;
  }
}

/**
 * What is thrown was refused before it was known whose login it is: it counts for the address. Who can prove their login is
 * not kept waiting for what others do there.
 *
 * @throws CurfewError `too_many_failures`
 */
async function countStranger(
  broker: Pick<Broker, 'config' | 'store' | 'strangers' | 'now'>,
  { address }: Caller,
  reason: Code,
): Promise<void> {
  const { config, store, strangers, now } = broker;
  const retry_after = strangers.delayOf(address, now());
  if (retry_after !== undefined) throw new CurfewError('too_many_failures', sayDelay(retry_after), { retry_after });
  const told = strangers.note(address, config, reason, now());
  if (told) await store.transaction((transaction) => tellFailures(transaction, config, told));
}

/** @throws CurfewError with the code of what is wrong with the ID token */
async function verifyLogin(
  broker: Pick<Broker, 'config' | 'identityProvider' | 'now'>,
  caller: Caller,
  request: ExchangeRequest,
): Promise<VerifiedLogin> {
  const { config, identityProvider, now } = broker;
  if (request.client_id !== config.identity_provider.client_id) {
    throw new CurfewError('id_token_audience', 'client_id is not the one of this broker');
  }
  const idToken = await identityProvider.verifyIdToken(request.subject_token, now);
  checkBinding(idToken, caller, request, config.identity_provider.device_grant, now());
  return { caller, request, idToken };
}

/** The proof and its binding say whose login it is: what is refused now counts for this person. */
async function openOrCount(
  transaction: Transaction,
  broker: LoginParts,
  login: VerifiedLogin,
  now: Seconds,
): Promise<Decided> {
  const { caller } = login;
  const { iss, sub, sid: idp_sid } = login.idToken;
  const username = claimedUsername(login.idToken, broker.config.identity_provider);
  await transaction.hold([
    ...meantHeld({ iss, sub, idp_sid }),
    keyHeld(caller.proof.jkt),
    ...(username === undefined ? [] : [nameHeld(username)]),
  ]);
  const idToken = await countedFromFirstSight(transaction, login.idToken);
  // Also where this opens no session: the IdP calls them otherwise now.
  if (username !== undefined)
    await endRenamed(transaction, broker, { iss, sub, username }, { now, address: caller.address });
  const identity = identityOf(idToken, broker.config.identity_provider, groupsTighten(broker.config));
  const person = personOf(broker, login);
  const { by: _, ...who } = person;
  const event = { grant: 'exchange', at: now, ...who, jkt: caller.proof.jkt } as const;
  const retry_after = await delayOf(transaction.db, person, now);
  // Of many at once some come here while others have failed.
  if (retry_after !== undefined) {
    return { ...(await refuse(transaction, event, 'too_many_failures', sayDelay(retry_after))), retry_after };
  }
  const outcome =
    'fault' in identity
      ? await refuse(transaction, event, identity.fault.code, identity.fault.message)
      : await openOrRefuse(transaction, broker, { ...login, idToken, identity }, now);
  if (!('refused' in outcome)) await forgetFailures(transaction, person);
  else if (isFailedLogin(outcome.refused)) await noteFailure(transaction, broker, person, outcome.refused, now);
  return outcome;
}

/** Whose login it is, by what the IdP says. */
function personOf({ config }: Pick<Broker, 'config'>, { idToken, caller: { address } }: VerifiedLogin) {
  const { iss, sub } = idToken;
  const identity = identityOf(idToken, config.identity_provider, groupsTighten(config));
  return { by: 'person', iss, sub, username: 'fault' in identity ? undefined : identity.username, address } as const;
}

/** While a delay runs nothing is judged, and nothing is written but the count: that needs no transaction. */
async function refuseDelayed(
  broker: Pick<Broker, 'config' | 'store' | 'refusals' | 'now'>,
  login: VerifiedLogin,
): Promise<Refused | undefined> {
  const { store, now } = broker;
  const person = personOf(broker, login);
  const retry_after = await store.read((db) => delayOf(db, person, now()));
  if (retry_after === undefined) return undefined;
  const { by: _, ...who } = person;
  await countRefusal(broker, {
    ...{ grant: 'exchange', at: now(), ...who, jkt: login.caller.proof.jkt, reason: 'too_many_failures' },
  });
  return { refused: 'too_many_failures', message: sayDelay(retry_after), retry_after };
}

/** The ID token's nonce commits to the key of the proof, so that the token is worthless to anybody else. */
function checkBinding(
  { nonce, iat }: IdTokenClaims,
  { proof }: Caller,
  { nonce_random }: ExchangeRequest,
  device_grant: boolean,
  now: Seconds,
): void {
  if (nonce === undefined) {
    if (!device_grant) throw new CurfewError('id_token_nonce', 'the ID token has no nonce');
    if (between(iat, now) > RETRY_WINDOW)
      throw new CurfewError('id_token_expired', 'the ID token without nonce is older than 60s');
    return;
  }
  const commitment = createHash('sha256')
    .update(`${proof.jkt}.${nonce_random ?? ''}`)
    .digest('base64url');
  if (nonce_random === undefined || nonce !== commitment) {
    throw new CurfewError('id_token_nonce', 'the nonce of the ID token does not commit to the key of the DPoP proof');
  }
}
