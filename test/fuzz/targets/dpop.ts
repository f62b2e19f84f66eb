// DPoP proofs: against a verifier made of jose and RFC 9449's words.

import assert from 'node:assert/strict';
import { createSecretKey } from 'node:crypto';
import { calculateJwkThumbprint, compactVerify, importJWK, type JWK } from 'jose';
import { createProofVerifier } from '../../../broker/tokens/dpop.ts';
import { PROOF_WINDOW_SECONDS } from '../../../serving/jws/dpop.ts';
import { parseCompactJws } from '../../../serving/jws/jws.ts';
import { seconds } from '../../../shared/time.ts';
import { isObject } from '../../../shared/wire.ts';
import { NOW, refusable, type Targets, textOf } from '../target.ts';
import { CLAIMS, headerAndPayload, PUBLIC, seedOf, signed } from './signing.ts';

const URL_OF_TOKEN = 'https://curfew.example.com/token';
const proofs = createProofVerifier(createSecretKey(Buffer.alloc(32, 7)), () => seconds(NOW));
const nonce = proofs.nonce();
const header = { typ: 'dpop+jwt', alg: 'ES256', jwk: PUBLIC };
const claims = { htm: 'POST', htu: URL_OF_TOKEN, jti: 'abcdefgh-1', iat: NOW };

/** RFC 9449 4.3, without a look at our code. */
async function checkByJose(proof: string, headerText: string, payloadText: string): Promise<void> {
  const { typ, jwk } = JSON.parse(headerText) as { readonly typ?: unknown; readonly jwk: JWK };
  assert.equal(typ, 'dpop+jwt');
  const isPublic = isObject(jwk) && !('d' in jwk) && [jwk.x, jwk.y].every(isCanonical);
  assert.ok(isPublic, 'no public key in its one spelling');
  // RFC 7517 4.2 to 4.4: what a key says that it is for.
  const { use = 'sig', alg = 'ES256', key_ops = ['verify'] } = jwk;
  assert.deepEqual([use, alg, key_ops], ['sig', 'ES256', ['verify']], 'a key for anything else');
  const { kty, crv, x, y } = jwk;
  const { protectedHeader } = await compactVerify(proof, await importJWK({ kty, crv, x, y } as JWK, 'ES256'), {
    algorithms: ['ES256'],
  });
  assert.equal(protectedHeader.crit, undefined, 'critical headers');
  const { htm, htu, jti, iat, nonce: given } = JSON.parse(payloadText);
  assert.equal(htm, 'POST', 'another method');
  assert.ok(typeof htu === 'string', 'no URL');
  const url = new URL(htu);
  url.search = '';
  url.hash = '';
  assert.equal(url.href, URL_OF_TOKEN, 'another URL');
  assert.ok(typeof jti === 'string' && jti.length >= 8 && jti.length <= 256, 'jti');
  assert.ok(Number.isSafeInteger(iat) && iat >= 0, 'iat');
  const isFresh = given === undefined ? Math.abs(iat - NOW) <= PROOF_WINDOW_SECONDS : given === nonce;
  assert.ok(isFresh, 'neither fresh nor with a nonce of ours');
}

function isCanonical(part: unknown): boolean {
  if (typeof part !== 'string' || part.length !== 43) return false;
  return Buffer.from(part, 'base64url').toString('base64url') === part;
}

export const dpop: Targets = {
  dpop: {
    seeds: [
      ...[claims, { ...claims, nonce, iat: 1 }, { ...claims, ath: 'x' }].map((payload) => seedOf(header, payload)),
      seedOf({ ...header, jwk: { ...PUBLIC, use: 'sig', alg: 'ES256', key_ops: ['verify'] } }, claims),
    ],
    words: [...CLAIMS, nonce, URL_OF_TOKEN, 'https://user@curfew.example.com/token', '?a', '#a'],
    async run(input) {
      const [head, payload] = headerAndPayload(textOf(input));
      const text = signed(head, payload);
      const proof = refusable(() => proofs.verify(text, { method: 'POST', url: URL_OF_TOKEN }));
      if (proof) {
        await checkByJose(text, head, payload);
        const { jwk } = JSON.parse(head);
        const { ath } = JSON.parse(payload);
        assert.equal(proof.jkt, await calculateJwkThumbprint(jwk), 'another thumbprint than by jose');
        assert.equal(proof.ath, typeof ath === 'string' ? ath : undefined);
        const away = Math.abs(proof.minute * 60 - NOW);
        assert.ok(away <= PROOF_WINDOW_SECONDS + 60, 'remembered for another minute');
        return;
      }
      if (!parseCompactJws(text)) return;
      await assert.rejects(checkByJose(text, head, payload), 'refused although jose and RFC 9449 take it');
    },
  },
  dpop_text: {
    seeds: [signed(JSON.stringify(header), JSON.stringify(claims))],
    async run(input) {
      const text = textOf(input);
      if (!refusable(() => proofs.verify(text, { method: 'POST', url: URL_OF_TOKEN }))) return;
      const [head = '', payload = ''] = text.split('.').map((part) => Buffer.from(part, 'base64url').toString());
      await checkByJose(text, head, payload);
    },
  },
};
