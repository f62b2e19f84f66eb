// What a database server in which sessions have roles lets the broker's account do, what its account roles are, and which lines of
// pg_hba.conf decide about roles of sessions. Changes nothing.

import { CurfewError } from '../../shared/errors.ts';
import type { PostgresTarget } from '../config/target_settings.ts';
import { faultOfAccount } from '../databases/account.ts';
import { Connections, type Query } from '../databases/connections.ts';
import { CURFEW } from '../databases/name.ts';
import { codeOf } from '../postgres/faults.ts';
import { faultOfHba, type HbaLine } from './pg_hba_lines.ts';
import { fine, type Seen, unknown, wrong } from './seen.ts';

/** The oldest that is supported. */
const OLDEST_VERSION = 150_000;
/** insufficient_privilege */
const NOT_PERMITTED = '42501';
const WAITS = { connect: 3_000, statement: 3_000 } as const;

/** @param gateway from where it comes */
export async function lookAtDatabase(target: PostgresTarget, gateway: readonly string[]): Promise<readonly Seen[]> {
  const { name } = target;
  const connections = new Connections(target, WAITS);
  try {
    return await connections.use((query) => lookInside(query, target, gateway));
  } catch (error) {
    if (!(error instanceof CurfewError)) throw error;
    return [
      wrong(
        'database',
        name,
        error.message,
        'see that it runs, that admin_url_file leads to it, and what is in its log',
      ),
    ];
  } finally {
    await connections.close();
  }
}

async function lookInside(query: Query, target: PostgresTarget, gateway: readonly string[]): Promise<readonly Seen[]> {
  const { name } = target;
  const accounts = [...new Set(target.accounts.map(({ account }) => account))];
  const faults = [...(await faultsOfAdmin(query, accounts)), ...(await faultsOfServer(query))];
  const setup = `run what is printed as a superuser: curfew-broker print pg-setup --target ${name}`;
  const seen: Seen[] = faults.map((fault) => wrong('database', name, fault, setup));
  for (const account of accounts) {
    const fault = await faultOfAccount(query, account);
    if (fault === undefined) continue;
    const todo =
      'take that from it, or name another account: people can be this one, and no role is made for it until then';
    seen.push(wrong('database', name, `the account role ${account}: ${fault}`, todo));
  }
  if (seen.length === 0)
    seen.push(fine('database', name, "answers; the broker's account has its rights, and no account role has too many"));
  return [...seen, await lookAtHba(query, target, gateway)];
}

interface Admin {
  readonly version: number;
  readonly superuser: boolean;
  readonly createrole: boolean;
  readonly signals: boolean;
}

async function faultsOfAdmin(query: Query, accounts: readonly string[]): Promise<readonly string[]> {
  const [admin] = await query<Admin>(
    `select current_setting('server_version_num')::int as version, rolsuper as superuser, rolcreaterole as createrole,
       pg_has_role(rolname, 'pg_signal_backend', 'USAGE') as signals from pg_roles where rolname = current_user`,
  );
  if (!admin) return ["the broker's account is not found"];
  const granted = await query<{ name: string }>(
    `select g.rolname as name from pg_auth_members m join pg_roles g on g.oid = m.roleid join pg_roles r on r.oid = m.member
     where r.rolname = current_user and m.admin_option`,
  );
  const held = new Set(granted.map(({ name }) => name));
  return [
    ...(admin.version < OLDEST_VERSION ? ['the server is older than PostgreSQL 15'] : []),
    ...(admin.superuser ? ["the broker's account is a superuser: it needs less"] : []),
    ...(admin.createrole ? [] : ["the broker's account does not have CREATEROLE"]),
    ...(admin.signals ? [] : ["the broker's account is not in pg_signal_backend: it could not end connections"]),
    ...[CURFEW, ...accounts]
      .filter((role) => !admin.superuser && !held.has(role))
      .map((role) => `the broker's account is not in ${role} with ADMIN OPTION`),
  ];
}

async function faultsOfServer(query: Query): Promise<readonly string[]> {
  const [role] = await query<{ login: boolean }>('select rolcanlogin as login from pg_roles where rolname = $1', [
    CURFEW,
  ]);
  if (!role) return [`there is no role ${CURFEW}, which all roles of sessions are in`];
  return role.login ? [`the role ${CURFEW} has LOGIN`] : [];
}

async function lookAtHba(query: Query, target: PostgresTarget, gateway: readonly string[]): Promise<Seen> {
  const { name } = target;
  const todo = `let it begin with what is printed: curfew-broker print pg-hba --target ${name}; then SELECT pg_reload_conf()`;
  try {
    const lines = await query<HbaLine>(
      `select line_number as line, type, database as databases, user_name as users, address, netmask, auth_method as method,
         error from pg_hba_file_rules order by line_number`,
    );
    const fault = faultOfHba(lines, gateway);
    if (fault !== undefined) return wrong('database', name, `pg_hba.conf: ${fault}`, todo);
    return fine('database', name, 'pg_hba.conf: roles of sessions come in by the gateway alone');
  } catch (error) {
    if (codeOf(error) !== NOT_PERMITTED) throw error;
    const says = 'pg_hba.conf is not seen: the account of the broker may not read pg_hba_file_rules';
    return unknown(
      'database',
      name,
      says,
      `see by hand that it begins with what curfew-broker print pg-hba --target ${name} prints`,
    );
  }
}
