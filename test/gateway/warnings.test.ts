// The warning before a cut stands where nothing is half sent: at the first such place, however the frames come in pieces, and once.

import assert from 'node:assert/strict';
import { duplexPair } from 'node:stream';
import { describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { spdyData } from '../../gateway/frames/spdy.ts';
import { webSocketMessage } from '../../gateway/frames/websocket.ts';
import { formOf, type Upgraded } from '../../gateway/streams/form.ts';
import { Tunnel } from '../../gateway/streams/tunnel.ts';
import { between, plus, seconds } from '../../shared/time.ts';
import { startLoneGateway } from '../support/lone_gateway.ts';
import { until } from '../support/patience.ts';
import { STAND_IN_LIMITS } from '../support/stand_in_broker.ts';

const TEXT = 'curfew: this session ends in 60s';
const URL = '/api/v1/namespaces/dev/pods/shell/exec?stdin=true&stdout=true';

const KINDS: Readonly<Record<string, { upgraded: Upgraded; frame: (payload: Buffer) => Buffer }>> = {
  WebSocket: {
    upgraded: { protocol: 'websocket', subprotocol: 'v5.channel.k8s.io', kind: 'exec', url: `${URL}&stderr=true` },
    frame: (payload) => webSocketMessage(Buffer.concat([Buffer.from([1]), payload])),
  },
  'WebSocket at a terminal': {
    upgraded: { protocol: 'websocket', subprotocol: 'v5.channel.k8s.io', kind: 'exec', url: `${URL}&tty=true` },
    frame: (payload) => webSocketMessage(Buffer.concat([Buffer.from([1]), payload])),
  },
  SPDY: {
    upgraded: { protocol: 'spdy', subprotocol: '', kind: 'exec', url: `${URL}&stderr=true` },
    frame: (payload) => spdyData(5, false, payload),
  },
};

describe('a warning stands at the first place where nothing is half sent', () => {
  for (const [name, { upgraded, frame }] of Object.entries(KINDS)) {
    test(`over ${name}`, async () => {
      const payloads = fc.array(fc.uint8Array({ maxLength: 300 }), { minLength: 1, maxLength: 6 });
      await fc.assert(
        fc.asyncProperty(payloads, fc.array(fc.nat(), { maxLength: 8 }), fc.nat(), async (some, cuts, when) => {
          const frames = some.map((payload) => frame(Buffer.from(payload)));
          const all = Buffer.concat(frames);
          const ends = [0, ...cuts.map((cut) => cut % (all.length + 1)), all.length].toSorted((a, b) => a - b);
          const warned_after = when % ends.length;
          const warning = formOf(upgraded).warning(TEXT);
          assert.ok(warning);
          const at = firstWhole(frames, ends[warned_after] ?? 0);
          const expected = Buffer.concat([all.subarray(0, at), warning, all.subarray(at)]);
          assert.deepEqual(await passed(upgraded, all, ends, warned_after), expected);
        }),
        { numRuns: 100 },
      );
    });
  }
});

/** The end of the frame that is under way at a place, or the place itself. */
function firstWhole(frames: readonly Buffer[], from: number): number {
  let end = 0;
  for (const { length } of frames) {
    if (end >= from) break;
    end += length;
  }
  return end;
}

/** What the client gets of bytes that come in pieces up to `ends`, with a warning after one of them. */
async function passed(upgraded: Upgraded, all: Buffer, ends: readonly number[], warned_after: number): Promise<Buffer> {
  const [client, person] = duplexPair();
  const [upstream, server] = duplexPair();
  const got: Buffer[] = [];
  person.on('data', (bytes: Buffer) => got.push(bytes));
  const tunnel = new Tunnel(client, upstream, { sent: () => undefined, received: () => undefined }, upgraded);
  tunnel.begin(Buffer.alloc(0), Buffer.alloc(0));
  let from = 0;
  for (const [i, end] of ends.entries()) {
    if (end > from) server.write(all.subarray(from, end));
    from = Math.max(from, end);
    for (let turns = 0; turns < 3; turns += 1) await turn();
    if (i === warned_after) tunnel.warn(TEXT);
  }
  for (let turns = 0; turns < 3; turns += 1) await turn();
  for (const side of [person, server, client, upstream]) side.destroy();
  return Buffer.concat(got);
}

test('an end that is put off is warned of again when it comes near again, and only then', async () => {
  const lone = await startLoneGateway({ warn: seconds(60) });
  try {
    const { broker } = lone;
    const exec = await lone.client('one').exec('shell');
    const warnings = () => exec.text.split('this session ends in').length - 1;
    /** When a login was that is too old so soon. */
    const nearEnd = (left: number) => between(STAND_IN_LIMITS.max_age, plus(broker.now(), seconds(left)));
    const leasesAgain = async () => {
      const { length } = broker.asked;
      await until(() => broker.asked.length > length + 2, 'no lease is asked for');
    };
    await leasesAgain();
    broker.facts.set('one', { auth_time: nearEnd(8) });
    await until(() => warnings() === 1, 'it is not warned');
    broker.facts.delete('one');
    await leasesAgain();
    assert.equal(warnings(), 1, 'far from its end');
    broker.facts.set('one', { auth_time: nearEnd(45) });
    await until(() => warnings() === 2, 'it is not warned again');
    await leasesAgain();
    assert.equal(warnings(), 2, 'once for each end');
  } finally {
    await lone.stop();
  }
});
