// What holds of every token, proof, event, subject, key set and review, whatever is in it: what was made is read as it was made, one
// character otherwise it is not read, and what is read says no more than what was there.

import assert from 'node:assert/strict';
import { createSecretKey, generateKeyPairSync } from 'node:crypto';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { calculateJwkThumbprint } from 'jose';
import { parseDatabaseAddress } from '../../broker/config/database_address.ts';
import type { Cluster } from '../../broker/config/settings.ts';
import type { FetchJson } from '../../broker/net/fetch_json.ts';
import { verifySet } from '../../broker/signals/set.ts';
import { readSubject } from '../../broker/signals/subject.ts';
import { createProofVerifier } from '../../broker/tokens/dpop.ts';
import { signToken, type TokenClaims } from '../../broker/tokens/mint.ts';
import { verifyGatewayToken, verifyToken } from '../../broker/tokens/verify.ts';
import { fetchDiscovery } from '../../broker/upstream/discovery.ts';
import { candidates, fetchKeySet } from '../../broker/upstream/key_set.ts';
import { checkLogoutClaims, checkLogoutHeader } from '../../broker/upstream/logout_token.ts';
import { parseAccessReview, parseTokenReview } from '../../broker/webhooks/review.ts';
import { PROOF_WINDOW_SECONDS } from '../../serving/jws/dpop.ts';
import { parseCompactJws } from '../../serving/jws/jws.ts';
import { CurfewError } from '../../shared/errors.ts';
import { isLoopback } from '../../shared/origin.ts';
import { seconds } from '../../shared/time.ts';
import { isObject } from '../../shared/wire.ts';
import { draftOf, NOW, OWN, publicJwk, tokenOf } from './drafts.ts';

const ISSUER = 'https://curfew.example.com';
const IDP = 'https://idp.example.com';
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const name = fc
  .string({ minLength: 1, maxLength: 30, unit: fc.constantFrom(...'abcxyzé 界0-_@.') })
  .filter((text) => text.trim() !== '');
const id = fc.string({ minLength: 8, maxLength: 40, unit: fc.constantFrom(...'abcXYZ019-_') });
const shift = fc.integer({ min: -400, max: 400 });

/** @returns the code of the refusal */
async function codeOf<T>(work: () => T | Promise<T>): Promise<T | string> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof CurfewError && error.code !== 'internal') return error.code;
    throw error;
  }
}

/** One character otherwise: another of the alphabet, anything, one less, one more. */
const spoilt = fc.tuple(
  fc.nat(),
  fc.constantFrom(...ALPHABET, '.', '=', '~', ' ', '\n', '\0'),
  fc.constantFrom('put', 'in', 'out'),
);
function spoil(text: string, [at, character, how]: readonly [number, string, string]): string {
  const i = at % text.length;
  return text.slice(0, i) + (how === 'out' ? '' : character) + text.slice(how === 'in' ? i : i + 1);
}

