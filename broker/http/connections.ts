// Connections to a server: bounded, so that whoever opens many leaves room for the others. Where there are too many, those go that
// have shown the least: no whole request yet, nothing under way; of those the oldest, and rather of somebody who has many.

import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { networkOf } from '../net/network.ts';

export interface ConnectionLimits {
  readonly all: number;
  /** Of those that have not sent a whole request yet. */
  readonly unproven: number;
  /** Of those from one address. Many people may be behind it, and all of them log in at nine. */
  readonly unproven_of_address: number;
}

/** @param descriptors how many files and sockets the process may have open: some are the store's, and of those that it asks */
export function limitsFor(descriptors: number): ConnectionLimits {
  const all = Math.max(8, Math.min(16_384, Math.floor((descriptors * 5) / 8)));
  return { all, unproven: Math.ceil(all / 2), unproven_of_address: Math.ceil(all / 4) };
}

/** Beside `limitsFor`: where figures are read, by few. */
export function fewFor(descriptors: number): ConnectionLimits {
  const all = Math.max(4, Math.min(64, Math.floor(descriptors / 8)));
  return { all, unproven: all, unproven_of_address: all };
}

interface Connection {
  /** What it is found by: of a socket that is closed nothing can be asked. */
  readonly key: string;
  readonly socket: Socket;
  readonly network: Network;
  /** Requests that are not answered yet. */
  open: number;
}

/** What comes from one address, or from what is likely one host's (IPv6: the first 64 bits). */
interface Network {
  readonly name: string;
  connections: number;
  readonly unproven: Set<Connection>;
}

/**
 * Requests that are sent on one connection without waiting for their answers: a few (RFC 9112 9.3.2). No client that we know of sends
 * a second one before the first is answered, and all that come in one piece are there at once, each with its answer to be kept.
 */
const MOST_UNANSWERED = 16;

/**
 * Milliseconds without a byte either way, in the middle of an answer: then whoever asked does not read it. Node.js sees that after one
 * or two of these.
 */
const STALLED_MS = 4_000;

/** How many are looked at for the one that goes. */
const SAMPLE = 32;

export class Connections {
  readonly #limits: ConnectionLimits;
  readonly #onCut: () => void;
  readonly #all = new Map<string, Connection>();
  readonly #networks = new Map<string, Network>();
  /** The oldest first, each of these. A connection is in one of the first two, or something is under way on it. */
  readonly #unproven = new Set<Connection>();
  readonly #idle = new Set<Connection>();
  /** A request that is not whole yet is under way on it. */
  readonly #receiving = new Set<Connection>();
  readonly #by_socket = new WeakMap<object, Connection>();

  /** @param onCut is told of each that had to go */
  constructor(server: Server, limits: ConnectionLimits, onCut: () => void) {
    this.#limits = limits;
    this.#onCut = onCut;
    // Under TLS as well these are the bare ones, before any handshake.
    server.on('connection', (socket) => this.#add(socket));
    server.prependListener('request', (request, response) => this.#begin(request, response));
    // Node.js counts what goes out as well, and has set another time where nothing is under way.
    server.setTimeout(STALLED_MS, (socket) => this.#quiet(socket));
  }

  /** Cuts what has not sent a whole request: a stop waits for the others alone. */
  close(): void {
    for (const { socket } of this.#unproven) socket.destroy();
  }

  /** Whether a request came on a connection that was cut: it is not to be looked at. */
  isCut({ socket }: IncomingMessage): boolean {
    return socket.destroyed;
  }

  get size(): number {
    return this.#all.size;
  }

  #add(socket: Socket): void {
    const key = keyOf(socket);
    // Gone already.
    if (socket.remoteAddress === undefined) return;
    const network = this.#networkOf(socket.remoteAddress);
    const connection: Connection = { key, socket, network, open: 0 };
    network.connections += 1;
    network.unproven.add(connection);
    this.#all.set(key, connection);
    this.#unproven.add(connection);
    socket.once('close', () => this.#remove(connection));

    const { all, unproven, unproven_of_address } = this.#limits;
    if (network.unproven.size > unproven_of_address) this.#cut(firstOf(network.unproven));
    if (this.#unproven.size > unproven) this.#cut(this.#heaviestOf(this.#unproven, connection));
    if (this.#all.size > all) {
      const [more, fewer] = [this.#unproven, this.#idle].sort((one, other) => other.size - one.size);
      const victims = [more, fewer, this.#receiving].map((some) => some && this.#heaviestOf(some, connection));
      this.#cut(victims.find((victim) => victim) ?? connection);
    }
  }

  /** Nothing came or went for a while. What waits for us, and not we for it, goes on. */
  #quiet(socket: Socket): void {
    const connection = this.#by_socket.get(socket) ?? this.#all.get(keyOf(socket));
    // Who has not sent a whole request has less time than this, and another clock.
    if (connection && this.#unproven.has(connection)) return;
    const isOurs = connection !== undefined && connection.open > 0 && socket.writableLength === 0;
    if (!isOurs) socket.destroy();
  }

  #has(connection: Connection): boolean {
    return this.#all.get(connection.key) === connection;
  }

  #networkOf(address: string): Network {
    const name = networkOf(address);
    const network = this.#networks.get(name) ?? { name, connections: 0, unproven: new Set() };
    this.#networks.set(name, network);
    return network;
  }

  /** @param except the newest, which has had no time to show anything */
  #heaviestOf(some: ReadonlySet<Connection>, except: Connection): Connection | undefined {
    let [heaviest, most, looked]: [Connection | undefined, number, number] = [undefined, 0, 0];
    for (const one of some) {
      if (one === except) continue;
      const weight = one.network.connections;
      if (weight > most) [heaviest, most] = [one, weight];
      looked += 1;
      if (looked === SAMPLE) break;
    }
    return heaviest;
  }

  #cut(connection: Connection | undefined): void {
    if (!connection) return;
    this.#remove(connection);
    connection.socket.destroy();
    this.#onCut();
  }

  #begin(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request;
    const connection = this.#by_socket.get(socket) ?? this.#all.get(keyOf(socket));
    if (!connection) return;
    this.#by_socket.set(socket, connection);
    connection.open += 1;
    if (connection.open > MOST_UNANSWERED) socket.destroy();
    this.#idle.delete(connection);
    this.#receiving.add(connection);
    request.once('end', () => this.#received(connection));
    response.once('close', () => {
      connection.open -= 1;
      this.#received(connection);
      if (connection.open === 0 && this.#has(connection)) this.#idle.add(connection);
    });
  }

  #received(connection: Connection): void {
    this.#unproven.delete(connection);
    connection.network.unproven.delete(connection);
    this.#receiving.delete(connection);
  }

  #remove(connection: Connection): void {
    if (!this.#has(connection)) return;
    this.#all.delete(connection.key);
    this.#received(connection);
    this.#idle.delete(connection);
    const { network } = connection;
    network.connections -= 1;
    if (network.connections === 0) this.#networks.delete(network.name);
  }
}

function firstOf<T>(some: ReadonlySet<T>): T | undefined {
  for (const one of some) return one;
  return undefined;
}

/** The same for a bare connection and for the one that TLS makes of it. */
function keyOf({ remoteAddress, remotePort, localAddress }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress}`;
}
