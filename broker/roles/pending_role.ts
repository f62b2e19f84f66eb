// A role in a database, for a session. Between two transactions, as nothing but the store may be awaited in one: the first allows it and
// writes down the role, the second reads the session again and decides again. What was true before the database was asked says nothing
// about now.

import { setTimeout as sleep } from 'node:timers/promises';
import { CurfewError } from '../../shared/errors.ts';
import { earliest, over, type Seconds } from '../../shared/time.ts';
import type { TokenReply } from '../../shared/wire.ts';
import type { Broker } from '../broker.ts';
import { requireClock } from '../clock/clock.ts';
import type { PostgresTarget } from '../config/target_settings.ts';
import { makeRole } from '../databases/make.ts';
import { nameOf } from '../databases/name.ts';
import { newPassword, verifierOf } from '../databases/password.ts';
import { permit } from '../judgement/permit.ts';
import type { Granted } from '../outcome/granted.ts';
import { type Refused, refuse } from '../outcome/refused.ts';
import type { TargetToSign } from '../outcome/target_token.ts';
import type { Caller } from '../policy/caller.ts';
import type { AudienceWish } from '../policy/target.ts';
import { currentSession } from '../sessions/current.ts';
import { findBySid } from '../sessions/find.ts';
import type { Session, Who } from '../sessions/session.ts';
import { giveRole, planRole, removeRoleSoon, type SessionRole } from '../sessions/session_roles.ts';
import type { Transaction } from '../store/store.ts';
import { type EntitleParts, entitleTarget } from '../targets/entitle.ts';
import { whileMaking } from './making.ts';

/** A role that was allowed, and that is yet to be made. Holds nothing that was decided: that is done again. */
export interface PendingRole {
  readonly pending_role: {
    readonly grant: 'exchange' | 'renewal';
    readonly session: Who;
    readonly wish: AudienceWish;
    readonly caller: Caller;
    /** Where it is made. */
    readonly target: PostgresTarget;
    readonly role: SessionRole;
    /** After a login: what is answered when no role can be made, and the session is active all the same. */
    readonly otherwise?: TokenReply | undefined;
  };
}

type Wanted = PendingRole['pending_role'];

export type RoleParts = EntitleParts &
  Pick<Broker, 'databases' | 'store' | 'touches' | 'clock' | 'log' | 'now' | 'stopwatch'>;

/** A session that may have a role. */
export interface EntitledRole extends Pick<Wanted, 'grant' | 'wish' | 'caller' | 'otherwise'> {
  readonly session: Session;
  readonly target: PostgresTarget;
  readonly account: string;
  readonly session_end: Seconds;
}

/** Writes down the role that is to be made: from here on it goes, whatever happens. */
export async function allowRole(
  transaction: Transaction,
  { databases }: Pick<Broker, 'databases'>,
  { session, target, account, session_end, ...wanted }: EntitledRole,
  now: Seconds,
): Promise<PendingRole> {
  const { sid } = session;
  const planned = { name: nameOf(databases.label, sid), target: target.name, account, sid, valid_until: session_end };
  const role = await planRole(transaction, planned, now);
  return { pending_role: { ...wanted, session, target, role } };
}

/** What became of it, and when that was decided, by the stopwatch. */
export interface RoleOutcome {
  readonly outcome: TargetToSign | Granted | Refused;
  readonly decided: number;
}

/**
 * Makes the role, and decides again whether it is handed out.
 *
 * @throws CurfewError `database` when there is none; `busy` when it was overtaken
 */
export async function obtainRole(broker: RoleParts, { pending_role: wanted }: PendingRole): Promise<RoleOutcome> {
  const { log, store, stopwatch, now } = broker;
  const { target, role, otherwise } = wanted;
  const password = newPassword();
  try {
    await makeInTime(broker, wanted, password);
    const decided = stopwatch();
    const outcome = await store.transaction((transaction) => conclude(transaction, broker, wanted, password));
    if (outcome === 'overtaken')
      throw new CurfewError('busy', 'whom the session acts as changed meanwhile', { retry_after: 1 });
    return { outcome, decided };
  } catch (error) {
    if (!(error instanceof CurfewError)) throw error;
    if (error.code === 'store') throw error;
    log.warn(
      { target: target.name, role: role.name, code: error.code, reason: error.message },
      'no role in the database',
    );
    const decided = stopwatch();
    // Not the handle of a session that ended while the database was asked; and it may have been made all the same.
    const standing = await store.transaction(async (transaction) => {
      await removeRoleSoon(transaction, role, now());
      return permitAgain(transaction, broker, wanted, now());
    });
    if ('refused' in standing) return { outcome: standing, decided };
    if (!otherwise) throw error;
    return { outcome: { reply: otherwise }, decided };
  }
}

