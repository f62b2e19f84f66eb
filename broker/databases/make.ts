// Makes the role of a session: one transaction of the database, so that there is all of it or nothing. Names and texts come into a
// statement by the driver's escaping alone.

import pg from 'pg';
import { CurfewError } from '../../shared/errors.ts';
import type { Seconds } from '../../shared/time.ts';
import { formatTime } from '../text/rfc3339.ts';
import { faultOfAccount } from './account.ts';
import type { Query } from './connections.ts';
import { CURFEW, commentOf, type Label } from './name.ts';

/** Connections at a time with one role: a person's programs, not a load test. */
const CONNECTION_LIMIT = 20;

export interface NewRole {
  readonly name: string;
  /** The role as which the person acts, and to whom belongs what they make. */
  readonly account: string;
  readonly verifier: string;
  readonly valid_until: Seconds;
  /** For the comment. */
  readonly sid: string;
  readonly username: string;
}

/** @throws CurfewError `database` where the account role must not be anybody's */
export async function makeRole(query: Query, label: Label, role: NewRole): Promise<void> {
  const { account, valid_until } = role;
  const fault = await faultOfAccount(query, account);
  if (fault !== undefined) throw new CurfewError('database', `the account role ${account} cannot be used: ${fault}`);
  const [name, verifier] = [pg.escapeIdentifier(role.name), pg.escapeLiteral(role.verifier)];
  await query(
    [
      // With INHERIT, as whether it may connect to a database is asked before it becomes the account.
      `create role ${name} login inherit nosuperuser nocreatedb nocreaterole noreplication nobypassrls`,
      `  connection limit ${CONNECTION_LIMIT} password ${verifier} valid until ${until(valid_until)}`,
      `  in role ${CURFEW}, ${pg.escapeIdentifier(account)};`,
      `comment on role ${name} is ${pg.escapeLiteral(commentOf(label, role))};`,
      `alter role ${name} set role to ${pg.escapeLiteral(account)}`,
    ].join('\n'),
  );
}

/** It may log in for longer, as its session lasts longer. */
export async function prolongRole(query: Query, name: string, valid_until: Seconds): Promise<void> {
  await query(`alter role ${pg.escapeIdentifier(name)} valid until ${until(valid_until)}`);
}

function until(at: Seconds): string {
  return pg.escapeLiteral(formatTime(at));
}
