// The SQL with which an administrator of a PostgreSQL server makes the broker's account there, once: what it may do, and no more. It may
// be run again. Names and literals by the driver's escaping alone.

import pg from 'pg';
import type { DatabaseAddress } from '../config/database_address.ts';
import { CURFEW } from '../databases/name.ts';

export interface SetupParts {
  readonly databases: readonly string[];
  /** Roles as which people act. */
  readonly accounts: readonly string[];
  readonly admin: DatabaseAddress;
}

export function printPgSetup({ databases, accounts, admin }: SetupParts): string {
  const [user, distinct] = [pg.escapeIdentifier(admin.user), [...new Set(accounts)]];
  const lines = [
    `-- As a superuser, in the database ${pg.escapeIdentifier(admin.database).replaceAll(/[\r\n]/g, ' ')}; it may be run again.`,
    '-- Roles of sessions are in this one: pg_hba.conf tells them by it.',
    makeUnless(CURFEW, 'NOLOGIN'),
    '-- As whom people act. What each may do with your data is yours to say.',
    ...distinct.map((account) => makeUnless(account, 'NOLOGIN')),
    "-- The broker's account. Then give it a password, which is in admin_url_file: \\password",
    makeUnless(admin.user, 'LOGIN'),
    `ALTER ROLE ${user} LOGIN CREATEROLE NOSUPERUSER NOCREATEDB NOREPLICATION NOBYPASSRLS;`,
    `GRANT pg_signal_backend TO ${user};`,
    ...[CURFEW, ...distinct].map((role) => `GRANT ${pg.escapeIdentifier(role)} TO ${user} WITH ADMIN OPTION;`),
    ...[...new Set([admin.database, ...databases])].map(
      (database) => `GRANT CONNECT ON DATABASE ${pg.escapeIdentifier(database)} TO ${user};`,
    ),
    '-- For curfew-broker check --live, which compares pg_hba.conf with what is printed for it.',
    `GRANT SELECT ON pg_catalog.pg_hba_file_rules TO ${user};`,
    `GRANT EXECUTE ON FUNCTION pg_catalog.pg_hba_file_rules() TO ${user};`,
  ];
  return `${lines.join('\n')}\n`;
}

function makeUnless(name: string, options: string): string {
  const [literal, role] = [pg.escapeLiteral(name), pg.escapeIdentifier(name)];
  const body = `BEGIN IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = ${literal}) THEN CREATE ROLE ${role} ${options}; END IF; END`;
  // Whatever the name holds, the text of the block ends where it is to end.
  let tag = '$$';
  for (let n = 0; body.includes(tag); n += 1) tag = `$b${n}$`;
  return `DO ${tag} ${body} ${tag};`;
}
