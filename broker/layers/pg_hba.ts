// What a PostgreSQL server takes so that roles of sessions come in by the gateway alone: lines of pg_hba.conf, of which the first that
// fits decides. Names go in by its own quoting.

import { isIP } from 'node:net';
import { CurfewError } from '../../shared/errors.ts';
import { type DatabaseAddress, type Host, leavesMachine } from '../config/database_address.ts';
import { CURFEW } from '../databases/name.ts';

export interface HbaParts {
  /** Of the target. */
  readonly name: string;
  readonly databases: readonly string[];
  readonly admin: DatabaseAddress;
  readonly ca?: string | undefined;
  /** From where the gateway comes. */
  readonly gateway: readonly string[];
  /** From where the broker comes; from anywhere, unless that is known. */
  readonly broker?: readonly string[] | undefined;
}

/** @throws CurfewError `configuration` for a name that the file cannot hold */
export function printPgHba(parts: HbaParts): string {
  const { name, databases, gateway } = parts;
  const listed = databases.map(quoted).join(',');
  const lines = [
    `# curfew: ${oneLine(name)}. Before all other lines; then: SELECT pg_reload_conf()`,
    '# The account of the broker, which is in the role of sessions too.',
    ...linesOfAdmin(parts),
    '# Roles of sessions: by the gateway, to these databases, and from nowhere else.',
    ...gateway.map((address) => line('hostssl', listed, `+${CURFEW}`, blockOf(address), 'scram-sha-256')),
    line('host', 'all', `+${CURFEW}`, 'all', 'reject'),
    line('local', 'all', `+${CURFEW}`, '', 'reject'),
  ];
  return `${lines.join('\n')}\n`;
}

function linesOfAdmin({ admin, ca, broker = ['all'] }: HbaParts): readonly string[] {
  const user = quoted(admin.user);
  const lines = admin.hosts.flatMap((host) => {
    if (host.host.startsWith('/')) return [line('local', 'all', user, '', 'scram-sha-256')];
    const type = leavesMachine(host) || ca !== undefined ? 'hostssl' : 'host';
    return addressesOf(host, broker).map((address) => line(type, 'all', user, address, 'scram-sha-256'));
  });
  return [...new Set(lines)];
}

/** Of a server on the broker's own machine. */
function addressesOf(host: Host, broker: readonly string[]): readonly string[] {
  return leavesMachine(host) ? broker.map(blockOf) : ['127.0.0.1/32', '::1/128'];
}

/** An address alone would be taken for a name. */
function blockOf(address: string): string {
  const family = isIP(address);
  return family === 0 ? address : `${address}/${family === 4 ? 32 : 128}`;
}

function line(type: string, database: string, user: string, address: string, method: string): string {
  return [type.padEnd(7), database, user, ...(address === '' ? [] : [address]), method].join('  ');
}

/** Words that mean something else than a name unless they are in quotes. */
const WORDS = ['all', 'sameuser', 'samerole', 'samegroup', 'replication'];

function quoted(name: string): string {
  if (/[\0\r\n]/.test(name))
    throw new CurfewError('configuration', 'pg_hba.conf holds no name with an end of line in it');
  if (/^[a-z_][a-z0-9_$-]*$/.test(name) && !WORDS.includes(name)) return name;
  return `"${name.replaceAll('"', '""')}"`;
}

function oneLine(text: string): string {
  return JSON.stringify(text).slice(1, -1);
}
