// Where a server listens: begun, or refused with the setting that names the place.

import { once } from 'node:events';
import type { Server } from 'node:net';
import { CurfewError } from '../../shared/errors.ts';

export interface Place {
  readonly address: string;
  readonly port: number;
}

/** @param setting that names the place @throws CurfewError `configuration` */
export async function listen(server: Server, setting: string, place: Place): Promise<void> {
  server.listen(place.port, place.address);
  try {
    await once(server, 'listening');
  } catch (cause) {
    throw cannotListen(setting, place, cause);
  }
}

export function cannotListen(setting: string, { address, port }: Place, cause: unknown): CurfewError {
  const code = cause instanceof Error && 'code' in cause ? cause.code : 'unknown error';
  return new CurfewError('configuration', `${setting}: cannot listen at ${address}:${port} (${code})`, { cause });
}

/** The URL of a server that listens. */
export function urlOf(server: Pick<Server, 'address'>): string {
  const place = server.address();
  if (place === null || typeof place === 'string') throw new TypeError('the server has no port');
  const host = place.family === 'IPv6' ? `[${place.address}]` : place.address;
  return `${'setSecureContext' in server ? 'https' : 'http'}://${host}:${place.port}`;
}
