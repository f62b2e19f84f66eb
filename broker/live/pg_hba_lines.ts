// Whether the lines of pg_hba.conf let roles of sessions in by the gateway alone. The first line that fits a connection decides, so they
// are read in their order until nothing is left that a later one could let in. In doubt a line counts as one that fits.

import { isIP } from 'node:net';
import { CURFEW } from '../databases/name.ts';
import { inNetwork, isNetwork } from '../net/network.ts';

/** A row of pg_hba_file_rules. */
export interface HbaLine {
  readonly line: number;
  readonly type: string | null;
  readonly databases: readonly string[] | null;
  readonly users: readonly string[] | null;
  readonly address: string | null;
  readonly netmask: string | null;
  readonly method: string | null;
  readonly error: string | null;
}

/** @param gateway from where it comes @returns what is wrong, in words */
export function faultOfHba(lines: readonly HbaLine[], gateway: readonly string[]): string | undefined {
  const broken = lines.find(({ error }) => error !== null);
  if (broken) return `line ${broken.line} cannot be read (${broken.error}): what is in force is older`;
  let by_gateway = false;
  let [network_closed, local_closed] = [false, false];
  for (const line of lines) {
    const local = line.type === 'local';
    if (!mayMeanSessions(line) || (local ? local_closed : network_closed)) continue;
    if (line.method === 'reject') {
      if (!isForAll(line)) continue;
      if (local) local_closed = true;
      else if (line.type === 'host' && line.address === 'all') network_closed = true;
      continue;
    }
    if (!isByGateway(line, gateway))
      return `line ${line.line} lets roles of sessions in from elsewhere, or by other means`;
    by_gateway = true;
  }
  return by_gateway ? undefined : 'no line lets roles of sessions in by the gateway';
}

/** Whether it can fit a role of a session: those that are in the role curfew, and in that of an account. */
function mayMeanSessions({ users }: HbaLine): boolean {
  return (users ?? []).some((user) => user === 'all' || user.startsWith('+') || user.startsWith('/'));
}

/** Whether it fits every connection of every role of a session. */
function isForAll({ databases, users }: HbaLine): boolean {
  return (databases ?? []).includes('all') && (users ?? []).some((user) => user === 'all' || user === `+${CURFEW}`);
}

function isByGateway({ type, address, netmask, method }: HbaLine, gateway: readonly string[]): boolean {
  if (type !== 'hostssl' || method !== 'scram-sha-256') return false;
  if (address === null || netmask === null || !isNetwork(address)) return false;
  const bits = bitsOf(netmask);
  return gateway.some((block) => inNetwork(address, block) && bits >= bitsOfBlock(block));
}

function bitsOfBlock(block: string): number {
  const [address = '', bits] = block.split('/');
  return bits === undefined ? (isIP(address) === 4 ? 32 : 128) : Number(bits);
}

/** How many bits of an address a mask keeps. */
function bitsOf(netmask: string): number {
  if (netmask.includes('.')) return netmask.split('.').reduce((sum, part) => sum + onesOf(Number(part)), 0);
  const groups = netmask.split(':').filter((group) => group !== '');
  return groups.reduce((sum, group) => sum + onesOf(Number.parseInt(group, 16)), 0);
}

function onesOf(value: number): number {
  return value.toString(2).replaceAll('0', '').length;
}
