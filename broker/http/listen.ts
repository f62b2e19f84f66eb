// Begins to listen, or says which setting names a place where that cannot be.

import type { FastifyInstance } from 'fastify';
import { cannotListen, type Place, urlOf } from '../../serving/net/listen.ts';

/**
 * @param setting that names the place
 * @returns the URL
 * @throws CurfewError `configuration`
 */
export async function listenAt(app: FastifyInstance, setting: string, place: Place): Promise<string> {
  try {
    await app.listen({ host: place.address, port: place.port });
  } catch (cause) {
    throw cannotListen(setting, place, cause);
  }
  return urlOf(app.server);
}
