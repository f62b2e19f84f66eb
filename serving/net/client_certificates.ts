// Certificates of clients: asked for in the handshake, judged at each request of a route that wants one. Connections stay open for days, so what was
// good in the handshake may be over; and what OpenSSL says of a session that was resumed is not believed where there is no certificate.

import type { EventEmitter } from 'node:events';
import type { TLSSocket } from 'node:tls';
import { type Clock, fromMilliseconds, over, type Seconds } from '../../shared/time.ts';

interface Presented {
  /** What is wrong with it by itself. */
  readonly fault: string | undefined;
  readonly end: Seconds;
  /** By which authorities it was judged: they may be others by now. */
  readonly judged: number;
}

const NONE = 'no client certificate was presented';
const UNKNOWN = 'the client certificate is not of an authority in client_ca_file';
const OVER = 'the client certificate has expired';

export class ClientCertificates {
  readonly #now: Clock;
  readonly #presented = new WeakMap<object, Presented>();
  #close: () => void = () => undefined;
  #authorities = 0;

  constructor(now: Clock) {
    this.#now = now;
  }

  /** @param server by https */
  attach(server: EventEmitter & { closeIdleConnections?(): void }): void {
    server.on('secureConnection', (socket: TLSSocket) => this.#presented.set(socket, this.#look(socket)));
    this.#close = () => server.closeIdleConnections?.();
  }

  /** Others than before are believed: who is connected is judged in a new handshake. */
  changed = (): void => {
    this.#authorities += 1;
    this.#close();
  };

  /** @param socket of a request @returns why it is not believed */
  faultOf(socket: object): string | undefined {
    const presented = this.#presented.get(socket);
    if (!presented) return NONE;
    if (presented.fault !== undefined) return presented.fault;
    if (presented.judged !== this.#authorities) return UNKNOWN;
    return over(presented.end, this.#now()) ? OVER : undefined;
  }

  #look(socket: TLSSocket): Presented {
    const end = Date.parse(socket.getPeerCertificate().valid_to ?? '');
    const fault = faultIn(socket, end);
    return { fault, end: fromMilliseconds(fault === undefined ? end : 0), judged: this.#authorities };
  }
}

/** @param end of the certificate, in milliseconds; not a number where there is none */
function faultIn(socket: TLSSocket, end: number): string | undefined {
  if (Number.isNaN(end)) return NONE;
  if (socket.authorized) return undefined;
  return String(socket.authorizationError) === 'CERT_HAS_EXPIRED' ? OVER : UNKNOWN;
}
