// The identity provider: whose ID tokens are taken (T1, T2, T3, T4, T7, S4), and what happens while it misbehaves (F4).

import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import fc from 'fast-check';
import { pino } from 'pino';
import { createFetchJson } from '../../broker/upstream/fetch_json.ts';
import { createIdentityProvider, type IdentityProvider } from '../../broker/upstream/identity_provider.ts';
import { type Code, CurfewError, isCode } from '../../shared/errors.ts';
import { type Seconds, seconds } from '../../shared/time.ts';
import { createCertificateAuthority } from '../support/certificates.ts';
import { type Answer, makeKey, signJws, startUpstreamHost, type UpstreamHost } from './upstream_host.ts';

const T0 = seconds(1_800_000_000);
const SHORT = { connect: 200, total: 400 };
const rsa = makeKey('RS256', 'rsa');

let upstream: UpstreamHost;
let idp: IdentityProvider;
let now: Seconds;
const logged: string[] = [];

function connect(waits = SHORT, ca?: string): IdentityProvider {
  const settings = {
    issuer: upstream.issuer,
    client_id: 'curfew',
    clock_skew: seconds(5),
    id_token_signing_algs: ['RS256', 'PS256', 'ES256'],
  };
  const log = pino({ level: 'trace' }, { write: (line: string) => void logged.push(line) });
  return createIdentityProvider({ settings, fetchJson: createFetchJson(ca, waits), now: () => now, log });
}

beforeEach(async () => {
  upstream = await startUpstreamHost();
  upstream.keys = [rsa.jwk];
  now = T0;
  logged.length = 0;
  idp = connect();
});
afterEach(async () => {
  await idp.close();
  await upstream.stop();
});

type Claims = Record<string, unknown>;

function claims(changes: Claims = {}): Claims {
  const times = { iat: T0 - 1, exp: T0 + 300, auth_time: T0 - 10 };
  return { iss: upstream.issuer, sub: 'alice', aud: 'curfew', ...times, nonce: 'n', ...changes };
}

const token = (changes: Claims = {}, header: Claims = {}, key = rsa) => signJws(key, claims(changes), header);
const verify = (text: string) => idp.verifyIdToken(text, now);

async function refused(code: Code, text: string, words = /./): Promise<void> {
  await assert.rejects(verify(text), (error) => {
    assert.ok(error instanceof CurfewError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, words);
    return true;
  });
}

describe('an ID token', () => {
  test('that is good gives its claims, frozen', async () => {
    const verified = await verify(token({ acr: 'mfa', amr: ['pwd', 'otp'], sid: 's1', email: 'a@example.com' }));
    const { signing_input_hash, claims: raw, ...known } = verified;
    assert.deepEqual(known, {
      ...{ iss: upstream.issuer, sub: 'alice', aud: ['curfew'], azp: undefined, exp: T0 + 300, iat: T0 - 1 },
      ...{ auth_time: T0 - 10, nonce: 'n', acr: 'mfa', amr: ['pwd', 'otp'], sid: 's1' },
    });
    assert.equal(raw.email, 'a@example.com');
    assert.match(signing_input_hash, /^[\w-]{43}$/);
    assert.ok(Object.isFrozen(verified));
  });

  test('may be signed with RS256, PS256 and ES256', async () => {
    const others = [makeKey('PS256', 'ps'), makeKey('ES256', 'es')];
    upstream.keys = [rsa, ...others].map(({ jwk }) => jwk);
    for (const key of [rsa, ...others]) assert.equal((await verify(token({}, {}, key))).sub, 'alice');
  });

  test('without a kid is verified by whichever key fits', async () => {
    const other = makeKey('RS256');
    upstream.keys = [makeKey('ES256', 'es').jwk, rsa.jwk, other.jwk];
    assert.equal((await verify(token({}, {}, other))).sub, 'alice');
    assert.equal((await verify(token({}, { kid: undefined }))).sub, 'alice');
  });

  test('is over at exp itself', async () => {
    assert.equal((await verify(token({ exp: T0 + 1 }))).exp, T0 + 1);
    await refused('id_token_expired', token({ exp: T0 }));
    await refused('id_token_expired', token({ exp: T0 - 1 }));
    for (const exp of [undefined, `${T0 + 9}`, T0 + 9.5, null]) await refused('id_token_invalid', token({ exp }));
  });

  test('without sub, with an endless one, or with control characters in it is refused', async () => {
    for (const sub of [undefined, '', 7, 'a'.repeat(256), 'a\0b']) await refused('id_token_invalid', token({ sub }));
  });

  test('with a nonce that is no text is refused, not taken for one without', async () => {
    for (const nonce of ['', 7, null, ['n']]) await refused('id_token_nonce', token({ nonce }));
    assert.equal((await verify(token({ nonce: undefined }))).nonce, undefined);
  });

  test('with an acr, amr or sid of a wrong form has none', async () => {
    const { acr, amr, sid } = await verify(token({ acr: 2, amr: 'pwd', sid: { a: 1 } }));
    assert.deepEqual([acr, amr, sid], [undefined, undefined, undefined]);
  });
});

