// A store with living sessions in it, made by the broker's own schema before the broker starts.

import type { KeyObject } from 'node:crypto';
import type { Selectable } from 'kysely';
import { createSealer } from '../../broker/audit_log/chain.ts';
import { hashOfHandle } from '../../broker/sessions/find.ts';
import { overAt } from '../../broker/sessions/use.ts';
import { openSqlite } from '../../broker/store/sqlite.ts';
import { SqliteStore } from '../../broker/store/sqlite_store.ts';
import type { SessionTable } from '../../broker/store/tables.ts';
import { randomHandle, randomId } from '../../broker/tokens/random.ts';
import type { WholeLimits } from '../../shared/limits.ts';
import { fromMilliseconds, plus, type Seconds } from '../../shared/time.ts';
import type { HeldSession } from './load.ts';

export interface Filling {
  readonly file: string;
  /** The broker's encryption key: seals the audit log. */
  readonly key: KeyObject;
  /** Issuer of the persons. */
  readonly iss: string;
  readonly limits: WholeLimits;
  /** How many sessions there are in all, one person each. */
  readonly sessions: number;
  /** Those among them that will be used, spread evenly. */
  readonly held: readonly HeldSession[];
}

/** Rows in one statement: SQLite takes 32,766 parameters. */
const AT_ONCE = 500;

export async function fillStore({ file, key, iss, limits, sessions, held }: Filling): Promise<void> {
  const sealer = createSealer(key);
  const store = await SqliteStore.open(openSqlite(file), {
    onAudit: () => undefined,
    onBroken: () => undefined,
    sealer,
  });
  const now = fromMilliseconds(Date.now());
  const every = Math.floor(sessions / held.length);
  try {
    for (let from = 0; from < sessions; from += AT_ONCE) {
      const numbers = Array.from({ length: Math.min(AT_ONCE, sessions - from) }, (_, index) => from + index);
      const rows = numbers.map((number) => {
        const ours = number % every === 0 ? held[number / every] : undefined;
        return rowOf(number, ours ?? nobodys(number), { iss, limits, now });
      });
      const persons = rows.map(({ iss, sub, username }) => ({ iss, sub, username }));
      await store.transaction(async ({ db }) => {
        await db.insertInto('person').values(persons).execute();
        await db.insertInto('session').values(rows).execute();
      });
    }
  } finally {
    await store.close();
  }
}

/** Nobody has this key and this handle. */
function nobodys(number: number): HeldSession {
  const names = { sid: randomId(), username: `curfew:person-${number}@example.com` };
  return { ...names, jkt: randomHandle(), handle_hash: hashOfHandle(randomHandle()) };
}

export function rowOf(
  number: number,
  { sid, username, jkt, handle_hash }: HeldSession,
  { iss, limits, now }: { readonly iss: string; readonly limits: WholeLimits; readonly now: Seconds },
): Selectable<SessionTable> {
  const groups = ['dev', 'sre', 'on-call', 'payments-readers', 'vpn-users'];
  const end_at_most = plus(now, limits.max_age);
  return {
    sid,
    iss,
    sub: `subject-${number}`,
    username,
    groups: JSON.stringify(groups.map((group) => `curfew:${group}`)),
    idp_groups: JSON.stringify(groups),
    jkt,
    handle_hash,
    idp_sid: randomId(),
    auth_time: now,
    revalidated_at: now,
    end_at_renewal: null,
    acr: null,
    amr: JSON.stringify(['pwd', 'otp']),
    end_at_most,
    last_used: now,
    longest_idle: 0 as Seconds,
    raw_auth_time: null,
    token_exp: 0 as Seconds,
    gaps: '[]',
    idle_before: '[]',
    over_at: overAt(end_at_most, now, limits),
    opened_at: now,
    address: '127.0.0.1',
    user_agent: null,
    yields: '[]',
    ended_at: null,
    end_reason: null,
    replaced_by: null,
  };
}
