// Compact JWS, and our own tokens: against jose.

import assert from 'node:assert/strict';
import { createPublicKey, verify } from 'node:crypto';
import { compactVerify, createLocalJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose';
import type { Cluster } from '../../../broker/config/settings.ts';
import { verifyToken } from '../../../broker/tokens/verify.ts';
import { verifyEs256 } from '../../../serving/jws/es256.ts';
import { parseCompactJws } from '../../../serving/jws/jws.ts';
import { seconds } from '../../../shared/time.ts';
import { bytesOf, encoded, NOW, type Targets, textOf } from '../target.ts';
import { CLAIMS, es256, headerAndPayload, PUBLIC, PUBLIC_WITH_ID, seedOf, signed } from './signing.ts';

const key = createPublicKey({ key: PUBLIC, format: 'jwk' });
const jwks = { keys: [PUBLIC_WITH_ID] };
const ISSUER = 'https://curfew.example.com';
const TYP = 'curfew+jwt';
const header = { alg: 'ES256', typ: TYP, kid: 'one' };
const claims = {
  ...{ iss: ISSUER, aud: 'dev', sub: 'alice', username: 'curfew:alice', groups: ['curfew:sre'], sid: 's', jti: 'j' },
  ...{ iat: NOW, nbf: NOW, exp: NOW + 300, auth_time: NOW - 60, acr: 'mfa' },
};
const parts = { config: { issuer: ISSUER, clusters: [{ name: 'dev', audience: 'dev' } as Cluster] }, keys: { jwks } };

/** By jose alone, with the rules of our tokens. */
async function takenByJose(token: string, header: string): Promise<boolean> {
  const { crit, typ, kid } = JSON.parse(header);
  if (crit !== undefined || typ !== TYP || kid !== 'one') return false;
  try {
    const { payload } = await jwtVerify(token, createLocalJWKSet(jwks), {
      ...{ issuer: ISSUER, audience: 'dev', typ: TYP, algorithms: ['ES256'], currentDate: new Date(NOW * 1000) },
      requiredClaims: ['exp', 'iat', 'nbf'],
    });
    return Number(payload.exp) > Number(payload.iat);
  } catch {
    return false;
  }
}

export const jws: Targets = {
  jws: {
    seeds: [signed(JSON.stringify(header), JSON.stringify(claims)), 'a.b.c', `${encoded({})}.${encoded({})}.AA`],
    run(input) {
      const text = textOf(input);
      const parsed = parseCompactJws(text);
      if (!parsed) return;
      const again = `${parsed.signed}.${Buffer.from(parsed.signature).toString('base64url')}`;
      assert.equal(again, text, 'a second spelling');
      for (const part of text.split('.'))
        assert.equal(Buffer.from(part, 'base64url').toString('base64url'), part, 'a second spelling of a part');
      assert.deepEqual({ ...parsed.header }, { ...decodeProtectedHeader(text) }, 'another header than for jose');
      assert.deepEqual({ ...parsed.payload }, { ...decodeJwt(text) }, 'other claims than for jose');
    },
  },
  es256: {
    seeds: ['a', 'some data', ''].map((data) => `${es256(data).toString('latin1')}${data}`),
    run(input) {
      const bytes = bytesOf(input);
      const [signature, data] = [bytes.subarray(0, 64), bytes.subarray(64).toString('latin1')];
      const expected = verify('sha256', Buffer.from(data), { key, dsaEncoding: 'ieee-p1363' }, signature);
      assert.equal(verifyEs256(data, key, signature), expected, 'another verdict than by OpenSSL');
    },
  },
  token: {
    seeds: [seedOf(header, claims)],
    words: CLAIMS,
    async run(input) {
      const [header, payload] = headerAndPayload(textOf(input));
      const token = signed(header, payload);
      const taken = verifyToken(parts, token, seconds(NOW));
      if (taken) {
        await compactVerify(token, key, { algorithms: ['ES256'] });
        assert.deepEqual({ ...taken }, JSON.parse(payload), 'other claims');
        assert.ok(await takenByJose(token, header), 'taken although jose refuses it');
      } else if (parseCompactJws(token) && (await takenByJose(token, header))) {
        assert.ok(isOdd(JSON.parse(payload)), 'refused although jose takes it, and every claim has its form');
      }
    },
  },
};

/** Whether a claim has not the form that ours have. */
function isOdd(payload: Readonly<Record<string, unknown>>): boolean {
  const { groups, acr, aud } = payload;
  const isText = (value: unknown) => typeof value === 'string' && value !== '';
  const isWhole = (value: unknown) => Number.isSafeInteger(value) && Number(value) >= 0;
  const texts = [payload.iss, aud, payload.sub, payload.username, payload.sid, payload.jti];
  const times = [payload.iat, payload.nbf, payload.exp, payload.auth_time];
  const listed = Array.isArray(groups) && groups.every(isText);
  return !(texts.every(isText) && times.every(isWhole) && listed && (acr === undefined || isText(acr)));
}