describe('T1', () => {
  test('alg none, in any spelling, is refused', async () => {
    for (const alg of ['none', 'None', 'NONE', '']) {
      const [head, body] = [{ alg, kid: 'rsa' }, claims()].map((part) =>
        Buffer.from(JSON.stringify(part)).toString('base64url'),
      );
      for (const signature of ['', 'AA']) {
        const text = `${head}.${body}.${signature}`;
        await refused(signature === '' ? 'id_token_invalid' : 'id_token_signature', text);
      }
    }
  });

  test('HS256 with the public key as secret is refused', async () => {
    const secrets = [JSON.stringify(rsa.jwk), String(rsa.jwk.n), Buffer.from(String(rsa.jwk.n), 'base64url')];
    for (const secret of secrets) {
      const signed = token({}, { alg: 'HS256' }).split('.').slice(0, 2).join('.');
      await refused(
        'id_token_signature',
        `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`,
      );
    }
  });

  test('a symmetric or private key in the JWKS never verifies', async () => {
    upstream.keys = [{ kty: 'oct', k: 'AAAA', kid: 'rsa', alg: 'HS256' }, rsa.jwk];
    assert.equal((await verify(token())).sub, 'alice');
  });

  test('algorithms that are not listed, also in lower case, are refused', async () => {
    for (const alg of ['rs256', 'RS512', 'EdDSA', 'ES384', ['RS256'], 7, undefined]) {
      await refused('id_token_signature', token({}, { alg }));
    }
  });

  test('a key of another curve or kind than the algorithm names is refused', async () => {
    const p384 = makeKey('ES384', 'p384');
    upstream.keys = [rsa.jwk, p384.jwk];
    await refused('id_token_signature', token({}, { alg: 'ES256' }, p384));
    now = seconds(T0 + 60);
    await refused('id_token_signature', token({}, { alg: 'ES256' }));
  });

  test('a key published for another algorithm or for encryption is not used', async () => {
    for (const change of [{ alg: 'PS256' }, { use: 'enc' }, { key_ops: ['encrypt'] }]) {
      upstream.keys = [{ ...rsa.jwk, ...change }, makeKey('RS256', 'other').jwk];
      const fresh = connect();
      await assert.rejects(fresh.verifyIdToken(token(), now), { code: 'id_token_signature' });
      await fresh.close();
    }
  });

  test('an RSA key of 1024 bits is refused', async () => {
    const weak = makeKey('RS256', 'weak', 1024);
    upstream.keys = [rsa.jwk, weak.jwk];
    await refused('id_token_signature', token({}, {}, weak));
  });

  test('crit, known or unknown, is refused', async () => {
    for (const crit of [['b64'], ['foo'], [], 'exp']) await refused('id_token_invalid', token({}, { crit, b64: true }));
  });

  test('a changed payload, header or signature is refused', async () => {
    const [head = '', body = '', signature = ''] = token().split('.');
    const other = Buffer.from(JSON.stringify(claims({ sub: 'mallory' }))).toString('base64url');
    const flipped = Buffer.from(signature, 'base64url');
    flipped[0] = (flipped[0] ?? 0) ^ 1;
    await refused('id_token_signature', `${head}.${other}.${signature}`);
    await refused('id_token_signature', `${head}.${body}.${flipped.toString('base64url')}`);
    await refused('id_token_signature', token({}, {}, { ...makeKey('RS256', 'rsa') }));
  });
});

