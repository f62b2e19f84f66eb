// Whose request it is: one credential, in one of two places, in one spelling.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isRefusal } from '../../gateway/admit.ts';
import { credentialIn } from '../../gateway/credentials/credential.ts';
import { forwardedHeaders, type HeaderList, headerList, returnedHeaders } from '../../gateway/request/headers.ts';

const PROTOCOL = 'base64url.bearer.authorization.k8s.io.';
const carried = (token: string) => PROTOCOL + Buffer.from(token, 'latin1').toString('base64url');
const statusOf = (headers: HeaderList) => {
  const presented = credentialIn(headers);
  return isRefusal(presented) ? presented.status : presented.token;
};

describe('G4 a credential', () => {
  test('is a bearer token in Authorization, or in a WebSocket subprotocol', () => {
    assert.equal(statusOf([['authorization', 'Bearer a.b.c']]), 'a.b.c');
    assert.equal(statusOf([['authorization', 'bearer a.b.c']]), 'a.b.c');
    assert.equal(statusOf([['sec-websocket-protocol', `v5.channel.k8s.io, ${carried('a.b.c')}`]]), 'a.b.c');
    assert.equal(statusOf([]), undefined);
  });

  for (const [what, headers, status] of [
    ['an empty bearer', [['authorization', 'Bearer ']], 401],
    ['no bearer', [['authorization', 'Basic YTpi']], 401],
    ['a bearer of two words', [['authorization', 'Bearer a b']], 401],
    [
      'two of them',
      [
        ['authorization', 'Bearer a'],
        ['authorization', 'Bearer b'],
      ],
      400,
    ],
    [
      'one in each place',
      [
        ['authorization', 'Bearer a'],
        ['sec-websocket-protocol', carried('b')],
      ],
      400,
    ],
    ['two in subprotocols', [['sec-websocket-protocol', `${carried('a')}, ${carried('b')}`]], 400],
    [
      'two in two headers',
      [
        ['sec-websocket-protocol', carried('a')],
        ['sec-websocket-protocol', carried('b')],
      ],
      400,
    ],
    ['an empty one in a subprotocol', [['sec-websocket-protocol', PROTOCOL]], 401],
    ['one with a line break inside', [['sec-websocket-protocol', carried('a\r\nx-remote-user: root')]], 401],
    ['one with a line break after it', [['sec-websocket-protocol', carried('a.b.c\n')]], 401],
    ['one in another spelling', [['sec-websocket-protocol', `${PROTOCOL}YR`]], 401],
    [
      'Connection that names it',
      [
        ['connection', 'keep-alive, Authorization'],
        ['authorization', 'Bearer a'],
      ],
      400,
    ],
    [
      'Connection that names whom to act as',
      [
        ['connection', 'impersonate-user'],
        ['authorization', 'Bearer a'],
      ],
      400,
    ],
  ] as const) {
    test(`${what}: ${status}`, () => assert.equal(statusOf(headers), status));
  }

  test('does not go on in a subprotocol, and the others do', () => {
    const presented = credentialIn([
      ['sec-websocket-protocol', `v5.channel.k8s.io,${carried('a.b.c')}, v4.channel.k8s.io`],
    ]);
    assert.ok(!isRefusal(presented));
    assert.deepEqual(presented.headers, [['sec-websocket-protocol', 'v5.channel.k8s.io, v4.channel.k8s.io']]);
    const alone = credentialIn([['sec-websocket-protocol', carried('a.b.c')]]);
    assert.ok(!isRefusal(alone));
    assert.deepEqual(alone.headers, []);
  });
});

describe('headers', () => {
  test('G5 nobody says who they are, or where they come from, by a header', () => {
    const passed = forwardedHeaders(
      headerList([
        ...['X-Remote-User', 'root', 'X-Remote-Extra-a', 'b', 'X-Forwarded-For', '1.2.3.4', 'Forwarded', 'for=1.2.3.4'],
        ...[
          'X-Real-Ip',
          '1.2.3.4',
          'Host',
          'other',
          'Accept',
          'application/json',
          ':path',
          '/',
          'Expect',
          '100-continue',
        ],
      ]),
      '10.0.0.1',
    );
    assert.deepEqual(passed, [
      ['accept', 'application/json'],
      ['x-forwarded-for', '10.0.0.1'],
    ]);
  });

  test('G5 whom to act as passes on, each value by itself', () => {
    const passed = forwardedHeaders(
      headerList([
        'Impersonate-User',
        'x',
        'Impersonate-Group',
        'a',
        'Impersonate-Group',
        'b',
        'Connection',
        'keep-alive',
      ]),
      '::1',
    );
    assert.deepEqual(passed.slice(0, 3), [
      ['impersonate-user', 'x'],
      ['impersonate-group', 'a'],
      ['impersonate-group', 'b'],
    ]);
  });

  test('what is between two machines does not come back', () => {
    const came = ['Connection', 'close', 'Transfer-Encoding', 'chunked', 'Alt-Svc', 'h3', 'Warning', 'a'];
    const back = returnedHeaders(headerList(came));
    assert.deepEqual(back, [['warning', 'a']]);
  });
});
