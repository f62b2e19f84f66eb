// Security event tokens, logout tokens and ID tokens: against jose for the signature, and the specifications' words for the rest.

import assert from 'node:assert/strict';
import { compactVerify, importJWK } from 'jose';
import type { Transmitter } from '../../../broker/config/settings.ts';
import { verifySet } from '../../../broker/signals/set.ts';
import { checkClaims, checkHeader, type Expected } from '../../../broker/upstream/id_token.ts';
import { candidates, type KeySet, verifiedByOne } from '../../../broker/upstream/key_set.ts';
import { checkLogoutClaims, checkLogoutHeader } from '../../../broker/upstream/logout_token.ts';
import { parseCompactJws } from '../../../serving/jws/jws.ts';
import { seconds } from '../../../shared/time.ts';
import { NOW, refusable, refusableLater, type Targets, textOf } from '../target.ts';
import { CLAIMS, headerAndPayload, PUBLIC, PUBLIC_WITH_ID, seedOf, signed } from './signing.ts';

const ISSUER = 'https://idp.example.com';
const keys: KeySet = [{ kid: 'one', jwk: PUBLIC }];
const key = await importJWK(PUBLIC_WITH_ID, 'ES256');
const expected: Expected = {
  ...{ issuer: ISSUER, client_id: 'curfew', clock_skew: seconds(60), id_token_signing_algs: ['ES256'] },
};
const transmitter: Transmitter = { issuer: ISSUER, audience: 'curfew', issuers: [ISSUER] };
const signer = {
  wait: () => seconds(1),
  verify: async (token: string, header: { readonly alg: string; readonly kid?: string | undefined }) => {
    const found = candidates(keys, header);
    if (found.length === 0) return 'unknown_key';
    return (await verifiedByOne(token, header.alg, found)) ? 'good' : 'bad';
  },
} as const;

const SET = {
  ...{ iss: ISSUER, aud: 'curfew', jti: 'set-1', iat: NOW, sub_id: { format: 'iss_sub', iss: ISSUER, sub: 'alice' } },
  events: { 'https://schemas.openid.net/secevent/caep/event-type/session-revoked': { event_timestamp: NOW } },
};
const LOGOUT_EVENT = 'http://schemas.openid.net/event/backchannel-logout';
const LOGOUT = {
  ...{ iss: ISSUER, aud: ['curfew'], iat: NOW, exp: NOW + 120, jti: 'lo-1', sub: 'alice', sid: 's' },
  events: { [LOGOUT_EVENT]: {} },
};
const ID_TOKEN = {
  ...{ iss: ISSUER, aud: 'curfew', sub: 'alice', iat: NOW, exp: NOW + 300, auth_time: NOW - 5, nonce: 'n' },
  ...{ acr: 'mfa', amr: ['pwd', 'otp'], email: 'alice@example.com' },
};

export const signals: Targets = {
  set: {
    seeds: [
      seedOf({ alg: 'ES256', kid: 'one', typ: 'secevent+jwt' }, SET),
      seedOf({ alg: 'ES256', typ: 'application/secevent+jwt' }, { ...SET, aud: ['x', 'curfew'], sub_id: undefined }),
    ],
    words: CLAIMS,
    async run(input) {
      const [head, payload] = headerAndPayload(textOf(input));
      const text = signed(head, payload);
      const set = await refusableLater(() => verifySet(text, transmitter, signer, seconds(NOW)));
      if (!set) return;
      const { protectedHeader } = await compactVerify(text, key, { algorithms: ['ES256'] });
      assert.match(String(protectedHeader.typ), /secevent\+jwt$/i);
      assert.equal(protectedHeader.crit, undefined, 'a SET with crit is taken');
      const { iss, aud, jti, iat, events } = JSON.parse(payload);
      assert.deepEqual([iss, [aud].flat().includes('curfew'), jti], [ISSUER, true, set.jti]);
      assert.ok(iat > NOW - 30 * 86_400 - 1, 'an old SET is taken');
      assert.deepEqual(
        set.events.map(({ type }) => type),
        Object.keys(events),
      );
      assert.ok(set.expires_at > NOW + 30 * 86_400, 'forgotten before it is too old');
    },
  },
  logout_token: {
    seeds: [
      seedOf({ alg: 'ES256', kid: 'one', typ: 'logout+jwt' }, LOGOUT),
      seedOf({ alg: 'ES256' }, { ...LOGOUT, exp: undefined, sub: null }),
    ],
    words: CLAIMS,
    run(input) {
      const [head, payload] = headerAndPayload(textOf(input));
      const jws = parseCompactJws(signed(head, payload));
      if (!jws) return;
      const header = refusable(() => checkLogoutHeader(jws, expected));
      const token = header && refusable(() => checkLogoutClaims(jws.payload, expected, seconds(NOW)));
      if (!token) return;
      const { crit, typ = 'JWT' } = JSON.parse(head);
      assert.equal(crit, undefined, 'a logout token with crit is taken');
      assert.match(typ, /jwt$/i);
      const { iss, aud, nonce, exp, iat, sub, sid, events } = JSON.parse(payload);
      assert.deepEqual([iss, [aud].flat().includes('curfew'), nonce], [ISSUER, true, undefined]);
      assert.ok(events[LOGOUT_EVENT] !== undefined && (exp ?? iat + 120) > NOW - 1, 'one that is over is taken');
      assert.deepEqual([token.sub, token.idp_sid], [sub ?? undefined, sid ?? undefined]);
      assert.ok(token.sub ?? token.idp_sid, 'one that means nobody is taken');
    },
  },
  id_token: {
    seeds: [seedOf({ alg: 'ES256', kid: 'one', typ: 'JWT' }, ID_TOKEN), seedOf({ alg: 'ES256' }, ID_TOKEN)],
    words: CLAIMS,
    run(input) {
      const [head, payload] = headerAndPayload(textOf(input));
      const jws = parseCompactJws(signed(head, payload));
      if (!jws || !refusable(() => checkHeader(jws, expected))) return;
      const claims = refusable(() => checkClaims(jws.payload, expected, seconds(NOW)));
      if (!claims) return;
      assert.equal(JSON.parse(head).crit, undefined, 'an ID token with crit is taken');
      const { iss, aud, azp, exp, auth_time, events, nbf } = JSON.parse(payload);
      assert.deepEqual([iss, events], [ISSUER, undefined]);
      assert.ok([aud].flat().includes('curfew') && (azp ?? 'curfew') === 'curfew', 'one for others is taken');
      assert.ok(exp > NOW && (nbf ?? 0) <= NOW + 60, 'one that is not valid now is taken');
      assert.ok(claims.auth_time <= NOW && claims.auth_time <= auth_time, 'a login later than it was');
      assert.ok(claims.iat <= NOW, 'from the future');
    },
  },
};
