// Addresses: X-Forwarded-For and blocks, against a reading of bits by hand.

import assert from 'node:assert/strict';
import { isIP } from 'node:net';
import { clientAddress } from '../../../broker/http/client_address.ts';
import { inNetwork, isNetwork } from '../../../broker/net/network.ts';
import { networkOf, plainSpelling } from '../../../serving/net/address.ts';
import { type Targets, textOf } from '../target.ts';

const TRUSTED = ['10.0.0.0/8', '127.0.0.1', 'fd00::/8'];
const MAPPED = 0xffffn << 32n;

/** 128 bits: IPv4 as it is mapped (RFC 4291 2.5.5.2). */
function bitsOf(address: string): bigint {
  if (isIP(address) === 4) return MAPPED | fromParts(address.split('.'), 8n, 10);
  const [plain = ''] = address.split('%');
  const text = plain.replace(/(?<=:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, ...parts: string[]) => {
    const [a = 0, b = 0, c = 0, d = 0] = parts.slice(0, 4).map(Number);
    return `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  });
  const [head = '', tail] = text.split('::');
  const first = head === '' ? [] : head.split(':');
  const last = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = Array.from({ length: 8 - first.length - last.length }, () => '0');
  return fromParts([...first, ...(tail === undefined ? [] : zeros), ...last], 16n, 16);
}

function fromParts(parts: readonly string[], width: bigint, radix: number): bigint {
  return parts.reduce((bits, part) => (bits << width) | BigInt(Number.parseInt(part, radix)), 0n);
}

const isMapped = (bits: bigint) => bits >> 32n === 0xffffn;

function isInside(address: string, block: string): boolean {
  const [base = '', length] = block.split('/');
  const [bits, from] = [bitsOf(address), bitsOf(base)];
  const four = isIP(base) === 4;
  const prefix = length === undefined ? 128n : BigInt(length) + (four ? 96n : 0n);
  // A block of one family has no address of the other.
  if (isMapped(bits) !== isMapped(from)) return false;
  return bits >> (128n - prefix) === from >> (128n - prefix);
}

export const addresses: Targets = {
  forwarded: {
    seeds: [
      ...['203.0.113.7', '203.0.113.7, 10.0.0.2', '2001:db8::1', 'unknown', '10.0.0.1,10.0.0.2', '"[fd00::1]:80"'],
      ...['198.51.100.1:1234, 10.1.1.1', '::ffff:10.0.0.1, 203.0.113.9', '203.0.113.7,, 10.0.0.2'],
    ],
    run(input) {
      const address = clientAddress('127.0.0.1', input, TRUSTED);
      assert.ok(isIP(address) > 0 && !address.includes('%'), 'not an address');
      assert.equal(plainSpelling(address), address, 'not in its one spelling');
      assert.equal(
        clientAddress('198.51.100.7', input, TRUSTED),
        '198.51.100.7',
        'a peer that is not trusted is believed',
      );
      assert.equal(clientAddress('127.0.0.1', input, []), '127.0.0.1', 'nobody is trusted, and somebody is believed');
      // Whoever is first in line cannot be moved by what they write themselves.
      assert.equal(
        clientAddress('127.0.0.1', `${input},203.0.113.5, 10.0.0.9`, TRUSTED),
        '203.0.113.5',
        'a forged hop',
      );
    },
  },
  network: {
    seeds: [
      ...[
        '10.0.0.0/8 10.1.2.3',
        '2001:db8::/32 2001:db8::1',
        '::ffff:10.0.0.0/104 10.0.0.1',
        '192.0.2.1 ::ffff:192.0.2.1',
      ],
      ...['::/0 ::1', '0.0.0.0/0 ::ffff:1.2.3.4', 'fe80::/10 fe80::1%eth0', '10.0.0.1/31 10.0.0.0'],
    ],
    run(input) {
      const [block = '', address = ''] = textOf(input).split(' ');
      if (isIP(address) > 0) {
        const plain = plainSpelling(address);
        assert.equal(bitsOf(plain), bitsOf(address), 'another address');
        assert.equal(plainSpelling(plain), plain, 'two spellings');
        if (isIP(plain) === 6) assert.ok(isInside(plain, networkOf(address)), 'outside of its own network');
      }
      if (!isNetwork(block) || isIP(address) === 0) return;
      assert.equal(inNetwork(address, block), isInside(address, block), 'another verdict than by bits');
    },
  },
};
