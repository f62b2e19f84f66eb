// Frames: however the bytes come in pieces the same is counted, and as a reader by hand counts it.

import assert from 'node:assert/strict';
import { LineScan } from '../../../gateway/frames/lines.ts';
import type { FrameScan } from '../../../gateway/frames/scan.ts';
import { SpdyScan, spdyData } from '../../../gateway/frames/spdy.ts';
import { type Content, WebSocketScan, webSocketClose, webSocketMessage } from '../../../gateway/frames/websocket.ts';
import { bytesOf, type Targets } from '../target.ts';

/** An input begins with how its bytes are cut: the lengths of pieces, over and over. */
const CUT_BYTES = 3;
const cuts = (bytes: Buffer) => `\x01\x05\x02${bytes.toString('latin1')}`;

interface Seen {
  readonly used: boolean;
  readonly whole: boolean;
}

function seenIn(scan: FrameScan, pieces: readonly Uint8Array[]): Seen {
  const used = pieces.map((piece) => scan.push(piece)).includes(true);
  return { used, whole: scan.whole };
}

function inPieces(bytes: Buffer, lengths: Uint8Array): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0, i = 0; at < bytes.length; i += 1) {
    const length = 1 + (lengths[i % lengths.length] ?? 0);
    pieces.push(bytes.subarray(at, at + length));
    at += length;
  }
  return pieces;
}

/** @param byHand what was used, and whether it ends between two frames */
function countAlike(input: string, make: () => FrameScan, byHand: (bytes: Buffer) => Seen): void {
  const all = bytesOf(input);
  const [lengths, bytes] = [all.subarray(0, CUT_BYTES), all.subarray(CUT_BYTES)];
  const seen = seenIn(make(), [bytes]);
  assert.deepEqual(seen, byHand(bytes), 'another count than by hand');
  assert.deepEqual(seenIn(make(), inPieces(bytes, lengths)), seen, 'another count in pieces');
  const eachByte = Array.from(bytes, (_, at) => bytes.subarray(at, at + 1));
  assert.deepEqual(seenIn(make(), eachByte), seen, 'another count byte by byte');
  // Where it may stop after some of it, reading goes on there as if nothing had been.
  const [scan, some] = [make(), Math.min(lengths[0] ?? 0, bytes.length)];
  scan.push(bytes.subarray(0, some));
  if (scan.whole) return;
  const end = some + scan.finish(bytes.subarray(some));
  assert.ok(end === bytes.length || scan.whole, 'stopped in the middle');
  assert.equal(byHand(bytes.subarray(0, end)).whole, scan.whole, 'stopped at another place');
}

function spdyByHand(bytes: Buffer, counts: (stream: number) => boolean): Seen {
  let [used, at] = [false, 0];
  while (at + 8 <= bytes.length) {
    const [first, length] = [bytes.readUInt32BE(at), bytes.readUIntBE(at + 5, 3)];
    if (first < 2 ** 31 && length > 0 && counts(first)) used = true;
    at += 8 + length;
  }
  return { used, whole: at === bytes.length };
}

function linesByHand(bytes: Buffer): Seen {
  const text = bytes.toString('latin1');
  const bookmark = '{"type":"BOOKMARK"';
  const lines = text.split(/(?<=\n)/).filter((line) => line !== '');
  return { used: lines.some((line) => !bookmark.startsWith(line.slice(0, 18))), whole: /(^|\n)$/.test(text) };
}

interface Frame {
  readonly first: number;
  readonly payload: Buffer;
  /** Whether all of it is there. */
  readonly ends: boolean;
}

/** RFC 6455 5.2. */
function* webSocketFrames(bytes: Buffer): Generator<Frame, boolean> {
  let at = 0;
  while (at < bytes.length) {
    const [first = 0, second = 0] = bytes.subarray(at);
    const short = second & 0x7f;
    const extra = short === 126 ? 2 : short === 127 ? 8 : 0;
    const begin = at + 2 + extra + (second > 0x7f ? 4 : 0);
    if (bytes.length < begin) return false;
    const length = extra === 0 ? short : Number(BigInt(`0x${bytes.subarray(at + 2, at + 2 + extra).toString('hex')}`));
    const mask = second > 0x7f ? bytes.subarray(begin - 4, begin) : Buffer.alloc(4);
    const payload = bytes.subarray(begin, begin + length).map((byte, i) => byte ^ (mask[i & 3] ?? 0));
    yield { first, payload: Buffer.from(payload), ends: begin + length <= bytes.length };
    if (begin + length > bytes.length) return false;
    at = begin + length;
  }
  return true;
}

/** @param isUse of a message as far as it is here */
function webSocketByHand(bytes: Buffer, isUse: (message: Buffer | undefined) => boolean): Seen {
  const frames = webSocketFrames(bytes);
  let message: Buffer | undefined;
  let [used, open] = [false, false];
  for (;;) {
    const { done, value } = frames.next();
    if (done) return { used, whole: value && !open };
    const operation = value.first & 0x0f;
    if (operation >= 8) continue;
    if (operation !== 0) message = Buffer.alloc(0);
    open = value.first < 0x80;
    // What continues nothing is of no message.
    if (message) message = Buffer.concat([message, value.payload]);
    if (value.payload.length > 0 && isUse(message)) used = true;
  }
}

const channels: Content = { kind: 'channels', counts: (channel) => channel === 0, digits: false };
const isStandardInput = (message: Buffer | undefined) => message?.[0] === 0 && message.length > 1;
const odd = (stream: number) => stream % 2 === 1;

const masked = Buffer.from([0x82, 0x83, 1, 2, 3, 4, 0 ^ 1, 0x61 ^ 2, 0x62 ^ 3]);
const fragments = Buffer.from([0x02, 0x01, 0x00, 0x89, 0x00, 0x80, 0x02, 0x61, 0x62]);
const ping = Buffer.from([0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1]);

export const frames: Targets = {
  websocket: {
    seeds: [
      webSocketMessage(Buffer.from('\0hello')),
      webSocketMessage(Buffer.from('\x01hello')),
      Buffer.concat([masked, webSocketClose(1000, 'x')]),
      Buffer.concat([fragments, webSocketMessage(Buffer.alloc(130))]),
    ].map(cuts),
    run(input) {
      const all = (bytes: Buffer) => webSocketByHand(bytes, () => true);
      countAlike(input, () => new WebSocketScan({ kind: 'anything' }), all);
      countAlike(
        input,
        () => new WebSocketScan(channels),
        (bytes) => webSocketByHand(bytes, isStandardInput),
      );
    },
  },
  spdy: {
    seeds: [Buffer.concat([spdyData(1, false, Buffer.from('abc')), ping]), spdyData(2, true, Buffer.alloc(0))].map(
      cuts,
    ),
    run: (input) =>
      countAlike(
        input,
        () => new SpdyScan(odd),
        (bytes) => spdyByHand(bytes, odd),
      ),
  },
  lines: {
    seeds: [Buffer.from('{"type":"BOOKMARK","object":{}}\n{"type":"ADDED"}\n'), Buffer.from('{"type":"BOOKMARK')].map(
      cuts,
    ),
    run: (input) => countAlike(input, () => new LineScan(), linesByHand),
  },
};
