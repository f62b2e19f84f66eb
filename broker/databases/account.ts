// What an account role may be, as whom people act: nothing from which they could come back without a session, make roles, or leave the
// database. Asked before each role is made, and by `check --live`.

import type { Query } from './connections.ts';
import { CURFEW } from './name.ts';

/** Rights of the server itself: with these the person has its files, or its machine. */
const OF_THE_MACHINE = ['pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files'];

interface Found {
  readonly name: string;
  readonly superuser: boolean;
  readonly createrole: boolean;
  readonly replication: boolean;
  readonly bypassrls: boolean;
  readonly login: boolean;
  readonly hands_on: boolean;
}

/** Everybody whom a role can become by SET ROLE, itself too, and whether they may let others in. */
const REACHED = `select r.rolname as name, r.rolsuper as superuser, r.rolcreaterole as createrole,
    r.rolreplication as replication, r.rolbypassrls as bypassrls, r.rolcanlogin as login,
    exists (select from pg_auth_members m where m.member = r.oid and m.admin_option) as hands_on
  from pg_roles a join pg_roles r on pg_has_role(a.oid, r.oid, 'MEMBER')
  where a.rolname = $1 order by r.rolname <> a.rolname, r.rolname`;

/** @returns what is wrong with it, in words; `undefined` where nothing is */
export async function faultOfAccount(query: Query, account: string): Promise<string | undefined> {
  const reached = await query<Found>(REACHED, [account]);
  if (reached.length === 0) return 'there is no such role';
  for (const role of reached) {
    const fault = faultOf(role);
    if (fault !== undefined) return role.name === account ? fault : `it can become ${role.name}: ${fault}`;
  }
  return undefined;
}

function faultOf(role: Found): string | undefined {
  if (role.superuser) return 'it is a superuser';
  if (role.createrole) return 'it has CREATEROLE';
  if (role.replication) return 'it has REPLICATION';
  if (role.bypassrls) return 'it has BYPASSRLS';
  // Whoever acts as it may set its password, and come back by that.
  if (role.login) return 'it has LOGIN';
  if (role.hands_on) return 'it may let others into a role (ADMIN OPTION)';
  if (role.name === CURFEW) return 'only roles of sessions are in it';
  if (OF_THE_MACHINE.includes(role.name)) return "it has rights to the server's machine";
  return undefined;
}
