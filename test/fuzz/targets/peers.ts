// What API servers, transmitters and the identity provider say, and what administrators write of them: against a reading by hand.

import assert from 'node:assert/strict';
import { parseDatabaseAddress } from '../../../broker/config/database_address.ts';
import { readSubject } from '../../../broker/signals/subject.ts';
import { fetchDiscovery } from '../../../broker/upstream/discovery.ts';
import { candidates, fetchKeySet } from '../../../broker/upstream/key_set.ts';
import { parseAccessReview, parseTokenReview } from '../../../broker/webhooks/review.ts';
import { proxyFor } from '../../../cli/wire/proxy.ts';
import { parseKeys } from '../../../gateway/config/service_account_keys.ts';
import { credentialIn } from '../../../gateway/credentials/credential.ts';
import { parseJson } from '../../../shared/json.ts';
import { isObject } from '../../../shared/wire.ts';
import { encoded, refusable, refusableLater, type Targets, textOf } from '../target.ts';
import { PUBLIC_WITH_ID } from './signing.ts';

const IDP = 'https://idp.example.com';
const review = (kind: string, group: string, spec: object) =>
  JSON.stringify({ kind, apiVersion: `${group}.k8s.io/v1`, spec });
const extra = {
  'curfew.internal/session-id': ['s-1'],
  'authentication.kubernetes.io/credential-id': ['JTI=abc'],
};
const LISTENER = { issuer: IDP, issuers: [IDP, 'https://other.example.com'], by_email: true };
const RSA = { kty: 'RSA', n: encoded('n'.repeat(256)), e: 'AQAB', kid: 'two', alg: 'RS256', use: 'sig' };

const answering = (document: unknown) => ({
  get: async () => (isObject(document) ? document : {}),
  onDate: () => undefined,
  close: async () => undefined,
});

/** Of one element that is a text. */
function only(value: unknown): unknown {
  return Array.isArray(value) && value.length === 1 && typeof value[0] === 'string' && value[0].length <= 256
    ? value[0]
    : '';
}

