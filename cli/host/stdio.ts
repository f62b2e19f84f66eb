// stdin and stdout as streams of bytes, for what passes through this program.

import { fstatSync } from 'node:fs';
import { Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';

/** Nothing else may write to stdout then. */
export function byteStreams(): { readonly input: Readable; readonly output: Writable } {
  return { input: process.stdin, output: writable(1) };
}

/** `process.stdout` cannot be closed: whoever reads it would not learn of an end before this program is gone. */
function writable(fd: number): Writable {
  const stat = fstatSync(fd);
  return stat.isFIFO() || stat.isSocket() ? new Socket({ fd, readable: false, writable: true }) : process.stdout;
}
