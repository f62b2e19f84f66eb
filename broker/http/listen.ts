// Begins to listen, or says which setting names a place where that cannot be.

import type { AddressInfo } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { CurfewError } from '../../shared/errors.ts';

/**
 * @param setting that names the place
 * @returns the URL
 * @throws CurfewError `configuration`
 */
export async function listenAt(
  app: FastifyInstance,
  setting: string,
  { address, port }: { readonly address: string; readonly port: number },
): Promise<string> {
  try {
    await app.listen({ host: address, port });
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? cause.code : 'unknown error';
    throw new CurfewError('configuration', `${setting}: cannot listen at ${address}:${port} (${code})`, { cause });
  }
  return urlOf(app.server.address(), 'setSecureContext' in app.server);
}

function urlOf(address: AddressInfo | string | null, secure: boolean): string {
  if (address === null || typeof address === 'string') throw new TypeError('the server has no port');
  const host = address.family === 'IPv6' ? `[${address.address}]` : address.address;
  return `${secure ? 'https' : 'http'}://${host}:${address.port}`;
}
