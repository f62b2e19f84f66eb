// H8: what proxies write into `X-Forwarded-For` is an address, or nobody's word; and rules judge by what it is.

import assert from 'node:assert/strict';
import { request } from 'node:http';
import { isIP } from 'node:net';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { clientAddress } from '../../broker/http/client_address.ts';
import { startTestService, type TestService } from '../support/service.ts';

const PEER = '10.0.0.1';
const TRUSTED = ['10.0.0.0/8', 'fd00::/8'];

/** What a trusted peer says, and what is believed. */
const SAID: readonly (readonly [name: string, said: string, address: string])[] = [
  ['an IPv4 address', '203.0.113.9', '203.0.113.9'],
  ['one with a port', '203.0.113.9:5678', '203.0.113.9'],
  ['an IPv6 address', '2001:db8::9', '2001:db8::9'],
  ['one in brackets', '[2001:db8::9]', '2001:db8::9'],
  ['one in brackets with a port', '[2001:db8::9]:443', '2001:db8::9'],
  ['one in another spelling', '2001:0DB8:0:0::0009', '2001:db8::9'],
  ['one in quotes', '"[2001:db8::9]:443"', '2001:db8::9'],
  ['an IPv4 address in quotes', '"203.0.113.9"', '203.0.113.9'],
  ['one with a zone', 'fe80::1%eth0', 'fe80::1'],
  ['one with a zone in brackets', '[fe80::1%eth0]:1', 'fe80::1'],
  ['an IPv4 address as IPv6', '::ffff:203.0.113.9', '203.0.113.9'],
  ['that in hexadecimal, with a port', '[::FFFF:cb00:7109]:5', '203.0.113.9'],
  ['with spaces and tabs', ' \t203.0.113.9 ', '203.0.113.9'],
  ['several hops', '192.0.2.1, 203.0.113.9', '203.0.113.9'],
  ['several hops of which the last are trusted', '192.0.2.1, 203.0.113.9:80, 10.1.1.1:99,[fd00::1]:3', '203.0.113.9'],
  ['trusted hops alone', '10.2.2.2, 10.1.1.1', '10.2.2.2'],
  ['a made-up hop before an honest one', 'unknown, <script>, 203.0.113.9', '203.0.113.9'],
  ['unknown', 'unknown', PEER],
  ['unknown behind an honest one', '203.0.113.9, unknown', PEER],
  ['unknown behind trusted ones', 'unknown, 10.1.1.1', '10.1.1.1'],
  ['a name', '_hidden', PEER],
  ['text', 'proxy.example.com', PEER],
  ['nothing', '', PEER],
  ['commas', ',,,', PEER],
  ['nothing after an address', '203.0.113.9,', PEER],
  ['a leading zero', '203.0.113.09', PEER],
  ['a number', '3405803785', PEER],
  ['hexadecimal', '0xcb007109', PEER],
  ['a port alone', ':80', PEER],
  ['a port of six digits', '203.0.113.9:123456', PEER],
  ['a port that is none', '203.0.113.9:http', PEER],
  ['brackets around IPv4', '[203.0.113.9]', PEER],
  ['brackets that are open', '[2001:db8::9', PEER],
  ['empty brackets', '[]:80', PEER],
  ['a block', '203.0.113.0/24', PEER],
  ['a form of RFC 7239', 'for=203.0.113.9', PEER],
  ['3,000 characters', '1'.repeat(3000), PEER],
  ['3,000 characters of a zone', `fe80::1%${'a'.repeat(3000)}`, PEER],
  ['3,000 hops', Array.from({ length: 3000 }, () => '10.1.1.1').join(), '10.1.1.1'],
  ['control characters', '203.0.113.9\u0000', PEER],
  ['other digits', '２０３.0.113.9', PEER],
];

