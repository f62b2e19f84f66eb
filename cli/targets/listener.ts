// A listener on loopback: each connection that it takes is one at the gateway, with a pass and a proof of its own.

import { createServer, type Server, type Socket } from 'node:net';
import { CurfewError } from '../../shared/errors.ts';
import { codeOf } from '../host/error_code.ts';
import type { Client } from '../session/client.ts';
import { dial, faultOfEnd } from './dial.ts';
import type { Pass, PassRequest } from './pass.ts';
import { canTellPeers, peerOf } from './peer.ts';
import { pump } from './pump.ts';

export const LOOPBACK = '127.0.0.1';

/** For what was written to us to reach the gateway, once no more connections are taken. */
const DRAIN_MS = 3_000;

export interface Listener extends AsyncDisposable {
  readonly port: number;
  /** Resolves with why the session gives no connection any more. */
  readonly over: Promise<CurfewError>;
  /** What a connection failed of last. */
  readonly fault: () => CurfewError | undefined;
}

/**
 * @param port 0: any that is free
 * @param first for the first connection
 * @param told takes what keeps a connection from going on, while others may
 * @throws CurfewError `busy` where the port is taken, `configuration`
 */
export async function listen(
  client: Client,
  request: PassRequest,
  { port, first, told }: { readonly port: number; readonly first: Pass; readonly told: (fault: CurfewError) => void },
): Promise<Listener> {
  const over = Promise.withResolvers<CurfewError>();
  const sockets = new Set<Socket>();
  const served = new Set<Promise<void>>();
  let fault: CurfewError | undefined;
  let unused: Pass | undefined = first;
  const failed = (error: unknown) => {
    if (!(error instanceof CurfewError)) throw error;
    fault = error;
    told(error);
    if (isOver(error)) over.resolve(error);
  };
  const serve = async (socket: Socket) => {
    const pass = unused;
    unused = undefined;
    try {
      // The credential of the first is that of all.
      const dialled = await dial(client, { ...request, way_alone: true }, 'nobody', pass);
      if (socket.destroyed) return dialled.socket.terminate();
      const ends = { input: socket, output: socket, breakOff: () => void socket.resetAndDestroy() };
      const end = await pump(dialled.socket, ends, dialled.pass.target.kind === 'tcp');
      socket.destroySoon();
      const wrong = faultOfEnd(client, dialled.pass, end);
      if (wrong) failed(wrong);
    } catch (error) {
      socket.resetAndDestroy();
      failed(error);
    }
  };
  const strangers = new Set<string>();
  const server = createServer({ noDelay: true, allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    // Said by what becomes of the connection.
    socket.on('error', () => undefined);
    const stranger = strangerAt(client.host, socket);
    if (stranger === undefined) {
      const done = serve(socket).finally(() => served.delete(done));
      served.add(done);
      return;
    }
    socket.resetAndDestroy();
    if (!strangers.has(stranger))
      client.host.say(`a connection of ${stranger} was refused: only this user's are taken`);
    strangers.add(stranger);
  });
  await listening(server, port);
  const address = server.address();
  if (address === null || typeof address === 'string') throw new TypeError('a listener without a port');
  return {
    port: address.port,
    over: over.promise,
    fault: () => fault,
    async [Symbol.asyncDispose]() {
      // Whoever wrote and is gone already may have more on its way.
      const late = setTimeout(() => sockets.forEach((socket) => void socket.destroy()), DRAIN_MS);
      await new Promise<void>((resolve) => server.close(() => resolve()));
      // Why the gateway ended them comes last.
      await Promise.all(served);
      clearTimeout(late);
    },
  };
}

/** Whether no other connection will do better before a login. */
export function isOver({ code }: CurfewError): boolean {
  return OVER.includes(code);
}

const OVER: readonly string[] = [
  ...['session_ended', 'unknown_session', 'login_too_old', 'idle_too_long', 'revalidation_due', 'acr_too_low'],
  ...['invalid_target', 'not_admitted'],
];

/** @returns whose connection it is, where it is not this user's */
function strangerAt(host: Client['host'], { remotePort, localPort }: Socket): string | undefined {
  if (!canTellPeers(host) || remotePort === undefined || localPort === undefined) return undefined;
  const uid = peerOf(remotePort, localPort);
  if (uid === host.uid) return undefined;
  return uid === undefined ? 'nobody knows whom' : `uid ${uid}`;
}

function listening(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      const code = codeOf(error);
      const taken = code === 'EADDRINUSE';
      const message = taken
        ? `port ${port} of ${LOOPBACK} is taken`
        : `port ${port} of ${LOOPBACK} cannot be used (${code})`;
      reject(new CurfewError(taken ? 'busy' : 'configuration', message, { hint: 'give another port, or 0 for any' }));
    });
    server.listen(port, LOOPBACK, resolve);
  });
}