describe('T2', () => {
  test('a hostile kid is refused or unknown, and asks for nothing but the JWKS', async () => {
    const kids = ['../../etc/passwd', "' OR 1=1 --", 'https://evil.example/jwks', '__proto__', 'k'.repeat(256)];
    for (const kid of kids) await refused('id_token_signature', token({}, { kid }));
    for (const kid of [7, null, ['rsa'], { a: 1 }, 'k'.repeat(257), 'k'.repeat(1024 * 1024)]) {
      await refused('id_token_invalid', token({}, { kid }));
    }
    assert.deepEqual([...new Set(upstream.requests)].sort(), ['/.well-known/openid-configuration', '/jwks']);
  });

  test('jku, x5u, x5c and jwk in the header bring no key and no request', async () => {
    const evil = makeKey('RS256', 'evil');
    const trap = await startUpstreamHost();
    trap.keys = [evil.jwk];
    try {
      const header = { jku: `${trap.issuer}/jwks`, x5u: `${trap.issuer}/x5u`, jwk: evil.jwk, x5c: ['AAAA'] };
      await refused('id_token_signature', token({}, header, evil));
      await refused('id_token_signature', token({}, { ...header, kid: 'rsa' }, evil));
      assert.equal((await verify(token({}, header))).sub, 'alice');
      assert.deepEqual(trap.requests, []);
    } finally {
      await trap.stop();
    }
  });
});

describe('T3', () => {
  test('another issuer, also with a final slash or in capitals, is refused', async () => {
    for (const iss of [
      `${upstream.issuer}/`,
      upstream.issuer.toUpperCase(),
      'https://evil.example',
      '',
      undefined,
      [upstream.issuer],
    ]) {
      await refused('id_token_issuer', token({ iss }));
    }
  });

  test('another audience is refused', async () => {
    for (const aud of [
      'other',
      'Curfew',
      '',
      undefined,
      [],
      ['other'],
      7,
      [['curfew']],
      { curfew: 1 },
      ['curfew', 7],
    ]) {
      await refused('id_token_audience', token({ aud, azp: 'curfew' }));
    }
  });

  test('another azp, or several audiences without one, is refused', async () => {
    for (const azp of ['other', '', null, ['curfew']]) await refused('id_token_azp', token({ azp }));
    await refused('id_token_azp', token({ aud: ['curfew', 'other'] }));
    await refused('id_token_azp', token({ aud: ['curfew', 'other'], azp: 'other' }));
    assert.equal((await verify(token({ aud: ['curfew', 'other'], azp: 'curfew' }))).azp, 'curfew');
    assert.deepEqual((await verify(token({ aud: ['curfew'] }))).aud, ['curfew']);
  });
});

describe('T4', () => {
  test('an ID token has one spelling: padding, stray tail bits and whitespace are refused', async () => {
    const text = token();
    const [head = '', body = '', signature = ''] = text.split('.');
    assert.equal((await verify(text)).sub, 'alice');
    const hostile = [
      ...[
        `${head}.${body}.${signature}=`,
        `${head}.${body}.${signature}==`,
        `${text} `,
        ` ${text}`,
        `${text}\n`,
        `${text}.`,
      ],
      ...[
        `${head}.${body}`,
        `${head}..${signature}`,
        `.${body}.${signature}`,
        `${head}.${body}.`,
        '',
        '...',
        'a.b.c.d.e',
      ],
      ...[`${head}.${body}.${Buffer.from(signature, 'base64url').toString('base64')}`, tailBits(signature, head, body)],
    ];
    for (const other of hostile) await refused('id_token_invalid', other);
  });

  test('two tokens that differ only in their signature have one hash', async () => {
    const es = makeKey('ES256', 'es');
    upstream.keys = [es.jwk];
    const [one, two] = [token({}, {}, es), token({}, {}, es)];
    assert.notEqual(one, two);
    assert.equal((await verify(one)).signing_input_hash, (await verify(two)).signing_input_hash);
    assert.notEqual(
      (await verify(one)).signing_input_hash,
      (await verify(token({ nonce: 'm' }, {}, es))).signing_input_hash,
    );
  });

  test('one larger than 16 KiB is refused before anything is asked of the IdP', async () => {
    await refused('id_token_invalid', token({ padding: 'x'.repeat(16 * 1024) }));
    assert.deepEqual(upstream.requests, []);
  });
});