describe('X-Forwarded-For', () => {
  for (const [name, said, address] of SAID) {
    test(`H8 of a trusted peer: ${name}`, () => {
      assert.equal(clientAddress(PEER, said, TRUSTED), address);
    });
    test(`H8 of another peer: ${name} is ignored`, () => {
      assert.equal(clientAddress('192.0.2.7', said, TRUSTED), '192.0.2.7');
      assert.equal(clientAddress(PEER, said, []), PEER);
    });
  }

  test('H8 the socket’s own address is in its one spelling too, and a closed socket has none', () => {
    assert.equal(clientAddress('::ffff:10.0.0.1', '203.0.113.9', TRUSTED), '203.0.113.9');
    assert.equal(clientAddress('::ffff:192.0.2.7', '203.0.113.9', TRUSTED), '192.0.2.7');
    assert.equal(clientAddress('fe80::1%lo', '203.0.113.9', TRUSTED), 'fe80::1');
    assert.equal(clientAddress(undefined, '203.0.113.9', TRUSTED), '::');
  });

  const address = fc.oneof(fc.ipV4(), fc.ipV6(), fc.constantFrom('10.1.1.1', 'fd00::1', '::ffff:10.1.1.1'));
  const port = fc.oneof(
    fc.nat(99_999).map((n) => `:${n}`),
    fc.constant(''),
  );
  const hop = fc.oneof(
    address,
    fc.tuple(address, port).map(([one, two]) => (one.includes(':') ? `[${one}]${two}` : one + two)),
    fc.string({ unit: 'binary-ascii', maxLength: 40 }),
    fc.string({ maxLength: 40 }),
    fc.constantFrom('unknown', '_hidden', '', '[', ']', '%', '::', '0', '.', '"'),
  );

  test('H8 whatever is said, it is an address: the socket’s own or one that was named', () => {
    fc.assert(
      fc.property(
        fc.array(hop, { maxLength: 6 }),
        fc.constantFrom(PEER, '192.0.2.7', '::ffff:10.0.0.1'),
        (hops, peer) => {
          const text = hops.join(', ');
          const found = clientAddress(peer, text, TRUSTED);
          assert.notEqual(isIP(found), 0);
          assert.ok(!found.includes('%'));
          // What the nearest peers did not say does not matter.
          assert.equal(clientAddress('192.0.2.7', text, TRUSTED), '192.0.2.7');
          assert.equal(clientAddress(PEER, `${text}, 198.51.100.3`, TRUSTED), '198.51.100.3');
        },
      ),
      { numRuns: 2000 },
    );
  });
});

describe('a service behind a proxy', () => {
  let service: TestService;
  before(async () => {
    const limits = { max_age: '1h', inactivity_timeout: '30m', token_ttl: '5m' };
    const outside = { when: '!inNetwork(request.address, "203.0.113.0/24")', limits: { max_age: '10m' } };
    service = await startTestService({
      trusted_proxies: ['127.0.0.0/8'],
      policy: { limits, rules: [{ name: 'outside', ...outside }] },
    });
  });
  after(() => service.stop());

  /** One request with several headers of a name, as they stand here. */
  const send = (
    headers: Readonly<Record<string, string | string[]>>,
    path = '/token',
    body = 'grant_type=refresh_token&refresh_token=x&audience=dev',
  ) =>
    new Promise<number>((resolve, reject) => {
      const { hostname, port } = new URL(service.url);
      const type = { 'content-type': 'application/x-www-form-urlencoded' };
      const sent = request({ hostname, port, path, method: 'POST', headers: { ...type, ...headers } }, (response) => {
        response.resume().on('end', () => resolve(response.statusCode ?? 0));
      });
      sent.on('error', reject).end(body);
    });

  test('H8 each form gives a refusal with an address in the audit log, never a 500', async () => {
    for (const [name, said] of SAID) {
      // What Node.js would not send, and what is too long for a head at all.
      if (/[^\t\x20-\x7e]/.test(said) || said.length > 8000) continue;
      service.advance(61);
      const before = service.audit.length;
      assert.equal(await send({ 'x-forwarded-for': said }), 400, name);
      const row = service.audit.slice(before).findLast(({ event }) => event === 'refusal');
      assert.notEqual(isIP(row?.address ?? ''), 0, name);
    }
    assert.equal(
      service.log.some((line) => line.includes('unexpected error') || line.includes('the store failed')),
      false,
    );
  });

  test('H8 repeated headers are one list; Forwarded and X-Forwarded-Host and -Proto do not matter', async () => {
    service.advance(61);
    await send({
      ...{ 'x-forwarded-for': ['192.0.2.1', '203.0.113.9:1234'], 'x-forwarded-proto': 'http' },
      ...{ forwarded: 'for=192.0.2.5', 'x-forwarded-host': 'evil.example.com', 'x-real-ip': '192.0.2.6' },
    });
    assert.equal(service.audit.at(-1)?.address, '203.0.113.9');
  });

  test('H8 a rule about addresses judges by the address, with its port or without', async () => {
    for (const [said, length] of [
      ['203.0.113.9:5678', 3600],
      ['203.0.113.9', 3600],
      ['::ffff:203.0.113.9', 3600],
      ['198.51.100.1:443', 600],
      ['[2001:db8::1]:443', 600],
      ['unknown', 600],
    ] as const) {
      const holder = service.holder();
      const name = `from-${said}`;
      const idToken = service.issuer.sign(
        service.claims(holder, { sub: name, email: `${length}-${said.length}@example.com` }),
      );
      const form = {
        grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
        subject_token_type: 'urn:ietf:params:oauth:token-type:id_token',
        ...{ subject_token: idToken, client_id: 'curfew', nonce_random: holder.nonce_random },
      };
      const response = await fetch(`${service.url}/token`, {
        method: 'POST',
        headers: { dpop: holder.proof(), 'x-forwarded-for': said },
        body: new URLSearchParams(form),
      });
      const { session } = (await response.json()) as { session: { auth_time: number; end_at_most: number } };
      assert.equal(session.end_at_most - session.auth_time, length, said);
    }
  });
});
