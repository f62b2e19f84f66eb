// A connection between two programs that a test holds in its hand: it passes, lets nothing through either way, or breaks off.

import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { listenAnywhere } from './ports.ts';

export interface Link {
  readonly port: number;
  /** What goes through: all; nothing, as where packets are dropped; or nothing, and each connection is reset. */
  become(how: 'pass' | 'hold' | 'reset'): void;
  stop(): Promise<void>;
}

/** @param behind a port of loopback @param from the address of this machine that is told there */
export async function startLink(behind: number, from?: string): Promise<Link> {
  let how: 'pass' | 'hold' | 'reset' = 'pass';
  const sockets = new Set<Socket>();
  const keep = (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket)).on('error', () => socket.destroy());
  };
  const server = createServer((socket) => {
    keep(socket);
    if (how === 'reset') return void socket.resetAndDestroy();
    const other = connect({ port: behind, host: '127.0.0.1', localAddress: from });
    keep(other);
    for (const [from, to] of [
      [socket, other],
      [other, socket],
    ] as const) {
      from.on('data', (bytes) => {
        if (!to.write(bytes)) from.pause();
      });
      to.on('drain', () => how === 'pass' && from.resume());
      from.once('end', () => to.end()).once('close', () => to.destroy());
      if (how === 'hold') from.pause();
    }
  });
  const port = await listenAnywhere(server);
  return {
    port,
    become(next) {
      how = next;
      for (const socket of sockets) {
        if (next === 'reset') socket.resetAndDestroy();
        else if (next === 'hold') socket.pause();
        else socket.resume();
      }
    },
    async stop() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