/** The same 256 signature bytes with the unused low bits of the last character set. */
function tailBits(signature: string, head: string, body: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const last = alphabet.indexOf(signature.at(-1) ?? '');
  return `${head}.${body}.${signature.slice(0, -1)}${alphabet[last | 1]}`;
}

describe('T7', () => {
  test('a Kubernetes token, a DPoP proof, a logout token or a security event is no ID token', async () => {
    for (const typ of [
      'curfew+jwt',
      'dpop+jwt',
      'logout+jwt',
      'secevent+jwt',
      'at+jwt',
      'application/curfew+jwt',
      '',
      7,
    ]) {
      await refused('id_token_invalid', token({}, { typ }));
    }
    await refused('id_token_invalid', token({ events: { 'http://schemas.openid.net/event/backchannel-logout': {} } }));
    for (const typ of [undefined, 'JWT', 'jwt', 'application/jwt']) assert.ok(await verify(token({}, { typ })));
  });
});

describe('S4', () => {
  const raw = (auth_time: string) =>
    signJws(rsa, JSON.stringify(claims({ auth_time: 0 })).replace('"auth_time":0', `"auth_time":${auth_time}`));

  test('an auth_time that is missing, a text, fractional, negative or beyond numbers is refused by name', async () => {
    await refused('auth_time', token({ auth_time: undefined }), /no auth_time/);
    for (const text of [`"${T0}"`, `${T0}.5`, '-1', '1e400', '-1e400', 'null', 'true', '[1]', '{}', '1e17']) {
      await refused('auth_time', raw(text), /auth_time/);
    }
    assert.equal((await verify(raw('18e8'))).auth_time, T0);
  });

  test('an auth_time ahead within clock_skew counts as now; beyond it is refused as clock', async () => {
    assert.equal((await verify(token({ auth_time: T0 + 5, iat: T0 + 5 }))).auth_time, T0);
    await refused('clock', token({ auth_time: T0 + 6, iat: T0 + 5 }), /auth_time 6s in the future/);
    await refused('clock', token({ auth_time: Number.MAX_SAFE_INTEGER, iat: T0 }), /auth_time/);
  });

  test('an auth_time later than iat is refused', async () => {
    await refused('auth_time', token({ auth_time: T0, iat: T0 - 6 }), /later than its iat/);
    assert.ok(await verify(token({ auth_time: T0, iat: T0 - 5 })));
  });

  test('an iat or nbf in the future is refused as clock, and iat never stands in for auth_time', async () => {
    assert.equal((await verify(token({ iat: T0 + 5 }))).iat, T0);
    await refused('clock', token({ iat: T0 + 6 }), /iat 6s in the future/);
    await refused('clock', token({ nbf: T0 + 6 }), /nbf 6s in the future/);
    for (const iat of [undefined, `${T0}`, T0 - 0.5]) await refused('id_token_invalid', token({ iat }));
    await refused('auth_time', token({ auth_time: undefined, iat: T0 }));
  });

  test('F7: a broker whose clock is behind says clock, one whose clock is ahead says expired', async () => {
    for (const behind of [30, 300, 3600]) {
      now = seconds(T0 - behind);
      await refused('clock', token());
    }
    now = seconds(T0 + 3600);
    await refused('id_token_expired', token(), /by the clock of the broker/);
  });
});

