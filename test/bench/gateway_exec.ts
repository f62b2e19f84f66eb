// An exec over WebSocket as kubectl's, from both ends: `v5.channel.k8s.io`, with frames of the size that API servers send.

import https from 'node:https';
import type { Duplex } from 'node:stream';

/** Where the API server is, or the gateway before it, and as whom. */
export interface Place {
  readonly url: string;
  readonly ca: string;
  readonly token: string;
}

export const SUBPROTOCOL = 'v5.channel.k8s.io';
export const MIB = 1024 * 1024;
const PATH = '/api/v1/namespaces/dev/pods/shell/exec';
/** kube-apiserver copies by 32 KiB. */
const FRAME_BYTES = 32 * 1024;
const FRAMES_OF_MIB = MIB / FRAME_BYTES;
const [STDOUT, ERROR] = [1, 3];

/** @param mib what it says on stdout before it ends; without it nothing, and it does not end */
export function openExec({ url, ca, token }: Place, mib?: number): Promise<Duplex> {
  const query = mib === undefined ? '' : `&command=${mib}`;
  return new Promise((resolve, reject) => {
    const request = https.request(`${url}${PATH}?container=shell&stdout=true${query}`, {
      ...{ ca, agent: false, ALPNProtocols: ['http/1.1'] },
      headers: {
        ...{ authorization: `Bearer ${token}`, connection: 'Upgrade', upgrade: 'websocket' },
        ...{ 'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==', 'sec-websocket-version': '13' },
        'sec-websocket-protocol': SUBPROTOCOL,
      },
    });
    request.once('error', reject);
    request.once('response', ({ statusCode }) => reject(new Error(`an exec was answered ${statusCode}`)));
    request.once('upgrade', (_answer, socket, rest) => {
      socket.on('error', () => undefined);
      if (rest.length > 0) socket.unshift(rest);
      resolve(socket);
    });
    request.end();
  });
}

/** @returns milliseconds from the request to the end @throws Error where something is missing */
export async function copy(place: Place, mib: number): Promise<number> {
  const begin = performance.now();
  const socket = await openExec(place, mib);
  let bytes = 0;
  socket.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
  });
  await new Promise((resolve) => socket.once('end', resolve));
  socket.destroy();
  if (bytes < mib * MIB) throw new Error(`${bytes} bytes of ${mib} MiB came`);
  return performance.now() - begin;
}

/** What the other end does: as many MiB as it was asked for, as fast as they are taken. */
export async function serveExec(socket: Duplex, url: string): Promise<void> {
  socket.on('error', () => socket.destroy());
  socket.resume();
  socket.once('end', () => socket.end());
  socket.write(
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
      `Sec-WebSocket-Accept: ICX+Yqv66kxgM0FcWaLWlFLwTAI=\r\nSec-WebSocket-Protocol: ${SUBPROTOCOL}\r\n\r\n`,
  );
  const mib = Number(new URLSearchParams(url.slice(url.indexOf('?') + 1)).get('command') ?? Number.NaN);
  if (Number.isNaN(mib)) return;
  // By the half, so that it goes on while the other half is sent.
  const half = Buffer.concat(
    Array.from({ length: FRAMES_OF_MIB / 2 }, () => frame(STDOUT, Buffer.alloc(FRAME_BYTES, 'x'))),
  );
  for (let i = 0; i < 2 * mib && !socket.destroyed; i++)
    if (!socket.write(half)) await new Promise((resolve) => socket.once('drain', resolve).once('close', resolve));
  socket.end(Buffer.concat([frame(ERROR, Buffer.from('{"status":"Success"}')), Buffer.from([0x88, 2, 0x03, 0xe8])]));
}

function frame(channel: number, payload: Buffer): Buffer {
  const length = payload.length + 1;
  const head = Buffer.alloc(length < 126 ? 2 : 4);
  head[0] = 0x82;
  head[1] = Math.min(length, 126);
  if (length >= 126) head.writeUInt16BE(length, 2);
  return Buffer.concat([head, Buffer.from([channel]), payload]);
}
