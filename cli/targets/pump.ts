// Bytes between two streams of this machine and a WebSocket: neither side is read faster than the other takes it, and nothing is lost at
// an end. It says how the connection ended, and prints nothing.

import type { Readable, Writable } from 'node:stream';
import type { WebSocket } from 'ws';
import { oneLine } from '../warm/one_line.ts';

/** So much may be on its way to the gateway before its source waits. */
const MOST_WAITING = 1024 * 1024;
/** The gateway closes its end at once; who does not has nothing more to say. */
const CLOSING_MS = 10_000;

/** Close codes: RFC 6455 section 7.4.1, and of our own. */
const NORMAL = 1000;
const ENDED = 4401;
const AGAIN = 4503;
const AWAY = [1011, 4502];

export type End =
  | { readonly how: 'done' }
  /** By the rules: `code` is one of ours, if we know it. */
  | { readonly how: 'ended'; readonly code: string; readonly message: string }
  /** The gateway stops, or cannot ask its broker. */
  | { readonly how: 'again'; readonly code: string; readonly message: string }
  /** The target cannot be reached, or broke off. */
  | { readonly how: 'target'; readonly message: string }
  /** The connection to the gateway broke. */
  | { readonly how: 'broken' };

export interface Ends {
  readonly input: Readable;
  readonly output: Writable;
  /** Called in place of an end of the output where that would make a part look like the whole. */
  readonly breakOff?: () => void;
}

/**
 * @param half_close whether the target is told that no more comes, and answers then (kind `tcp`); else the end of the input is that of
 * the connection
 */
export function pump(socket: WebSocket, { input, output, breakOff }: Ends, half_close: boolean): Promise<End> {
  const { promise, resolve } = Promise.withResolvers<End>();
  let left = false;
  const halves = { told: false, heard: false };
  let closing: NodeJS.Timeout | undefined;

  const stopReading = () => {
    input.off('data', send);
    input.off('end', ended);
    input.pause();
  };
  const close = () => {
    stopReading();
    if (socket.readyState === socket.OPEN) socket.close(NORMAL);
    closing ??= setTimeout(() => socket.terminate(), CLOSING_MS);
  };
  const sent = () => {
    if (socket.bufferedAmount < MOST_WAITING && input.isPaused() && !left) input.resume();
  };
  const send = (chunk: Buffer) => {
    if (socket.readyState !== socket.OPEN) return;
    socket.send(chunk, { binary: true }, sent);
    if (socket.bufferedAmount >= MOST_WAITING) input.pause();
  };
  const ended = () => {
    halves.told = true;
    if (!half_close || halves.heard) close();
    else if (socket.readyState === socket.OPEN) socket.send('eof');
  };

  socket.on('message', (data: Buffer, binary: boolean) => {
    if (!binary) {
      // The target says no more; it may still listen.
      if (data.toString() !== 'eof') return;
      halves.heard = true;
      output.end();
      if (halves.told) close();
      return;
    }
    if (output.writableEnded || output.destroyed) return;
    if (!output.write(data)) socket.pause();
  });
  output.on('drain', () => socket.resume());
  // Nobody takes what comes: the connection is of no use any more.
  const gone = () => {
    left = true;
    socket.resume();
    close();
  };
  output.on('error', gone);
  output.on('close', () => {
    if (!output.writableFinished) gone();
  });
  input.on('error', gone);
  input.on('data', send);
  input.on('end', ended);
  // Also where it was accepted without being read.
  input.resume();

  socket.on('close', (code: number, reason: Buffer) => {
    clearTimeout(closing);
    stopReading();
    const end = endOf(code, reason.toString(), left);
    if (end.how !== 'done' && breakOff) breakOff();
    if (output.destroyed || output.writableFinished) resolve(end);
    else {
      output.once('error', () => resolve(end));
      output.once('close', () => resolve(end));
      output.end(() => resolve(end));
    }
  });
  socket.resume();
  return promise;
}

function endOf(code: number, reason: string, left: boolean): End {
  const [, word = '', words = reason] = /^([a-z_]+): (.*)$/s.exec(reason) ?? [];
  const message = oneLine(words).replace(/^curfew: /, '');
  if (code === ENDED) return { how: 'ended', code: word, message };
  if (code === AGAIN) return { how: 'again', code: word, message };
  if (code === NORMAL || left) return { how: 'done' };
  return AWAY.includes(code) ? { how: 'target', message: message || 'it broke off' } : { how: 'broken' };
}
