// Takes roles away, from whatever state they are in: first nobody comes in any more, then nobody is in, then what is theirs goes to
// the account, then the role goes. Each step may be done again, and what fails leaves what was done before.

import pg from 'pg';
import { CurfewError } from '../../shared/errors.ts';
import { isLost } from '../postgres/faults.ts';
import type { Connections, Query } from './connections.ts';
import { CURFEW, isNamed, type Label } from './name.ts';
import type { ServerConnections } from './servers.ts';

export interface Leaving {
  readonly name: string;
  /** To whom goes what is theirs; where there is no such role any more, to the account of the broker. */
  readonly account: string;
}

interface Found {
  readonly name: string;
  readonly oid: number;
}

/** How often is looked whether somebody is still in; each look ends them. */
const LOOKS = 50;

export interface Removed {
  /** Those that there were. */
  readonly found: ReadonlySet<string>;
  /** Why some are still there, by name; nobody can use them any more, where the server was reached. */
  readonly failures: ReadonlyMap<string, CurfewError>;
}

/** @param leaving only ours: who asks knows that */
export async function removeRoles(
  { ends, removes }: Pick<ServerConnections, 'ends' | 'removes'>,
  leaving: readonly Leaving[],
): Promise<Removed> {
  const failures = new Map<string, CurfewError>();
  const out = await shutOut(ends, leaving, failures);
  const work = out.map(async (role) => {
    const { account = '' } = leaving.find(({ name }) => name === role.name) ?? {};
    await noteFailure(failures, role.name, () => dropRole(removes, role, account));
  });
  await Promise.all(work);
  return { found: new Set(out.map(({ name }) => name)), failures };
}

/** First all at once, as nobody is to wait for another's objects; where that fails, each by itself. @returns those that there are */
async function shutOut(
  connections: Connections,
  leaving: readonly Leaving[],
  failures: Map<string, CurfewError>,
): Promise<readonly Found[]> {
  const names = leaving.map(({ name }) => name);
  try {
    return await connections.use((query) => shutOutAtOnce(query, names));
  } catch (error) {
    if (!(error instanceof CurfewError)) throw error;
    // Of a server that is away each would say the same, after as long.
    if (isLost(error.cause)) {
      for (const name of names) failures.set(name, error);
      return [];
    }
  }
  const each = names.map((name) =>
    noteFailure(failures, name, () => connections.use((query) => shutOutAtOnce(query, [name]))),
  );
  return (await Promise.all(each)).flatMap((found) => found ?? []);
}

async function noteFailure<T>(failures: Map<string, CurfewError>, name: string, work: () => Promise<T>) {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof CurfewError)) throw error;
    failures.set(name, error);
    return undefined;
  }
}

async function shutOutAtOnce(query: Query, names: readonly string[]): Promise<readonly Found[]> {
  const found = await query<Found>('select rolname as name, oid from pg_roles where rolname = any($1)', [names]);
  if (found.length === 0) return found;
  await query(found.map(({ name }) => `alter role ${pg.escapeIdentifier(name)} nologin`).join(';\n'));
  await letGatewayCut(query, found);
  await endBackends(query, found);
  return found;
}

/** The gateway hears of an end at the same moment, and is to be the first to cut: it tells the person why. */
async function letGatewayCut(query: Query, roles: readonly Found[]): Promise<void> {
  const inside = await query('select from pg_stat_activity where usesysid = any($1::oid[])', [oidsOf(roles)]);
  if (inside.length > 0) await query('select pg_sleep(0.06)');
}

function oidsOf(roles: readonly Found[]): readonly number[] {
  return roles.map(({ oid }) => oid);
}

async function endBackends(query: Query, roles: readonly Found[]): Promise<void> {
  for (let look = 0; look < LOOKS; look += 1) {
    const ended = await query(
      'select pg_terminate_backend(pid) from pg_stat_activity where usesysid = any($1::oid[])',
      [oidsOf(roles)],
    );
    if (ended.length === 0) return;
    await query('select pg_sleep(0.01)');
  }
  throw new CurfewError('database', 'connections of a role that is to go do not end');
}

/** Takes one away that is shut out. @throws CurfewError `database` where something keeps it */
async function dropRole(connections: Connections, role: Found, account: string): Promise<void> {
  const { oid } = role;
  const name = pg.escapeIdentifier(role.name);
  const databases = await connections.use((query) =>
    query<{ name: string }>(
      `select distinct coalesce(d.datname, current_database()) as name from pg_shdepend s
       left join pg_database d on d.oid = s.dbid
       where s.refclassid = 'pg_authid'::regclass and s.refobjid = $1`,
      [oid],
    ),
  );
  for (const database of databases) {
    await connections.use(async (query) => {
      const [heir] = await query<{ name: string }>('select rolname as name from pg_roles where rolname = $1', [
        account,
      ]);
      const to = heir === undefined ? 'current_user' : pg.escapeIdentifier(heir.name);
      await query(`grant ${name} to current_user;\nreassign owned by ${name} to ${to};\ndrop owned by ${name}`);
    }, database.name);
  }
  await connections.use(async (query) => {
    await query(`drop role if exists ${name}`);
    // One that was let in at the very moment of the first look.
    await endBackends(query, [role]);
  });
}

/** Roles that this store has made, by all that says so. */
export async function findOurs(connections: Connections, label: Label): Promise<readonly Leaving[]> {
  const rows = await connections.use((query) =>
    query<Leaving>(
      `select r.rolname as name, coalesce((select min(a.rolname) from pg_auth_members n join pg_roles a on a.oid = n.roleid
         where n.member = r.oid and a.rolname <> $1), '') as account from pg_roles r
       join pg_auth_members m on m.member = r.oid
       join pg_roles g on g.oid = m.roleid and g.rolname = $1
       join pg_shdescription d on d.objoid = r.oid and d.classoid = 'pg_authid'::regclass
       where starts_with(r.rolname, $2) and starts_with(d.description, $3)`,
      [CURFEW, label.prefix, label.mark],
    ),
  );
  return rows.filter(({ name }) => isNamed(label, name));
}
