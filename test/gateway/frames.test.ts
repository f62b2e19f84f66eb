// Readers of frames: however the bytes come in pieces, they see the same frames, count the same use, and know the same places.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { LineScan } from '../../gateway/frames/lines.ts';
import type { FrameScan } from '../../gateway/frames/scan.ts';
import { SpdyScan, spdyData } from '../../gateway/frames/spdy.ts';
import { type Content, WebSocketScan, webSocketClose, webSocketMessage } from '../../gateway/frames/websocket.ts';

interface Frame {
  readonly bytes: Buffer;
  /** Whether it is use. */
  readonly used: boolean;
  /** Whether something may stand after it. */
  readonly whole: boolean;
}

/** As a peer would write it (RFC 6455 5.2). */
function webSocketFrame(operation: number, last: boolean, payload: Buffer, mask: Buffer | undefined): Buffer {
  const { length } = payload;
  const head = [(last ? 0x80 : 0) | operation];
  const flag = mask ? 0x80 : 0;
  if (length < 126) head.push(flag | length);
  else if (length < 65_536) head.push(flag | 126, length >> 8, length & 0xff);
  else
    head.push(
      flag | 127,
      0,
      0,
      0,
      0,
      (length >>> 24) & 0xff,
      (length >> 16) & 0xff,
      (length >> 8) & 0xff,
      length & 0xff,
    );
  const masked = mask ? payload.map((byte, i) => byte ^ (mask[i & 3] ?? 0)) : payload;
  return Buffer.concat([Buffer.from(head), mask ?? Buffer.alloc(0), masked]);
}

function control(type: number, payload: Buffer): Buffer {
  const head = Buffer.from([0x80, 3, 0, type, 0, 0, 0, 0]);
  head.writeUIntBE(payload.length, 5, 3);
  return Buffer.concat([head, payload]);
}

const bytes = (most: number) => fc.uint8Array({ maxLength: most }).map((array) => Buffer.from(array));
const masks = fc.option(
  fc.uint8Array({ minLength: 4, maxLength: 4 }).map((array) => Buffer.from(array)),
  { nil: undefined },
);

const CHANNELS: Content = { kind: 'channels', counts: (channel) => channel === 0, digits: false };

/** A message on a channel, in one frame or several, with pings between; or a ping alone. */
const webSocketFrames: fc.Arbitrary<Frame[]> = fc
  .array(
    fc.oneof(
      fc
        .tuple(fc.constantFrom(0, 1, 2, 3, 4, 255), bytes(300), fc.integer({ min: 1, max: 3 }), masks)
        .map(([channel, payload, pieces, mask]): Frame[] => {
          const whole = Buffer.concat([Buffer.from([channel]), payload]);
          const size = Math.ceil(whole.length / pieces);
          return Array.from({ length: pieces }, (_, i) => {
            const part = whole.subarray(i * size, (i + 1) * size);
            const last = i === pieces - 1;
            // The channel itself is no data.
            const used = channel === 0 && part.length > (i === 0 ? 1 : 0);
            return { bytes: webSocketFrame(i === 0 ? 2 : 0, last, part, mask), used, whole: last };
          });
        }),
      fc
        .tuple(fc.constantFrom(9, 10), bytes(125), masks)
        .map(([operation, payload, mask]): Frame[] => [
          { bytes: webSocketFrame(operation, true, payload, mask), used: false, whole: true },
        ]),
      bytes(70_000).map((payload): Frame[] => [
        {
          bytes: webSocketFrame(2, true, Buffer.concat([Buffer.from([0]), payload]), undefined),
          ...{ used: payload.length > 0, whole: true },
        },
      ]),
    ),
    { minLength: 1, maxLength: 8 },
  )
  .map((messages) => messages.flat());

const spdyFrames: fc.Arbitrary<Frame[]> = fc.array(
  fc.oneof(
    fc.tuple(fc.constantFrom(1, 3, 5, 7), fc.boolean(), bytes(300)).map(([stream, last, payload]) => ({
      ...{ bytes: spdyData(stream, last, payload), used: stream === 3 && payload.length > 0, whole: true },
    })),
    fc
      .tuple(fc.constantFrom(1, 3, 4, 6, 7), bytes(40))
      .map(([type, payload]) => ({ bytes: control(type, payload), used: false, whole: true })),
  ),
  { minLength: 1, maxLength: 10 },
);

/** Cuts bytes into pieces of these lengths, over and over. */
function inPieces(all: Buffer, lengths: readonly number[]): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0, i = 0; at < all.length; i += 1) {
    const length = lengths[i % lengths.length] ?? 1;
    pieces.push(all.subarray(at, at + length));
    at += length;
  }
  return pieces;
}

const lengths = fc.array(fc.integer({ min: 1, max: 4_000 }), { minLength: 1, maxLength: 5 });

