// What passes without end gives others their turn: no direction takes more than its part of one turn of the event loop.

import assert from 'node:assert/strict';
import { Duplex } from 'node:stream';
import { describe, test } from 'node:test';
import { Tunnel } from '../../gateway/streams/tunnel.ts';

const CHUNK = Buffer.alloc(16 * 1024);
const ALL_BYTES = 8 * 1024 * 1024;
const TURN_BYTES = 256 * 1024;
const NOTHING = Buffer.alloc(0);

/** Always has more, until all of it was read. */
function flood(): Duplex {
  let left = ALL_BYTES;
  return new Duplex({
    read() {
      left -= CHUNK.length;
      this.push(left < 0 ? null : CHUNK);
    },
    write: (_bytes, _encoding, done) => done(),
  });
}

/** Takes all at once. */
function sink(take: (count: number) => void): Duplex {
  return new Duplex({
    read: () => undefined,
    write(bytes: Buffer, _encoding, done) {
      take(bytes.length);
      done();
    },
  });
}

describe('a copy that comes and is taken without end gives others their turn', () => {
  for (const [name, from] of [
    ['to the person', 'upstream'],
    ['from the person', 'client'],
  ] as const) {
    test(name, async () => {
      let [all, since, most] = [0, 0, 0];
      const other = sink((count) => {
        all += count;
        since += count;
        most = Math.max(most, since);
      });
      const [client, upstream] = from === 'client' ? [flood(), other] : [other, flood()];
      const upgraded = { protocol: 'websocket', subprotocol: '', kind: 'proxy', url: '/proxy' } as const;
      new Tunnel(client, upstream, { sent: () => undefined, received: () => undefined }, upgraded).begin(
        NOTHING,
        NOTHING,
      );
      for (let turns = 0; all < ALL_BYTES && turns < 1_000; turns += 1) {
        await new Promise((resolve) => setImmediate(resolve));
        since = 0;
      }
      assert.equal(all, ALL_BYTES);
      assert.ok(most <= TURN_BYTES, `${most} bytes in one turn`);
    });
  }
});
