// The connections of clients: bounded, of one address as well, and those that have proven nothing for a while end, whatever they send. Proven is one on
// which the API server let somebody in: a 401 may be asked for as often as one likes, and a ping costs nothing.

import type { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { networkOf } from '../serving/net/address.ts';
import { type Connection, type ConnectionLimits, Connections } from '../serving/net/connections.ts';

/** Milliseconds from the first byte, for one on which nothing is under way; and for all others. */
const UNPROVEN_MS = 30_000;
const UNPROVEN_BUSY_MS = 90_000;
/** Milliseconds between two looks. */
const LOOK_MS = 1_000;

/** @param descriptors that the process may have open: each may have a connection to the API server as well */
export function limitsFor(descriptors: number): ConnectionLimits {
  const all = Math.max(64, Math.floor(descriptors * 0.4));
  // Whoever is alone behind an address is far below; an office, or a balancer that hides addresses, has most of what there is, and never all.
  return {
    all,
    unproven: Math.ceil(all / 2),
    unproven_of_address: Math.ceil(all / 4),
    of_address: Math.ceil((all * 3) / 4),
  };
}

/** A socket as a request has it. */
type End = Pick<Socket, 'remoteAddress' | 'remotePort' | 'localAddress'>;

export interface Clients {
  readonly size: number;
  /** A request has come. @param over emits `close` once it is answered, or will never be */
  begin(end: End, over: EventEmitter): void;
  /** The API server has let somebody in. */
  prove(end: End): void;
  isProven(end: End): boolean;
}

/**
 * @param server emits `connection` for bare sockets
 * @param elapsed milliseconds, by a clock that is never set
 * @param onCut is told of each that had to go
 */
export function boundClients(
  server: EventEmitter,
  limits: ConnectionLimits,
  elapsed: () => number,
  onCut: () => void,
): Clients {
  const connections = new Connections(limits, onCut);
  const since = new WeakMap<Connection, number>();
  server.on('connection', (socket: Socket) => {
    const connection = connections.add(socket);
    if (connection) since.set(connection, elapsed());
  });
  const look = () => {
    const now = elapsed();
    for (const connection of connections.unproven) {
      const age = now - (since.get(connection) ?? now);
      if (age < UNPROVEN_MS) break;
      if (connection.open === 0 || age >= UNPROVEN_BUSY_MS) connection.socket.destroy();
    }
  };
  const looking = setInterval(look, LOOK_MS).unref();
  server.once('close', () => clearInterval(looking));
  return {
    get size() {
      return connections.size;
    },
    begin(end, over) {
      const connection = connections.of(end);
      if (!connection) return;
      connections.begin(connection, true);
      over.once('close', () => connections.end(connection));
    },
    prove(end) {
      const connection = connections.of(end);
      if (connection) connections.prove(connection);
    },
    isProven(end) {
      const connection = connections.of(end);
      return connection !== undefined && connections.isProven(connection);
    },
  };
}

export interface PendingLimits {
  readonly all: number;
  readonly of_address: number;
}

/** What is being made and takes others' time, before it is open: bounded in all, and of one address. */
export class Pending {
  readonly #most: PendingLimits;
  readonly #of_network = new Map<string, number>();
  #all = 0;

  constructor(most: PendingLimits) {
    this.#most = most;
  }

  get size(): number {
    return this.#all;
  }

  /** @returns what is to be called once, when it is no more; `undefined` where there are too many */
  enter(address: string): (() => void) | undefined {
    const network = networkOf(address);
    const before = this.#of_network.get(network) ?? 0;
    if (this.#all >= this.#most.all || before >= this.#most.of_address) return undefined;
    this.#all += 1;
    this.#of_network.set(network, before + 1);
    return () => {
      this.#all -= 1;
      const left = (this.#of_network.get(network) ?? 1) - 1;
      if (left > 0) this.#of_network.set(network, left);
      else this.#of_network.delete(network);
    };
  }
}