function countsAlike(frames: readonly Frame[], pieces: readonly number[], make: () => FrameScan): void {
  const all = Buffer.concat(frames.map((frame) => frame.bytes));
  const scan = make();
  const used = inPieces(all, pieces).map((piece) => scan.push(piece));
  assert.equal(
    used.some(Boolean),
    frames.some((frame) => frame.used),
  );
  assert.equal(scan.whole, frames.at(-1)?.whole);
}

/** Whatever has passed, the rest of what is half sent ends where a whole frame ends. */
function finishesAt(frames: readonly Frame[], share: number, pieces: readonly number[], make: () => FrameScan): void {
  const all = Buffer.concat(frames.map((frame) => frame.bytes));
  const cut = Math.floor(share * all.length);
  let end = 0;
  for (const frame of frames) {
    if (end >= cut && (end === 0 || frames[0] === undefined || wholeAt(frames, end))) break;
    end += frame.bytes.length;
  }
  const scan = make();
  scan.push(all.subarray(0, cut));
  let at = cut;
  for (const piece of inPieces(all.subarray(cut), pieces)) {
    if (scan.whole) break;
    at += scan.finish(piece);
  }
  assert.equal(at, end);
}

function wholeAt(frames: readonly Frame[], end: number): boolean {
  let at = 0;
  for (const frame of frames) {
    at += frame.bytes.length;
    if (at === end) return frame.whole;
  }
  return true;
}

/** Frames that end with a whole message: pings within one that is fragmented are no places. */
const channels = () => new WebSocketScan(CHANNELS);
const spdy = () => new SpdyScan((stream) => stream === 3);

describe('WebSocket', () => {
  test('frames are read alike in whatever pieces they come', () => {
    fc.assert(fc.property(webSocketFrames, lengths, (frames, pieces) => countsAlike(frames, pieces, channels)));
  });

  test('what is half sent is finished at the end of its message, and no byte later', () => {
    fc.assert(
      fc.property(webSocketFrames, fc.double({ min: 0, max: 1, noNaN: true }), lengths, (frames, share, pieces) =>
        finishesAt(frames, share, pieces, channels),
      ),
    );
  });

  test('G3 pings, resizes, the end of stdin and empty messages are no use', () => {
    const scan = channels();
    for (const payload of ['', '\0', '\x04{"Width":80,"Height":24}', '\xff\0'])
      assert.equal(scan.push(webSocketFrame(2, true, Buffer.from(payload, 'latin1'), undefined)), false, payload);
    assert.equal(scan.push(webSocketFrame(9, true, Buffer.from('ping'), undefined)), false);
    assert.equal(scan.push(webSocketFrame(2, true, Buffer.from('\0x', 'latin1'), undefined)), true);
  });

  test('G3 a ping of SPDY within WebSocket data is not a use, wherever its header is split; data is', () => {
    const mask = Buffer.from([1, 2, 3, 4]);
    fc.assert(
      fc.property(spdyFrames, lengths, lengths, (frames, messages, pieces) => {
        const inner = inPieces(Buffer.concat(frames.map((frame) => frame.bytes)), messages);
        const outer = Buffer.concat(inner.map((part) => webSocketFrame(2, true, part, mask)));
        const scan = new WebSocketScan({ kind: 'spdy', inner: spdy() });
        const used = inPieces(outer, pieces).map((piece) => scan.push(piece));
        assert.equal(
          used.some(Boolean),
          frames.some((frame) => frame.used),
        );
      }),
    );
  });

  test('frames of a server have no mask, and a close says no more than it may', () => {
    const short = webSocketMessage(Buffer.from('ab'));
    assert.deepEqual([...short], [0x82, 2, 97, 98]);
    assert.deepEqual([...webSocketMessage(Buffer.alloc(300)).subarray(0, 4)], [0x82, 126, 1, 44]);
    const close = webSocketClose(1008, 'ä'.repeat(200));
    assert.equal(close[0], 0x88);
    assert.equal(close.length, 2 + 2 + 122);
    assert.equal(close.readUInt16BE(2), 1008);
    assert.equal(close.subarray(4).toString(), 'ä'.repeat(61));
  });
});

describe('SPDY', () => {
  test('frames are read alike in whatever pieces they come', () => {
    fc.assert(fc.property(spdyFrames, lengths, (frames, pieces) => countsAlike(frames, pieces, spdy)));
  });

  test('what is half sent is finished at its end, and no byte later', () => {
    fc.assert(
      fc.property(spdyFrames, fc.double({ min: 0, max: 1, noNaN: true }), lengths, (frames, share, pieces) =>
        finishesAt(frames, share, pieces, spdy),
      ),
    );
  });
});

test('an event of a watch is finished at its line', () => {
  const scan = new LineScan();
  assert.equal(scan.whole, true);
  scan.push(Buffer.from('{"a":1}\n{"b"'));
  assert.equal(scan.whole, false);
  assert.equal(scan.finish(Buffer.from(':2}\n{"c":3}\n')), 4);
  assert.equal(scan.whole, true);
});
