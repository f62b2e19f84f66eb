// Ports for servers that must be able to come back on the same one.
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import type { Server } from 'node:net';

/** Below Linux's usual ephemeral range (32768 and up), so that no outgoing connection and no port 0 takes one meanwhile. */
const first = 20_000;
const last = 32_000;

/** Listens on `port` of `host`; rejects as `listen` would. */
export async function listenOn(server: Server, port: number, host: string): Promise<void> {
  const listening = once(server, 'listening');
  server.listen(port, host);
  await listening;
}

/** Listens on some free port that the kernel hands to nobody else while the server is down, and returns it. */
export async function listenAnywhere(server: Server, host = '127.0.0.1'): Promise<number> {
  for (let tries = 0; tries < 50; tries += 1) {
    const port = randomInt(first, last);
    try {
      await listenOn(server, port, host);
      return port;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    }
  }
  throw new Error(`no free port between ${first} and ${last} on ${host}`);
}
