// A client by TLS alone: what it sends and what it gets are bytes, so that it can say what no library would.

import { once } from 'node:events';
import { connect, type TLSSocket } from 'node:tls';
import { until } from './patience.ts';

export interface RawClient {
  readonly socket: TLSSocket;
  send(bytes: string | Uint8Array): void;
  /** All that has come. */
  bytes(): Buffer;
  /** The same, a character for each byte. */
  text(): string;
  /** Whether the other side has ended it, or broken it off. */
  readonly ended: boolean;
  /** Waits until it is answered with a whole head. @returns the status */
  status(): Promise<number>;
  says(form: RegExp): Promise<RegExpExecArray>;
  /** Waits until the other side has ended it. */
  end(): Promise<void>;
  destroy(): void;
}

export interface RawClientOptions {
  readonly url: string;
  readonly ca: string;
  readonly protocol?: 'http/1.1' | 'h2';
}

/** It never ends its own side by itself. */
export async function openRaw({ url, ca, protocol = 'http/1.1' }: RawClientOptions): Promise<RawClient> {
  const { hostname, port } = new URL(url);
  // Node.js passes it on to the socket below, though its types do not say so.
  const options = { host: hostname, port: Number(port), ca, ALPNProtocols: [protocol], allowHalfOpen: true };
  const socket = connect(options);
  await once(socket, 'secureConnect');
  const chunks: Buffer[] = [];
  let ended = false;
  const isOver = () => {
    ended = true;
  };
  socket.on('error', () => undefined).on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.once('end', isOver).once('close', isOver);
  const text = () => Buffer.concat(chunks).toString('latin1');
  const says = async (form: RegExp): Promise<RegExpExecArray> => {
    await until(() => form.test(text()) || ended, `it is not told ${form}`);
    const found = form.exec(text());
    if (!found) throw new Error(`it is told otherwise: ${text().slice(0, 2_000)}`);
    return found;
  };
  return {
    socket,
    send: (bytes) => void socket.write(bytes),
    bytes: () => Buffer.concat(chunks),
    text,
    get ended() {
      return ended;
    },
    status: async () => Number((await says(/^HTTP\/1\.1 (\d{3}) .*\r\n(?:.+\r\n)*\r\n/))[1]),
    says,
    end: () => until(() => ended, 'it is not ended'),
    destroy: () => socket.destroy(),
  };
}

/** A request over HTTP/1.1, as text. @param headers lines; `Host` is there already */
export function requestText(path: string, headers: readonly string[] = [], method = 'GET', body = ''): string {
  return [`${method} ${path} HTTP/1.1`, 'Host: gateway', ...headers, '', body].join('\r\n');
}
