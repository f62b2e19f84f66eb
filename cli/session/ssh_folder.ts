// Where ssh's keys and certificates of a session are: with the rest of what is of one login, so that they go with it.

import { createHash } from 'node:crypto';

/** A name for a broker, without what ssh would expand in a path. */
export function brokerName(broker: string): string {
  return createHash('sha256').update(broker).digest('hex').slice(0, 16);
}

/** @param cache the folder of the cache */
export function sshFolder(cache: string, broker: string): string {
  return `${cache}/ssh/${brokerName(broker)}`;
}