describe('tokens of ours', () => {
  const clusters = [{ name: 'dev', audience: 'dev', gateway: {} } as Cluster];
  const jwk = { ...publicJwk(OWN), kid: 'one', alg: 'ES256', use: 'sig' };
  const parts = { config: { issuer: ISSUER, clusters }, keys: { jwks: { keys: [jwk] } } } as unknown as Parameters<
    typeof verifyToken
  >[0];
  const signer = { signing: { kid: 'one', key: OWN.privateKey, sign_from: seconds(0) } };
  const claims = fc
    .record({
      sub: name,
      username: name,
      groups: fc.array(name, { maxLength: 5 }),
      sid: id,
      jti: id,
      acr: fc.option(name, { nil: undefined }),
      iat: shift,
      length: fc.integer({ min: 1, max: 800 }),
    })
    .map(({ iat, length, acr, ...rest }): TokenClaims => {
      const from = seconds(NOW + iat);
      const times = { iat: from, nbf: from, exp: seconds(from + length), auth_time: from };
      return { iss: ISSUER, aud: 'dev', ...rest, ...times, ...(acr !== undefined && { acr }) };
    });

  test('T1 each is read as it was signed, from its nbf to the second before its exp, and by nobody as another kind', () => {
    fc.assert(
      fc.property(claims, shift, (made, later) => {
        const now = seconds(NOW + later);
        const token = signToken(signer, made);
        const isGood = now >= made.nbf && now < made.exp;
        assert.deepEqual(verifyToken(parts, token, now), isGood ? made : undefined);
        assert.equal(verifyGatewayToken(parts, token, now), undefined);
        const for_gateway = signToken(signer, { ...made, aud: 'dev/gateway' }, 'curfew-gateway+jwt');
        assert.equal(verifyToken(parts, for_gateway, now), undefined);
        assert.equal(verifyGatewayToken(parts, for_gateway, now) !== undefined, isGood);
      }),
    );
  });

  test('T1 with one character otherwise none is read', () => {
    fc.assert(
      fc.property(claims, spoilt, (made, how) => {
        const token = signToken(signer, made);
        const other = spoil(token, how);
        fc.pre(other !== token);
        assert.equal(verifyToken(parts, other, made.nbf), undefined);
      }),
      { numRuns: 500 },
    );
  });
});

describe('proofs', () => {
  const verifier = createProofVerifier(createSecretKey(Buffer.alloc(32, 1)), () => seconds(NOW));
  const URL_OF = `${ISSUER}/token`;
  const request = { method: 'POST', url: URL_OF };
  const proof = fc.record({
    ...{
      iat: fc.integer({ min: NOW - 90, max: NOW + 90 }),
      jti: fc.string({ maxLength: 300 }),
      nonce: fc.boolean(),
      key: fc.nat(2),
    },
    htu: fc.constantFrom(
      URL_OF,
      `${URL_OF}?a=b#c`,
      'HTTPS://Curfew.Example.com:443/token',
      `${ISSUER}/revoke`,
      `${URL_OF}/`,
    ),
    htm: fc.constantFrom('POST', 'POST', 'POST', 'GET', 'post'),
  });
  const keys = Array.from({ length: 3 }, () => generateKeyPairSync('ec', { namedCurve: 'P-256' }));

  test('T6 one is taken exactly where it speaks of this request, by its own key, now or by a nonce; it is known by key and jti alone', async () => {
    const seen = new Map<string, string>();
    await fc.assert(
      fc.asyncProperty(proof, async ({ iat, jti, nonce, key, htu, htm }) => {
        const pair = keys[key] ?? OWN;
        const jwk = publicJwk(pair);
        const claims = { iat, jti, htu, htm, ...(nonce && { nonce: verifier.nonce() }) };
        const draft = draftOf({ alg: 'ES256', typ: 'dpop+jwt', jwk }, claims);
        const text = tokenOf({ ...draft, signature: (input) => draft.signature(input, pair.privateKey) });
        const isFit = htm === 'POST' && new URL(htu).pathname === '/token' && jti.length >= 8 && jti.length <= 256;
        const isFresh = nonce || Math.abs(iat - NOW) <= PROOF_WINDOW_SECONDS;
        const verified = await codeOf(() => verifier.verify(text, request));
        if (!isFit) return assert.equal(verified, 'proof_invalid');
        if (!isFresh) return assert.equal(verified, 'proof_nonce');
        assert.ok(typeof verified === 'object');
        assert.equal(verified.jkt, await calculateJwkThumbprint(jwk));
        const known = `${key} ${jti}`;
        const hash = Buffer.from(verified.hash).toString('hex');
        assert.equal(seen.get(known) ?? hash, hash);
        seen.set(known, hash);
      }),
      { numRuns: 400 },
    );
    assert.equal(new Set(seen.values()).size, seen.size, 'two proofs are taken for one');
    assert.ok(seen.size > 20);
  });

  test('T6 with one character otherwise none is taken', async () => {
    await fc.assert(
      fc.asyncProperty(id, spoilt, async (jti, how) => {
        const draft = draftOf(
          { alg: 'ES256', typ: 'dpop+jwt', jwk: publicJwk(OWN) },
          { iat: NOW, jti, htu: URL_OF, htm: 'POST' },
        );
        const text = tokenOf(draft);
        const other = spoil(text, how);
        fc.pre(other !== text);
        assert.equal(await codeOf(() => verifier.verify(other, request)), 'proof_invalid');
      }),
      { numRuns: 500 },
    );
  });
});

