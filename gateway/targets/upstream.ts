// The TCP connection to a target, at the address that the broker named: a client names none, and nothing sends it elsewhere.

import net from 'node:net';
import type { ConnectionReply } from '../../shared/connection_wire.ts';

/** Milliseconds for a name to be looked up and a connection to be there. */
const CONNECT_MS = 10_000;
/** Milliseconds without a byte after which the system asks whether the other side is still there. */
const KEEP_ALIVE_MS = 30_000;

/**
 * @param socket which is given up by `destroy`
 * @returns whether it is there, in time
 */
export function isConnected(socket: net.Socket): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => socket.destroy(), CONNECT_MS);
    const done = (is: boolean) => {
      clearTimeout(timer);
      resolve(is);
    };
    socket.once('connect', () => done(true));
    socket.once('close', () => done(false));
  });
}

/** It is on its way. What the target sends waits until somebody listens. */
export function openUpstream({ host, port }: ConnectionReply['address']): net.Socket {
  const socket = net.connect({
    host,
    port,
    allowHalfOpen: true,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: KEEP_ALIVE_MS,
  });
  socket.on('error', () => undefined);
  return socket;
}

/** Milliseconds for what was just ended to be so. */
const ENDING_MS = 100;

/** Not ended as if all had been said. */
export function reset(socket: net.Socket): void {
  if (socket.destroyed) return;
  if (socket.connecting) socket.destroy();
  // The system does not reset in the middle of ending, and says nothing of it: it would stay open.
  else if (socket.writableEnded && !socket.writableFinished) {
    socket.pause();
    socket.once('finish', () => socket.destroyed || socket.resetAndDestroy());
    setTimeout(() => socket.destroy(), ENDING_MS).unref();
  } else socket.resetAndDestroy();
}
