// How programs learn where a target is: environment variables that their makers chose, and our own.

import type { TargetCredential } from '../../shared/targets.ts';
import type { Environment } from '../warm/machine.ts';
import { everyRoot } from '../wire/agents.ts';
import { LOOPBACK } from './listener.ts';
import type { Pass } from './pass.ts';
import type { PrivateFolder } from './private_folder.ts';

type Variables = Readonly<Record<string, string>>;

/**
 * @param port of our listener
 * @param folder gets what has to be in files: the password, and who vouches for the server
 */
export function variablesFor(
  { target, credential }: Pass,
  port: number,
  folder: Pick<PrivateFolder, 'write'>,
): Variables {
  const ours = { CURFEW_TARGET: target.name, CURFEW_HOST: LOOPBACK, CURFEW_PORT: String(port) };
  if (credential?.kind === 'postgres') return { ...ours, ...ofPostgres(target.name, credential, port, folder) };
  if (target.kind !== 'tcp') return ours;
  // Whatever speaks there: each program reads its own.
  const server = { PGHOST: LOOPBACK, PGPORT: String(port), MYSQL_HOST: LOOPBACK, MYSQL_TCP_PORT: String(port) };
  return { ...ours, ...server };
}

/** libpq, Environment Variables. The name is verified, the address is ours: TLS goes from the program to the server. */
function ofPostgres(
  name: string,
  credential: Extract<TargetCredential, { kind: 'postgres' }>,
  port: number,
  folder: Pick<PrivateFolder, 'write'>,
): Variables {
  const { role, password, databases, server_name, certificate_authority_data: authority } = credential;
  const [database = 'postgres'] = databases;
  // libpq before 16 does not know the system's roots by a name.
  const roots = authority === undefined ? everyRoot().join('\n') : Buffer.from(authority, 'base64').toString();
  const line = ['*', '*', '*', role, password].map(escaped).join(':');
  return {
    ...{ PGHOST: server_name ?? name, PGHOSTADDR: LOOPBACK, PGPORT: String(port), PGUSER: role, PGDATABASE: database },
    PGPASSFILE: folder.write('pgpass', `${line}\n`),
    ...{ PGSSLMODE: 'verify-full', PGSSLROOTCERT: folder.write('server-ca.pem', `${roots}\n`) },
  };
}

/** As a field of a password file. */
function escaped(field: string): string {
  return field.replaceAll(/[\\:]/g, '\\$&');
}

/** What a person had set for another server must not meet this one. */
const NOT_PASSED_ON = ['PGPASSWORD', 'PGSERVICE', 'PGSERVICEFILE', 'PGSSLNEGOTIATION', 'PGCHANNELBINDING'] as const;

/** The environment of a command. */
export function environmentOf(env: Environment, variables: Variables): Record<string, string> {
  const kept = Object.entries(env).flatMap(([name, value]): [string, string][] => {
    const dropped = variables.PGPASSFILE !== undefined && NOT_PASSED_ON.some((one) => one === name);
    return value === undefined || dropped ? [] : [[name, value]];
  });
  return { ...Object.fromEntries(kept), ...variables };
}

/** As lines for a person, who gives them to a program elsewhere. */
export function printVariables(variables: Variables): string {
  return Object.entries(variables)
    .map(([name, value]) => `${name}=${/^[\w./:@-]+$/.test(value) ? value : `'${value.replaceAll("'", `'\\''`)}'`}\n`)
    .join('');
}
