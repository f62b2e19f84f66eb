// Which URLs may carry secrets: P11's shapes of an http, half or disguised URL.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { faultOfUrl, isLoopback } from '../../shared/origin.ts';

const FIT = [
  'https://curfew.example.com',
  'https://curfew.example.com/',
  'https://curfew.example.com:8443/realms/one',
  'https://10.0.0.1:6443',
  'https://[2001:db8::1]:8443',
  'https://xn--bcher-kva.example',
  'HTTPS://curfew.example.com',
  'http://127.0.0.1:8080',
  'http://127.8.9.10',
  'http://[::1]:8080/path',
  'http://localhost',
  'http://LOCALHOST:1234/',
];

const PLAIN = [
  'http://curfew.example.com',
  'http://10.0.0.1',
  'http://0.0.0.0:8080',
  'http://[::]:8080',
  'http://127.0.0.1.example.com',
  'http://localhost.example.com',
  'http://example.com/127.0.0.1',
  'http://128.0.0.1',
  'http://[::ffff:10.0.0.1]',
  'ftp://127.0.0.1',
  'ws://127.0.0.1',
  'wss://curfew.example.com',
];

const NO_URL = [
  '',
  'curfew.example.com',
  '//curfew.example.com',
  '/token',
  'https://',
  'https:curfew.example.com',
  'https:/curfew.example.com',
  'https:///curfew.example.com',
  'https:\\\\curfew.example.com',
  'https://curfew.example.com\\path',
  ' https://curfew.example.com',
  'https://curfew.example.com ',
  'https://curfew.example.com\n',
  'https://curfew.exam\tple.com',
  'ht\ntps://curfew.example.com',
  'https://curfew example.com',
  'https://curfew.example.com:99999',
  'https://curfew.example.com\u0000',
];

const EXTRA = [
  'https://user@curfew.example.com',
  'https://user:secret@curfew.example.com',
  'https://:secret@curfew.example.com',
  'https://@curfew.example.com',
  'https://:@curfew.example.com/path',
  'http://127.0.0.1@curfew.example.com',
  'https://curfew.example.com?a=b',
  'https://curfew.example.com/?',
  'https://curfew.example.com#f',
  'https://curfew.example.com/#',
];

test('P11 https anywhere and http to this very machine are fit', () => {
  for (const url of FIT) assert.equal(faultOfUrl(url), undefined, url);
});

test('P11 http to another machine and other schemes are not https', () => {
  for (const url of PLAIN) assert.equal(faultOfUrl(url), 'not https', url);
});

test('P11 what only a lenient parser takes for a URL is none', () => {
  for (const url of NO_URL) assert.equal(faultOfUrl(url), 'not a URL', JSON.stringify(url));
});

test('P11 a URL with user, query or fragment is not fit', () => {
  for (const url of EXTRA) assert.equal(faultOfUrl(url), 'has user, query or fragment', url);
});

test('P11 no text throws, and what is fit is https or loopback as it stands', () => {
  const text = fc.oneof(fc.string({ unit: 'binary' }), fc.webUrl(), fc.webUrl({ withQueryParameters: true }));
  fc.assert(
    fc.property(text, (text) => {
      if (faultOfUrl(text) === undefined)
        assert.match(text, /^(https:\/\/|http:\/\/(127\.|\[::1\]|localhost))[^\s\\?#]*$/i);
    }),
    { numRuns: 2000 },
  );
});

test('loopback is 127/8, ::1 and localhost alone', () => {
  for (const name of ['127.0.0.1', '127.255.255.254', '[::1]', 'localhost']) assert.ok(isLoopback(name), name);
  for (const name of [
    '',
    '::',
    '0.0.0.0',
    '128.0.0.1',
    '127',
    '127.0.0.1.',
    'localhost.',
    'alocalhost',
    '127.0.0.1\n',
  ]) {
    assert.ok(!isLoopback(name), JSON.stringify(name));
  }
});