describe('keys', () => {
  const reads = () => upstream.requests.filter((url) => url === '/jwks').length;

  test('are read once for many logins at once', async () => {
    await Promise.all(Array.from({ length: 50 }, () => verify(token())));
    assert.equal(reads(), 1);
  });

  test('are read again for an unknown kid, at most once in 30 s', async () => {
    const next = makeKey('RS256', 'next');
    await verify(token());
    upstream.keys = [next.jwk];
    await refused('id_token_signature', token({}, {}, next), /does not publish/);
    assert.equal(reads(), 1);
    now = seconds(T0 + 30);
    const both = await Promise.all([1, 2, 3].map(() => verify(token({}, {}, next))));
    assert.equal(both.length, 3);
    assert.equal(reads(), 2);
    now = seconds(T0 + 59);
    await refused('id_token_signature', token());
    assert.equal(reads(), 2);
  });

  test('are not read again for a bad signature by a known kid', async () => {
    await verify(token());
    now = seconds(T0 + 60);
    await refused('id_token_signature', token({}, {}, makeKey('RS256', 'rsa')));
    assert.equal(reads(), 1);
  });

  test('are read again behind a login when they are old, and one removed is no longer taken', async () => {
    const next = makeKey('RS256', 'next');
    await verify(token());
    upstream.keys = [next.jwk];
    now = seconds(T0 + 600);
    const long = { exp: T0 + 9999 };
    assert.ok(await verify(token(long)));
    await idp.refresh();
    await refused('id_token_signature', token(long));
    assert.ok(await verify(token(long, {}, next)));
  });

  test('a clock set back by hours does not keep them from being read', async () => {
    const next = makeKey('RS256', 'next');
    now = seconds(T0 + 7200);
    await verify(token({ exp: T0 + 9999 }));
    upstream.keys = [next.jwk];
    now = T0;
    assert.ok(await verify(token({}, {}, next)));
  });
});

const MISBEHAVIOUR: readonly (readonly [Answer, RegExp])[] = [
  ['hang', /did not answer in time/],
  ['drip', /did not answer in time/],
  ['slow_drip_of_json', /did not answer in time/],
  ['500', /answered 500/],
  ['html', /not a JSON object/],
  ['list', /not a JSON object/],
  ['redirect', /redirect \(302\)/],
  ['large', /more than 1 MiB/],
  ['cut', /cannot be reached/],
];

describe('F4', () => {
  const away = async (words: RegExp) => {
    const start = performance.now();
    await refused('identity_provider', token(), words);
    await refused('identity_provider', token(), new RegExp(upstream.host.replaceAll('.', '\\.')));
    return (performance.now() - start) / 2;
  };

  for (const place of ['discovery', 'jwks'] as const) {
    for (const [how, words] of MISBEHAVIOUR) {
      test(`a login fails in time and says why: ${place} ${how}`, async () => {
        upstream[place] = how;
        assert.ok((await away(words)) < 2000);
      });
    }
  }

  test('a login fails and says why: another issuer, an unsafe jwks_uri, no keys', async () => {
    upstream.discovery = 'wrong_issuer';
    await away(/names another issuer/);
    upstream.discovery = 'unsafe_jwks_uri';
    await away(/no jwks_uri that is a safe URL/);
    upstream.discovery = 'good';
    upstream.jwks = 'no_keys';
    await away(/publishes no key/);
    upstream.jwks = 'good';
    assert.ok(await verify(token()));
  });

  test('a redirect is not followed', async () => {
    upstream.discovery = 'redirect';
    await away(/redirect/);
    assert.ok(!upstream.requests.includes('/elsewhere'));
  });

  test('a host that refuses connections, or whose name nobody knows, is said so', async () => {
    const { host } = upstream;
    await upstream.stop();
    await refused('identity_provider', token(), new RegExp(`${host.replaceAll('.', '\\.')} refused the connection`));
    const unknown = createFetchJson(undefined, SHORT);
    await assert.rejects(unknown.get('https://idp.invalid/x'), /idp\.invalid (has no address|did not answer)/);
    await unknown.close();
  });

  test('with the waits that are shipped, a hanging IdP is given up within 8 s', async () => {
    upstream.discovery = 'good';
    upstream.jwks = 'hang';
    const real = createFetchJson(undefined);
    const start = performance.now();
    await assert.rejects(real.get(`${upstream.issuer}/jwks`), { code: 'identity_provider' });
    assert.ok(performance.now() - start < 8000);
    await real.close();
  });

  test('what was read before stays in use while the IdP is away, for known keys', async () => {
    await verify(token());
    const long = { exp: T0 + 99_999 };
    for (const [i, how] of (['hang', '500', 'html', 'wrong_issuer', 'no_keys'] as const).entries()) {
      [upstream.discovery, upstream.jwks] = [how, how];
      now = seconds(T0 + 700 * (i + 1));
      assert.ok(await verify(token(long)));
      await assert.rejects(idp.refresh(), { code: 'identity_provider' });
    }
    assert.ok(logged.some((line) => line.includes('last answers stay in use')));
    now = seconds(now + 60);
    await refused('identity_provider', token(long, {}, makeKey('RS256', 'next')));
  });

  test('the IdP with other keys: tokens by the old ones go on, others are refused as not published', async () => {
    upstream.keys = [makeKey('RS256', 'unrelated').jwk];
    await refused('id_token_signature', token(), /does not publish/);
  });

  test('an IdP that comes back is used at the next login', async () => {
    upstream.discovery = '500';
    await refused('identity_provider', token());
    upstream.discovery = 'good';
    assert.ok(await verify(token()));
  });
});

