// How many connections the broker's servers have at a time.

import type { ConnectionLimits } from '../../serving/net/connections.ts';

/** @param descriptors how many files and sockets the process may have open: some are the store's, and of those that it asks */
export function limitsFor(descriptors: number): ConnectionLimits {
  const all = Math.max(8, Math.min(16_384, Math.floor((descriptors * 5) / 8)));
  return { all, unproven: Math.ceil(all / 2), unproven_of_address: Math.ceil(all / 4), of_address: all };
}

/** Beside `limitsFor`: where figures are read, by few. */
export function fewFor(descriptors: number): ConnectionLimits {
  const all = Math.max(4, Math.min(64, Math.floor(descriptors / 8)));
  return { all, unproven: all, unproven_of_address: all, of_address: all };
}
