// Connections to a server: bounded, so that whoever opens many leaves room for the others. Where there are too many, those go that
// have shown the least: unproven, or with nothing under way; of those the oldest, and rather of somebody who has many.

import type { Socket } from 'node:net';
import { networkOf } from './address.ts';

export interface ConnectionLimits {
  readonly all: number;
  /** Of those that have not proven themselves yet: what does is for the server to say. */
  readonly unproven: number;
  /** Of those from one address. Many people may be behind it, and all of them log in at nine. */
  readonly unproven_of_address: number;
  /** From one address, proven or not. */
  readonly of_address: number;
}

export interface Connection {
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
  readonly idle: Set<Connection>;
  readonly receiving: Set<Connection>;
}

/** What a connection is found by: the bare one, or the one that TLS or HTTP/2 makes of it. */
type End = Pick<Socket, 'remoteAddress' | 'remotePort' | 'localAddress'>;

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
  readonly #by_end = new WeakMap<object, Connection>();

  /** @param onCut is told of each that had to go */
  constructor(limits: ConnectionLimits, onCut: () => void) {
    this.#limits = limits;
    this.#onCut = onCut;
  }

  get size(): number {
    return this.#all.size;
  }

  /** The oldest first. */
  get unproven(): ReadonlySet<Connection> {
    return this.#unproven;
  }

  /** @param socket the bare one, before any handshake @returns `undefined` where it has gone, or had to go */
  add(socket: Socket): Connection | undefined {
    // Gone already.
    if (socket.remoteAddress === undefined) return undefined;
    const network = this.#networkOf(socket.remoteAddress);
    const connection: Connection = { key: keyOf(socket), socket, network, open: 0 };
    network.connections += 1;
    network.unproven.add(connection);
    this.#all.set(connection.key, connection);
    this.#unproven.add(connection);
    socket.once('close', () => this.#remove(connection));
    this.#makeRoom(connection);
    return this.has(connection) ? connection : undefined;
  }

  of(end: End): Connection | undefined {
    const connection = this.#by_end.get(end) ?? this.#all.get(keyOf(end));
    if (connection) this.#by_end.set(end, connection);
    return connection;
  }

  has(connection: Connection): boolean {
    return this.#all.get(connection.key) === connection;
  }

  /** A request has come on it. @param is_whole whether nothing of it is to come */
  begin(connection: Connection, is_whole: boolean): void {
    connection.open += 1;
    this.#idle.delete(connection);
    connection.network.idle.delete(connection);
    if (is_whole || !this.has(connection)) return;
    this.#receiving.add(connection);
    connection.network.receiving.add(connection);
  }

  received(connection: Connection): void {
    this.#receiving.delete(connection);
    connection.network.receiving.delete(connection);
  }

  isProven(connection: Connection): boolean {
    return this.has(connection) && !this.#unproven.has(connection);
  }

  prove(connection: Connection): void {
    this.#unproven.delete(connection);
    connection.network.unproven.delete(connection);
  }

  /** A request is answered, or will never be. */
  end(connection: Connection): void {
    connection.open -= 1;
    this.received(connection);
    if (connection.open > 0 || !this.has(connection) || this.#unproven.has(connection)) return;
    this.#idle.add(connection);
    connection.network.idle.add(connection);
  }

  cut(connection: Connection | undefined): void {
    if (!connection) return;
    this.#remove(connection);
    connection.socket.destroy();
    this.#onCut();
  }

  #makeRoom(newest: Connection): void {
    const { all, unproven, unproven_of_address, of_address } = this.#limits;
    const { network } = newest;
    if (network.unproven.size > unproven_of_address) this.cut(firstOf(network.unproven));
    if (network.connections > of_address)
      this.cut(otherThan(newest, network.unproven) ?? firstOf(network.idle) ?? firstOf(network.receiving) ?? newest);
    if (this.#unproven.size > unproven) this.cut(this.#heaviestOf(this.#unproven, newest));
    if (this.#all.size > all) {
      const [more, fewer] = [this.#unproven, this.#idle].sort((one, other) => other.size - one.size);
      const victims = [more, fewer, this.#receiving].map((some) => some && this.#heaviestOf(some, newest));
      this.cut(victims.find((victim) => victim) ?? newest);
    }
  }

  #networkOf(address: string): Network {
    const name = networkOf(address);
    const network: Network = this.#networks.get(name) ?? {
      ...{ name, connections: 0 },
      ...{ unproven: new Set(), idle: new Set(), receiving: new Set() },
    };
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

  #remove(connection: Connection): void {
    if (!this.has(connection)) return;
    this.#all.delete(connection.key);
    this.prove(connection);
    this.received(connection);
    this.#idle.delete(connection);
    const { network } = connection;
    network.idle.delete(connection);
    network.connections -= 1;
    if (network.connections === 0) this.#networks.delete(network.name);
  }
}

function firstOf<T>(some: ReadonlySet<T>): T | undefined {
  for (const one of some) return one;
  return undefined;
}

function otherThan<T>(newest: T, some: ReadonlySet<T>): T | undefined {
  for (const one of some) if (one !== newest) return one;
  return undefined;
}

/** The same for a bare connection and for the one that TLS makes of it. */
function keyOf({ remoteAddress, remotePort, localAddress }: End): string {
  return `${remoteAddress} ${remotePort} ${localAddress}`;
}