describe('over https', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'curfew-upstream-'));
  });
  after(() => rm(folder, { recursive: true }));

  test('P11: an IdP is trusted by its CA file alone, whatever NODE_TLS_REJECT_UNAUTHORIZED says', async () => {
    const ca = await createCertificateAuthority(folder);
    const { certFile, keyFile } = await ca.issue({ name: 'idp', hosts: ['127.0.0.1'] });
    await upstream.stop();
    upstream = await startUpstreamHost({
      cert: await readFile(certFile, 'utf8'),
      key: await readFile(keyFile, 'utf8'),
    });
    upstream.keys = [rsa.jwk];
    const waits = { connect: 3000, total: 5000 };
    const trusting = connect(waits, ca.caPem);
    assert.equal((await trusting.verifyIdToken(token(), now)).sub, 'alice');
    upstream.metadata = { jwks_uri: 'http://127.0.0.1:1/jwks' };
    await assert.rejects(trusting.refresh(), /safe URL/);
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
    idp = connect(waits);
    try {
      await refused('identity_provider', token(), /certificate that is not trusted .*ca_file/);
    } finally {
      delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
      await trusting.close();
    }
  });
});

describe('whatever is presented', () => {
  const anyClaims = fc.dictionary(
    fc.constantFrom(
      'iss',
      'sub',
      'aud',
      'azp',
      'exp',
      'iat',
      'nbf',
      'auth_time',
      'nonce',
      'acr',
      'amr',
      'sid',
      'events',
    ),
    fc.jsonValue(),
  );

  const judged = async (text: string) => {
    try {
      const { auth_time, iat, exp } = await verify(text);
      assert.ok(auth_time <= now && iat <= now && exp > now);
    } catch (error) {
      assert.ok(error instanceof CurfewError && isCode(error.code), String(error));
      assert.notEqual(error.code, 'identity_provider');
    }
  };

  test('any claims, well signed, are taken with sound times or refused with a code', async () => {
    await fc.assert(
      fc.asyncProperty(anyClaims, (changes) => judged(token(changes))),
      { numRuns: 300 },
    );
  });

  test('any header and any text is refused with a code', async () => {
    const header = fc.dictionary(fc.constantFrom('alg', 'kid', 'typ', 'crit', 'b64', 'zip', 'jku'), fc.jsonValue());
    await fc.assert(
      fc.asyncProperty(header, (changes) => judged(token({}, changes))),
      { numRuns: 200 },
    );
    await fc.assert(fc.asyncProperty(fc.string({ unit: 'binary' }), judged), { numRuns: 200 });
  });

  test('no refusal repeats what the token says', async () => {
    const secret = 'S3CRET';
    const spoilt: [Claims, Claims][] = [
      ...['iss', 'sub', 'aud', 'azp', 'exp', 'iat', 'nbf', 'auth_time', 'events'].map((claim): [Claims, Claims] => [
        { [claim]: { [secret]: secret } },
        {},
      ]),
      ...['alg', 'kid', 'typ', 'crit'].map((name): [Claims, Claims] => [{}, { [name]: [secret] }]),
    ];
    for (const [changes, header] of spoilt) {
      await assert.rejects(
        verify(token(changes, header)),
        (error) => error instanceof CurfewError && !error.message.includes(secret),
      );
    }
  });
});