export const peers: Targets = {
  review: {
    seeds: [
      review('SubjectAccessReview', 'authorization', {
        ...{ user: 'curfew:alice', extra },
        resourceAttributes: { verb: 'create', namespace: 'dev', resource: 'pods', subresource: 'exec', name: 'shell' },
      }),
      review('SubjectAccessReview', 'authorization', {
        ...{ user: 'x', nonResourceAttributes: { path: '/api', verb: 'get' } },
      }),
      review('TokenReview', 'authentication', { token: 'a.b.c' }),
    ],
    run(input) {
      const body = parseJson(textOf(input));
      const [access, token] = [parseAccessReview(body), parseTokenReview(body)];
      assert.ok(!(access && token), 'two kinds at once');
      if (!access && !token) return;
      assert.ok(isObject(body) && isObject(body.spec));
      if (token) return assert.equal(token.token, body.spec.token);
      const { user, extra: given } = body.spec;
      assert.equal(access?.user, user);
      const sid = isObject(given) ? given['curfew.internal/session-id'] : undefined;
      assert.equal(access?.sid, sid === undefined ? undefined : only(sid), 'another session');
    },
  },
  subject: {
    seeds: [
      { format: 'iss_sub', iss: IDP, sub: 'alice' },
      { format: 'complex', user: { format: 'email', email: 'a@b.c' }, session: { format: 'opaque', id: 's' } },
      { subject_type: 'id-token-claims', iss: IDP, email: 'a@b.c' },
      {
        format: 'aliases',
        identifiers: [
          { format: 'email', email: 'a@b.c' },
          { format: 'iss_sub', iss: IDP, sub: 'x' },
        ],
      },
      {
        user: { subject_type: 'iss-sub', iss: 'https://other.example.com', sub: 'x' },
        session: { format: 'opaque', id: 'ALL' },
      },
    ].map((subject) => JSON.stringify(subject)),
    run(input) {
      const subject = parseJson(textOf(input));
      const named = refusable(() => readSubject(subject, LISTENER));
      if (named === undefined || named === 'elsewhere') return;
      const texts = Object.values(named);
      assert.ok(texts.length > 0, 'nobody is meant');
      const said = JSON.stringify(subject);
      for (const text of texts) {
        assert.ok(said.includes(JSON.stringify(text)), 'somebody who is not named');
        assert.notEqual(named.idp_sid, 'ALL', 'one session that is called all');
        assert.doesNotMatch(String(text), /[\p{Cc}\p{Cf}\p{Cs}]/u, 'a name that hides something');
      }
    },
  },
  discovery: {
    seeds: [
      JSON.stringify({
        issuer: IDP,
        jwks_uri: `${IDP}/jwks`,
        scopes_supported: ['openid'],
        token_endpoint: `${IDP}/t`,
      }),
    ],
    words: [IDP, 'http://127.0.0.1', 'https://a:b@idp.example.com/', 'file:///etc/passwd'],
    async run(input) {
      const document = parseJson(textOf(input));
      const taken = await refusableLater(() => fetchDiscovery(IDP, answering(document)));
      if (!taken) return;
      assert.ok(isObject(document) && document.issuer === IDP, 'somebody else’s');
      const { protocol, username, password } = new URL(taken.jwks_uri);
      assert.deepEqual([protocol, username, password, taken.jwks_uri], ['https:', '', '', document.jwks_uri]);
    },
  },
  jwks: {
    seeds: [
      JSON.stringify({ keys: [PUBLIC_WITH_ID, RSA] }),
      JSON.stringify({ keys: [{ ...PUBLIC_WITH_ID, d: 'AA' }] }),
    ],
    async run(input) {
      const text = textOf(input);
      const set = await refusableLater(() => fetchKeySet(`${IDP}/jwks`, answering(parseJson(text))));
      for (const { jwk } of set ?? [])
        assert.match(Object.keys(jwk).sort().join(), /^(e,kty,n|crv,kty,x,y)$/, 'more than the public part');
      for (const alg of ['RS256', 'ES256', 'ES512'])
        for (const found of candidates(set ?? [], { alg, kid: 'one' })) {
          assert.equal(found.kid, 'one');
          assert.equal(found.jwk.kty, alg === 'RS256' ? 'RSA' : 'EC', 'a key of another kind');
        }
      // The other reader of key sets: a gateway's.
      for (const { key } of parseKeys(text)) assert.equal(key.type, 'public');
    },
  },
  credential: {
    // Names and values, a line each.
    seeds: [
      'authorization\nBearer abc.def.ghi\naccept\n*/*',
      `sec-websocket-protocol\nv5.channel.k8s.io, base64url.bearer.authorization.k8s.io.${encoded('abc.def')}`,
      'authorization\nBasic YTpi\nconnection\nupgrade\nupgrade\nSPDY/3.1',
    ],
    words: [
      'authorization',
      'Bearer ',
      'base64url.bearer.authorization.k8s.io.',
      'sec-websocket-protocol',
      'connection',
    ],
    run(input) {
      const lines = input.split('\n');
      // No other name comes past an HTTP parser.
      const headers = lines.flatMap((name, i): [string, string][] =>
        i % 2 === 0 && /^[!#$%&'*+.^_`|~0-9a-z-]+$/i.test(name) ? [[name.toLowerCase(), lines[i + 1] ?? '']] : [],
      );
      const found = credentialIn(headers);
      if ('status' in found) return;
      const passed = found.headers.filter(([name]) => name === 'authorization');
      assert.deepEqual(passed, [], 'a credential passes');
      const protocols = found.headers.filter(([name]) => name === 'sec-websocket-protocol').map(([, value]) => value);
      for (const one of protocols.flatMap((value) => value.split(',')))
        assert.ok(!one.trim().startsWith('base64url.bearer.authorization.k8s.io.'), 'a credential passes');
      const bearing = headers.filter(([name]) => name === 'authorization').length;
      assert.ok(bearing <= 1, 'two credentials are taken');
      if (found.token !== undefined) assert.match(found.token, /^[A-Za-z0-9._~+/-]+=*$/, 'not a token');
      else assert.equal(bearing, 0, 'a credential is passed over');
    },
  },
  database: {
    seeds: [
      'postgres://curfew:secret@db.example.com:5432/curfew',
      'postgresql://u@[::1],h2:1/d?host=/run',
      'postgres://u%40x:p%2F@h/d',
    ],
    run(input) {
      const address = refusable(() => parseDatabaseAddress(textOf(input), 'X'));
      if (!address) return;
      assert.ok(address.user !== '' && address.database !== '' && address.hosts.length > 0);
      for (const { host, port } of address.hosts) {
        assert.ok(port >= 1 && port <= 65_535);
        assert.ok(!host.startsWith('/') ? !/[@/?#[\]]/.test(host) : true, 'more than a host');
      }
    },
  },
  proxy: {
    seeds: ['proxy.example.com:3128\nlocalhost,.example.org', 'http://u:p@[::1]:8080\n10.0.0.0/8', 'socks5://h:1\n*'],
    words: ['http://', 'https://', 'socks5://', '@', '.curfew.example.com', '*.example.com', ':443'],
    run(input) {
      const [HTTPS_PROXY = '', NO_PROXY = ''] = textOf(input).split('\n');
      const target = new URL('https://curfew.example.com/token');
      const proxy = refusable(() => ({ found: proxyFor({ HTTPS_PROXY, NO_PROXY }, target) }));
      if (!proxy) return;
      if (proxy.found) {
        const { protocol, host } = new URL(proxy.found.url);
        assert.match(protocol, /^https?:$/);
        assert.ok(host !== '');
        assert.doesNotMatch(proxy.found.host, /@/, 'a password is shown');
        return;
      }
      const meant = NO_PROXY.toLowerCase();
      const isExempt = ['*', 'com', 'example.com', 'curfew.example.com'].some((name) => meant.includes(name));
      assert.ok(HTTPS_PROXY === '' || isExempt, 'past the proxy in silence');
    },
  },
};
