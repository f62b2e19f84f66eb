// Whose process is at the other end of a connection on loopback: a listener there is open to everybody on this machine, unless somebody
// looks. Linux says it in /proc/net (proc(5)); elsewhere nobody does.

import { readFileSync } from 'node:fs';
import type { Host } from '../host/host.ts';

const TABLES = ['/proc/net/tcp', '/proc/net/tcp6'] as const;

/** Whether connections of others can be told apart here. */
export function canTellPeers({ platform, uid }: Pick<Host, 'platform' | 'uid'>): boolean {
  return platform === 'linux' && uid !== undefined;
}

/**
 * The user id of the process that connected from one port of 127.0.0.1 to another.
 *
 * @returns `undefined` where it is not in the tables: it is nobody's then
 */
export function peerOf(
  from_port: number,
  to_port: number,
  read: (file: string) => string = readTable,
): number | undefined {
  for (const file of TABLES) {
    const found = uidIn(read(file), from_port, to_port);
    if (found !== undefined) return found;
  }
  return undefined;
}

function readTable(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    // No IPv6, for one.
    return '';
  }
}

/** 127.0.0.1 in the order of bytes that the kernel prints, also as IPv6 maps it. */
const LOOPBACK = ['0100007F', '0000000000000000FFFF00000100007F'] as const;

/** @param table as /proc/net/tcp is: `sl local_address rem_address st tx:rx tr:when retrnsmt uid ...` */
export function uidIn(table: string, from_port: number, to_port: number): number | undefined {
  const [from, to] = [from_port, to_port].map((port) => port.toString(16).toUpperCase().padStart(4, '0'));
  for (const line of table.split('\n')) {
    const [, local = '', remote = '', , , , , uid = ''] = line.trim().split(/\s+/);
    const isIt = LOOPBACK.some((address) => local === `${address}:${from}` && remote === `${address}:${to}`);
    if (isIt && /^\d+$/.test(uid)) return Number(uid);
  }
  return undefined;
}