/** Milliseconds for all of it: whoever asks waits at a terminal, and afterwards the row of the role says that it goes. */
const MAKE_MS = 6_000;

async function makeInTime({ databases, now }: RoleParts, wanted: Wanted, password: string): Promise<void> {
  const { target, role, session } = wanted;
  const { name, account, valid_until, made_by } = role;
  const verifier = await verifierOf(password);
  const { makes } = databases.at(target);
  const made = makes.use(async (query) => {
    // It may have waited for a connection until nobody waits for it any more.
    if (over(made_by, now())) throw new CurfewError('busy', 'too many want a role there at once', { retry_after: 1 });
    await makeRole(query, databases.label, { name, account, verifier, valid_until, ...session });
  });
  const late = new AbortController();
  const deadline = sleep(MAKE_MS, undefined, { signal: late.signal, ref: false }).then(
    () => Promise.reject(new CurfewError('database', `the database server of ${target.name} did not answer in time`)),
    () => undefined,
  );
  try {
    await Promise.race([whileMaking(name, made), deadline]);
  } finally {
    late.abort();
  }
}

/** The role is there: whether it may be handed out is decided only now. */
async function conclude(
  transaction: Transaction,
  broker: RoleParts,
  wanted: Wanted,
  password: string,
): Promise<TargetToSign | Refused | 'overtaken'> {
  const now = broker.now();
  const { role, target, caller, otherwise } = wanted;
  const { name, account } = role;
  const standing = await permitAgain(transaction, broker, wanted, now);
  if ('refused' in standing) {
    await removeRoleSoon(transaction, role, now);
    return standing;
  }
  const { session, asked, verdict } = standing;
  const same = asked.target?.kind === 'postgres' && isSamePlace(asked.target, target);
  if (!asked.target || !same || !(await giveRole(transaction, name, verdict.session_end, now))) {
    await removeRoleSoon(transaction, role, now);
    return 'overtaken';
  }
  const valid_until = earliest(role.valid_until, verdict.session_end);
  const { sid, iss, sub, username, jkt } = session;
  await transaction.audit({
    ...{ event: 'credential', at: now, address: caller.address, sid, iss, sub, username, jkt },
    ...{ kind: 'postgres', target: target.name, account, role: name, valid_until },
  });
  const { databases, ca, address } = target;
  const vouches = ca === undefined ? {} : { certificate_authority_data: Buffer.from(ca).toString('base64') };
  const made = () =>
    ({
      kind: 'postgres',
      role: name,
      password,
      databases,
      server_name: address.host,
      valid_until,
      ...vouches,
    }) as const;
  return entitleTarget(
    transaction,
    broker,
    { session, asked, verdict, caller, handle: otherwise?.refresh_token, made },
    now,
  );
}

function isSamePlace(one: PostgresTarget, other: PostgresTarget): boolean {
  return JSON.stringify(one.admin.hosts) === JSON.stringify(other.admin.hosts);
}

/** Decides once more, on the session as it is now and by the configuration in force now. */
async function permitAgain(
  transaction: Transaction,
  { config, touches, clock }: Pick<RoleParts, 'config' | 'touches' | 'clock'>,
  { grant, session: { sid, iss, sub, username, jkt }, wish, caller, role }: Wanted,
  now: Seconds,
) {
  requireClock({ clock });
  const { target, account } = role;
  const about = { grant, at: now, sid, iss, sub, username, jkt, address: caller.address, target, account };
  const found = await findBySid(transaction.db, sid);
  if (!found) return refuse(transaction, about, 'unknown_session', 'there is no such session');
  const session = await currentSession(transaction, { touches }, found, now);
  const standing = await permit(transaction, config, session, { ...wish, account }, caller, about, now);
  return 'refused' in standing ? standing : { ...standing, session };
}
