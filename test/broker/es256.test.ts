// ES256 against Node.js's own conversion: whatever one signs the other verifies, and what one refuses the other does too.

import assert from 'node:assert/strict';
import { generateKeyPairSync, sign, verify } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { signEs256, verifyEs256 } from '../../serving/jws/es256.ts';

const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const theirs = (data: string) => sign('sha256', Buffer.from(data), { key: privateKey, dsaEncoding: 'ieee-p1363' });
const isGood = (data: string, signature: Uint8Array) =>
  verify('sha256', Buffer.from(data), { key: publicKey, dsaEncoding: 'ieee-p1363' }, signature);

describe('ES256', () => {
  it('signs what Node.js verifies, in 64 bytes, and verifies what Node.js signs', () => {
    // R or S begins with a zero byte in one of 128 signatures, and then with two in one of 256 of those.
    let short = 0;
    for (let i = 0; i < 2_000; i++) {
      const data = `data ${i}`;
      const signature = signEs256(data, privateKey);
      if (signature[0] === 0 || signature[32] === 0) short += 1;
      assert.equal(signature.length, 64);
      assert.ok(isGood(data, signature), signature.toString('hex'));
      assert.ok(verifyEs256(data, publicKey, theirs(data)));
    }
    assert.ok(short > 0, 'no signature with a zero byte in front was tried');
  });

  it('refuses what Node.js refuses: other data, changed bytes, edges of the numbers', () => {
    const edge = fc.constantFrom(0x00, 0x01, 0x7f, 0x80, 0xff);
    const half = fc.oneof(
      fc.uint8Array({ minLength: 32, maxLength: 32 }),
      fc.array(edge, { minLength: 32, maxLength: 32 }).map((bytes) => Uint8Array.from(bytes)),
      fc
        .tuple(fc.nat(31), fc.uint8Array({ minLength: 32, maxLength: 32 }))
        .map(([n, bytes]) => bytes.fill(0, 0, n + 1)),
    );
    fc.assert(
      fc.property(fc.string(), half, half, (data, r, s) => {
        const signature = Buffer.concat([r, s]);
        assert.equal(verifyEs256(data, publicKey, signature), isGood(data, signature));
      }),
      { numRuns: 500 },
    );
    const good = signEs256('data', privateKey);
    assert.equal(verifyEs256('other data', publicKey, good), false);
    for (let i = 0; i < 64; i++) {
      const changed = Buffer.from(good);
      changed[i] = (changed[i] ?? 0) ^ 1;
      assert.equal(verifyEs256('data', publicKey, changed), false, `byte ${i}`);
    }
  });

  it('takes 64 bytes and no other number of them', () => {
    const good = signEs256('data', privateKey);
    const der = sign('sha256', Buffer.from('data'), privateKey);
    for (const other of [Buffer.alloc(0), good.subarray(1), Buffer.concat([good, Buffer.alloc(1)]), der]) {
      assert.equal(verifyEs256('data', publicKey, other), false, `${other.length} bytes`);
    }
  });
});