describe('what the identity provider signs', () => {
  const LOGOUT = 'http://schemas.openid.net/event/backchannel-logout';
  const expected = { issuer: IDP, client_id: 'curfew', clock_skew: seconds(60), id_token_signing_algs: ['ES256'] };
  const others = fc.dictionary(id, fc.jsonValue({ maxDepth: 2 }), { maxKeys: 3 });

  test('L1 a logout token is taken exactly from its iat, within the skew, to its exp or two minutes, and means whom it names', async () => {
    const times = fc.record({ iat: shift, exp: fc.option(shift, { nil: undefined }) });
    const whom = fc.record({ sub: fc.option(name, { nil: undefined }), sid: fc.option(name, { nil: undefined }) });
    await fc.assert(
      fc.asyncProperty(times, whom, id, others, async ({ iat, exp }, { sub, sid }, jti, more) => {
        const claims = {
          ...more,
          iss: IDP,
          aud: ['x', 'curfew'],
          jti,
          sub,
          sid,
          iat: NOW + iat,
          exp: exp === undefined ? undefined : NOW + exp,
          events: { [LOGOUT]: more },
          nonce: undefined,
        };
        const jws = parseCompactJws(tokenOf(draftOf({ alg: 'ES256' }, claims)));
        assert.ok(jws);
        assert.deepEqual(checkLogoutHeader(jws, expected), { alg: 'ES256', kid: undefined });
        const end = claims.exp ?? claims.iat + 120;
        const isGood = iat <= 60 && end > NOW && (sub !== undefined || sid !== undefined);
        const taken = await codeOf(() => checkLogoutClaims(jws.payload, expected, seconds(NOW)));
        if (!isGood) return assert.equal(taken, 'logout_token_invalid');
        assert.deepEqual(taken, {
          iss: IDP,
          jti,
          expires_at: end,
          ...(sub !== undefined && { sub }),
          ...(sid !== undefined && { idp_sid: sid }),
        });
      }),
      { numRuns: 300 },
    );
  });

  test('L2 a security event is taken apart as it was put together, in its order, and remembered for longer than it is taken', async () => {
    const transmitter = { issuer: IDP, audience: 'a', issuers: [IDP] };
    const signer = { wait: () => seconds(1), verify: async () => 'good' as const };
    const events = fc.dictionary(id, fc.dictionary(id, fc.jsonValue({ maxDepth: 2 }), { maxKeys: 2 }), {
      minKeys: 1,
      maxKeys: 10,
    });
    await fc.assert(
      fc.asyncProperty(
        events,
        id,
        fc.integer({ min: -31 * 86_400, max: 31 * 86_400 }),
        fc.option(others, { nil: undefined }),
        async (made, jti, at, sub_id) => {
          const claims = { iss: IDP, aud: 'a', jti, iat: NOW + at, events: made, sub_id };
          const text = tokenOf(draftOf({ alg: 'ES256', typ: 'secevent+jwt' }, claims));
          const set = await codeOf(() => verifySet(text, transmitter, signer, seconds(NOW)));
          if (at <= -30 * 86_400) return assert.equal(set, 'set_invalid');
          assert.ok(typeof set === 'object');
          const parsed = JSON.parse(JSON.stringify(claims));
          const wanted = Object.entries<{ readonly subject?: unknown }>(parsed.events).map(([type, payload]) => ({
            type,
            payload,
            subject: parsed.sub_id ?? payload.subject,
          }));
          assert.deepEqual([set.iss, set.jti, set.events], [IDP, jti, wanted]);
          // Longer than until it is too old.
          assert.ok(set.expires_at > NOW + at + 30 * 86_400);
        },
      ),
      { numRuns: 300 },
    );
  });

  test('L2 a subject names those that its words name, in each of its spellings, or is refused by name', async () => {
    const listener = { issuer: IDP, issuers: [IDP, 'https://other.example.com'], by_email: true };
    const simple = fc.oneof(
      fc.record({
        format: fc.constantFrom('iss_sub', 'iss-sub', 'id_token_claims'),
        iss: fc.constantFrom(IDP, 'https://other.example.com', 'https://strange.example.com'),
        sub: name,
      }),
      fc.record({ format: fc.constant('email'), email: name }),
      fc.record({ subject_type: fc.constantFrom('email'), email: name }),
    );
    const asked = (subject: unknown) => codeOf(() => readSubject(subject, listener));
    await fc.assert(
      fc.asyncProperty(simple, name, async (subject, session) => {
        const alone = await asked(subject);
        const { iss, sub, email } = subject as {
          readonly iss?: string;
          readonly sub?: string;
          readonly email?: string;
        };
        const wanted =
          iss === undefined
            ? { email }
            : iss === IDP
              ? { sub }
              : iss.includes('other')
                ? 'elsewhere'
                : 'set_not_allowed';
        assert.deepEqual(alone, wanted);
        // In a complex subject of one, beside a device, and as an alias: the same person.
        assert.deepEqual(
          await asked({ format: 'complex', user: subject, device: { format: 'opaque', id: 'x' } }),
          wanted,
        );
        assert.deepEqual(await asked({ format: 'aliases', identifiers: [{ format: 'unknown' }, subject] }), wanted);
        const both = await asked({ user: subject, session: { format: 'opaque', id: session } });
        const named =
          typeof wanted === 'object' ? { ...wanted, ...(session !== 'ALL' && { idp_sid: session }) } : wanted;
        assert.deepEqual(both, named);
      }),
      { numRuns: 300 },
    );
    await fc.assert(
      fc.asyncProperty(fc.jsonValue(), async (anything) => {
        const read = await asked(anything);
        assert.ok(
          typeof read === 'string' || read.sub !== undefined || read.email !== undefined || read.idp_sid !== undefined,
          'nobody',
        );
      }),
    );
  });
});

