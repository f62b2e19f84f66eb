// What counts as output where a policy lets it: bytes of a command or a connection and events of a watch; no ping, status or bookmark.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { LineScan } from '../../gateway/frames/lines.ts';
import { spdyData } from '../../gateway/frames/spdy.ts';
import { webSocketMessage } from '../../gateway/frames/websocket.ts';
import { formOf } from '../../gateway/streams/form.ts';

const EXEC = '/api/v1/namespaces/dev/pods/shell/exec?stdin=true&stdout=true&stderr=true';
const FORWARD = '/api/v1/namespaces/dev/pods/shell/portforward';
const WEBSOCKET_PONG = Buffer.from([0x8a, 0]);
const SPDY_PING = Buffer.from([0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1]);
const SPDY_WINDOW_UPDATE = Buffer.from([0x80, 3, 0, 9, 0, 0, 0, 8, 0, 0, 0, 3, 0, 1, 0, 0]);
const on = (channel: number, text: string) => webSocketMessage(Buffer.from(`${String.fromCharCode(channel)}${text}`));
const data = (stream: number) => spdyData(stream, false, Buffer.from('data'));

describe('G3 output is', () => {
  test('what a command prints over WebSocket: no pong, and no status', () => {
    const { down } = formOf({ protocol: 'websocket', subprotocol: 'v5.channel.k8s.io', kind: 'exec', url: EXEC });
    for (const quiet of [WEBSOCKET_PONG, on(1, ''), on(3, '{"status":"Success"}')])
      assert.equal(down.push(quiet), false);
    for (const channel of [1, 2]) assert.equal(down.push(on(channel, 'printed')), true);
  });

  test('what a command prints over SPDY: no ping, no window, no status', () => {
    const { down } = formOf({ protocol: 'spdy', subprotocol: '', kind: 'exec', url: EXEC });
    for (const quiet of [SPDY_PING, SPDY_WINDOW_UPDATE, data(1)]) assert.equal(down.push(quiet), false);
    for (const stream of [5, 7]) assert.equal(down.push(data(stream)), true);
  });

  test('what comes through a port-forward: no ping of SPDY within WebSocket data', () => {
    const { down } = formOf({
      protocol: 'websocket',
      subprotocol: 'SPDY/3.1+portforward.k8s.io',
      kind: 'portforward',
      url: FORWARD,
    });
    for (const quiet of [WEBSOCKET_PONG, webSocketMessage(SPDY_PING)]) assert.equal(down.push(quiet), false);
    assert.equal(down.push(webSocketMessage(data(3))), true);
  });

  test('an event of a watch: no bookmark, in whatever pieces it comes', () => {
    const bookmark = '{"type":"BOOKMARK","object":{}}\n';
    const event = '{"type":"MODIFIED","object":{}}\n';
    const lines = fc.array(fc.constantFrom(bookmark, event), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(lines, fc.array(fc.nat(), { maxLength: 6 }), (some, cuts) => {
        const all = Buffer.from(some.join(''));
        const ends = [...cuts.map((cut) => cut % all.length), all.length].toSorted((a, b) => a - b);
        const scan = new LineScan();
        const pieces = ends.map((end, i) => scan.push(all.subarray(ends[i - 1] ?? 0, end)));
        assert.equal(pieces.includes(true), some.includes(event));
        assert.equal(scan.whole, true);
      }),
    );
  });
});

test('G3 what is sent to a server behind `proxy` is use, whatever its path is called', () => {
  const url = '/api/v1/namespaces/dev/services/terminal:80/proxy/exec?stdin=true';
  const { up } = formOf({ protocol: 'websocket', subprotocol: 'v5.channel.k8s.io', kind: 'proxy', url });
  assert.equal(up.push(on(1, 'typed')), true);
  assert.equal(up.push(WEBSOCKET_PONG), false);
});