describe('what the identity provider publishes', () => {
  const answering = (document: unknown): FetchJson => ({
    get: async () => document as Readonly<Record<string, unknown>>,
    onDate: () => undefined,
    close: async () => undefined,
  });
  const url = fc.oneof(
    fc.constantFrom(
      `${IDP}/jwks`,
      'http://idp.example.com/jwks',
      'https://a:b@idp.example.com/',
      'http://127.0.0.1:1/',
      'file:///etc/passwd',
      'jwks',
      'data:,{}',
    ),
    ...[fc.webUrl({ validSchemes: ['http', 'https', 'ftp'] }), fc.string()],
  );

  test('P11 metadata is taken of the issuer that was asked alone, and its keys come by a way that is as safe', async () => {
    const document = fc.record({
      issuer: fc.oneof({ weight: 6, arbitrary: fc.constant(IDP) }, fc.jsonValue()),
      jwks_uri: fc.oneof({ weight: 8, arbitrary: url }, fc.jsonValue()),
      more: fc.jsonValue(),
    });
    await fc.assert(
      fc.asyncProperty(
        document,
        fc.dictionary(fc.constantFrom('scopes_supported', 'claims_supported', 'token_endpoint'), fc.jsonValue()),
        async (made, more) => {
          const taken = await codeOf(() => fetchDiscovery(IDP, answering({ ...more, ...made })));
          const text = String(made.jwks_uri);
          const isSafe =
            typeof made.jwks_uri === 'string' &&
            URL.canParse(text) &&
            new URL(text).protocol === 'https:' &&
            new URL(text).username + new URL(text).password === '';
          if (made.issuer !== IDP || !isSafe) return assert.equal(taken, 'identity_provider');
          assert.ok(typeof taken === 'object');
          assert.deepEqual([taken.issuer, taken.jwks_uri], [IDP, made.jwks_uri]);
          for (const list of [taken.scopes_supported, taken.claims_supported])
            assert.ok(list === undefined || list.every((one) => typeof one === 'string'));
          assert.ok(!isLoopback(new URL(taken.jwks_uri).hostname) || text.startsWith('https:'));
        },
      ),
      { numRuns: 300 },
    );
  });

  test('T1 of key sets the public parts of keys that can sign are taken, and a header finds those of its kid, algorithm and curve alone', async () => {
    const member = fc.oneof(
      { weight: 5, arbitrary: fc.constantFrom('AQAB', 'P-256', 'P-384', 'RS256', 'ES256', 'sig', 'enc', 'one', 'two') },
      fc.jsonValue({ maxDepth: 1 }),
    );
    const key = fc.record(
      {
        kty: fc.constantFrom('RSA', 'EC', 'oct', 'OKP'),
        kid: member,
        alg: member,
        use: fc.constantFrom('sig', 'sig', 'enc', 7),
        key_ops: fc.constantFrom(['verify'], ['sign'], 'verify'),
        n: member,
        e: member,
        crv: member,
        x: member,
        y: member,
        d: member,
        p: member,
        k: member,
      },
      { requiredKeys: ['kty', 'n', 'e', 'crv', 'x', 'y'] },
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(key, { maxLength: 5 }),
        fc.constantFrom('RS256', 'PS256', 'ES256', 'ES384'),
        fc.option(fc.constantFrom('one', 'two'), { nil: undefined }),
        async (keys, alg, kid) => {
          const taken = await codeOf(() => fetchKeySet(`${IDP}/jwks`, answering({ keys })));
          if (typeof taken === 'string') return assert.equal(taken, 'identity_provider');
          for (const { jwk } of taken) {
            const members = Object.keys(jwk).sort().join();
            assert.ok(['e,kty,n', 'crv,kty,x,y'].includes(members), members);
            const from = keys.filter((one) =>
              Object.entries(jwk).every(([part, value]) => (one as Readonly<Record<string, unknown>>)[part] === value),
            );
            assert.ok(
              from.some(
                ({ use, key_ops }) => (use ?? 'sig') === 'sig' && [key_ops ?? 'verify'].flat().includes('verify'),
              ),
            );
          }
          for (const found of candidates(taken, { alg, kid })) {
            assert.ok(kid === undefined || found.kid === kid);
            assert.ok(found.alg === undefined || found.alg === alg);
            assert.deepEqual(
              [found.jwk.kty, found.jwk.crv],
              alg.startsWith('ES') ? ['EC', alg === 'ES256' ? 'P-256' : 'P-384'] : ['RSA', undefined],
            );
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe('what an API server asks', () => {
  test('H6 a review is read as it was written; one id on a user is one, several are none that is known; anything else is none', () => {
    const ids = fc.oneof(fc.array(fc.string({ maxLength: 300 }), { maxLength: 3 }), fc.jsonValue());
    const attributes = fc.record(
      { verb: name, namespace: name, group: name, resource: name, subresource: name, name },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(
        name,
        ids,
        ids,
        attributes,
        fc.constantFrom('v1', 'v1beta1', 'v2', ''),
        (user, sid, jti, resourceAttributes, version) => {
          const extra = { 'curfew.internal/session-id': sid, 'authentication.kubernetes.io/credential-id': jti };
          const review = parseAccessReview({
            kind: 'SubjectAccessReview',
            apiVersion: `authorization.k8s.io/${version}`,
            spec: { user, extra, resourceAttributes },
          });
          if (!version.startsWith('v1')) return assert.equal(review, undefined);
          assert.ok(review);
          const one = (value: unknown) =>
            Array.isArray(value) && value.length === 1 && typeof value[0] === 'string' && value[0].length <= 256
              ? value[0]
              : '';
          assert.deepEqual([review.user, review.sid, review.jti], [user, one(sid), one(jti).replace(/^JTI=/, '')]);
          const { verb = '', namespace, resource = '', subresource = '' } = resourceAttributes;
          assert.deepEqual(
            [review.verb, review.namespace, review.resource],
            [verb, namespace, subresource === '' ? resource : `${resource}/${subresource}`],
          );
          assert.equal(review.discovery, false);
        },
      ),
      { numRuns: 300 },
    );
    fc.assert(
      fc.property(fc.jsonValue(), fc.constantFrom('SubjectAccessReview', 'TokenReview', 'Other'), (anything, kind) => {
        for (const body of [
          anything,
          { kind, apiVersion: 'authorization.k8s.io/v1', spec: anything },
          { kind, apiVersion: 'authentication.k8s.io/v1', spec: anything },
        ]) {
          const [access, token] = [parseAccessReview(body), parseTokenReview(body)];
          const spec = isObject(body) ? body.spec : undefined;
          assert.ok(!access || (isObject(spec) && access.user === spec.user));
          assert.ok(!token || (isObject(spec) && token.token === spec.token));
        }
      }),
    );
  });
});

describe('the address of a database', () => {
  test('is read as it was written, percent-encoded; its password never comes back in a fault', async () => {
    const text = fc.string({ minLength: 1, maxLength: 12 });
    const host = fc.record({
      host: fc.oneof(fc.domain(), fc.ipV4(), fc.ipV6()),
      port: fc.option(fc.integer({ min: 1, max: 65_535 }), { nil: undefined }),
    });
    await fc.assert(
      fc.asyncProperty(
        text,
        text,
        text,
        fc.array(host, { minLength: 1, maxLength: 3 }),
        async (user, password, database, hosts) => {
          const places = hosts.map(
            ({ host: one, port }) => `${one.includes(':') ? `[${one}]` : one}${port === undefined ? '' : `:${port}`}`,
          );
          const [u, p, d] = [user, password, database].map((part) => encodeURIComponent(part));
          const read = parseDatabaseAddress(`postgres://${u}:${p}@${places.join(',')}/${d}`, 'X');
          assert.deepEqual([read.user, read.database], [user, database]);
          assert.equal(read.password?.export().toString('utf8'), password);
          assert.deepEqual(
            read.hosts,
            hosts.map(({ host: one, port = 5432 }) => ({ host: one, port })),
          );
        },
      ),
    );
    const secret = 'correct-horse-battery';
    const around = fc.oneof(
      fc.string(),
      fc.constantFrom(
        'postgres://u:',
        'postgres://u:p@',
        '@h/d',
        '@h:x/d',
        '@/d',
        '@h/d?sslmode=',
        '@h/d?x=',
        '%zz@h/d',
        '@[h]/d',
      ),
    );
    await fc.assert(
      fc.asyncProperty(around, around, async (before, after) => {
        try {
          // A password with an @ that is not encoded is no part of a host, which would be said wherever it cannot be reached.
          const { hosts } = parseDatabaseAddress(`${before}${secret}${after}`, 'store.postgres.url_file');
          assert.ok(
            hosts.every(({ host: one }) => !one.includes('@')),
            'a part of the password is a host',
          );
        } catch (error) {
          assert.ok(error instanceof CurfewError && !error.message.includes(secret), String(error));
        }
      }),
      { numRuns: 500 },
    );
  });
});
