// What the gateway judged is what the API server got: paths, headers and upgrades by chance, against another reading of the same path (that
// of kube-apiserver, after it has undone percent signs), and against what an API server that records was sent.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { isUpgradable, targetOf } from '../../gateway/request/target.ts';
import type { GatewayReach, GatewayTarget } from '../../shared/gateway_wire.ts';
import { type Reach, type ResourceRequest, reachOfPath, reachOfResource } from '../../shared/reach.ts';
import { chanceOf } from '../support/chance.ts';
import { requestText } from '../support/raw_client.ts';
import { type RecordedGateway, startRecordedGateway } from '../support/recorded_gateway.ts';

const { seed } = chanceOf('gateway_fuzz');
console.log(`SEED=${seed}`);
const EVERYTHING: Reach = { namespace: '*', resource: '*' };

const word = fc.constantFrom(
  ...[
    'api',
    'apis',
    'v1',
    'apps',
    'namespaces',
    'dev',
    'prod',
    'pods',
    'shell',
    'exec',
    'attach',
    'proxy',
    'watch',
    'log',
  ],
  ...[
    'services',
    'nodes',
    'secrets',
    'portforward',
    'status',
    'finalize',
    'version',
    'https:web:443',
    '',
    '.',
    '..',
    '*',
  ],
);
/** The same to whoever undoes it. */
const disguised = fc
  .tuple(word, fc.nat())
  .map(([text, i]) => text.replace(text[i % (text.length || 1)] ?? '', (one) => `%${one.charCodeAt(0).toString(16)}`));
const strange = fc.stringMatching(/^[!->@-~]{0,6}$/);
const segment = fc.oneof(
  { weight: 12, arbitrary: word },
  { weight: 1, arbitrary: disguised },
  { weight: 1, arbitrary: strange },
);
const separator = fc.oneof(
  { weight: 20, arbitrary: fc.constant('/') },
  fc.constantFrom('%2f', '%2F', '//', '%5c', '\\', ';', '#'),
);
const beginning = fc.constantFrom(
  ...['/', '/api/v1/', '/api/v1/namespaces/dev/', '/api/v1/namespaces/prod/pods/shell/', '/apis/apps/v1/', '/api/v1'],
);
const path = fc
  .tuple(beginning, fc.array(fc.tuple(segment, separator), { maxLength: 8 }), segment)
  .map(([first, parts, last]) => first + parts.map((part) => part.join('')).join('') + last);
const query = fc.oneof(
  fc.constant(''),
  fc.constantFrom('?watch=true', '?follow=1', '?watch=0&x=%2f..', '?a=b?c#d'),
  strange.map((text) => `?${text}`),
);
const method = fc.constantFrom('GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS');

/** RequestInfoFactory of k8s.io/apiserver, on a path without percent signs. @returns `undefined` for what is no resource */
function readByKubernetes(verb_of: string, decoded: string): ResourceRequest | undefined {
  let parts = decoded.replace(/^\/+|\/+$/g, '').split('/');
  if (parts.length < 3) return undefined;
  const prefix = parts.shift();
  let group = '';
  if (prefix === 'apis') {
    if (parts.length < 3) return undefined;
    group = parts.shift() ?? '';
  } else if (prefix !== 'api') return undefined;
  parts = parts.slice(1);
  let verb =
    { POST: 'create', GET: 'get', HEAD: 'get', PUT: 'update', PATCH: 'patch', DELETE: 'delete' }[verb_of] ?? '';
  if (parts[0] === 'proxy' || parts[0] === 'watch') {
    if (parts.length < 2) return undefined;
    verb = parts.shift() ?? '';
  }
  let namespace = '';
  if (parts[0] === 'namespaces' && parts.length > 1) {
    namespace = parts[1] ?? '';
    if (parts.length > 2 && parts[2] !== 'status' && parts[2] !== 'finalize') parts = parts.slice(2);
  }
  const [resource = '', name = '', third = ''] = parts;
  if (name === '' && verb === 'get') verb = 'list';
  if (name === '' && verb === 'delete') verb = 'deletecollection';
  return { verb, group, resource, subresource: verb === 'proxy' ? '' : third, namespace, name };
}

/** `undefined` where an API server does not take it. */
function decode(text: string): string | undefined {
  if (/%(?![0-9a-f]{2})/i.test(text)) return undefined;
  return text.replace(/%([0-9a-f]{2})/gi, (_all, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

const same = (one: GatewayTarget, other: GatewayReach) =>
  one.target === undefined && one.namespace === other.namespace && one.resource === other.resource;

describe('G5 by chance', () => {
  test('a path is judged as kube-apiserver reads it, or as reaching everything', () => {
    let exactly = 0;
    fc.assert(
      fc.property(method, path, query, (verb, own, more) => {
        const asked = targetOf(verb, own + more, false);
        const decoded = decode(own);
        if (decoded === undefined) return;
        const read = readByKubernetes(verb, decoded);
        const reach = read === undefined ? reachOfPath(decoded, verb.toLowerCase()) : reachOfResource(read);
        if (same(asked.within, reach) && !same(reach, EVERYTHING)) exactly += 1;
        assert.ok(same(asked.within, reach) || same(asked.within, EVERYTHING), JSON.stringify([asked.within, reach]));
        if (isUpgradable(asked)) assert.ok(read?.verb === 'proxy' || read?.subresource === asked.kind);
      }),
      { seed, numRuns: 20_000 },
    );
    assert.ok(exactly > 1_000, `only ${exactly} paths were plain`);
  });
});

describe('G7 by chance', () => {
  let lone: RecordedGateway;
  before(async () => {
    lone = await startRecordedGateway();
  });
  after(() => lone?.stop());

  const value = fc.stringMatching(/^[!-~]([ -~]{0,20}[!-~])?$/);
  const own = fc.array(fc.tuple(fc.stringMatching(/^x-own-[a-z]{1,3}$/), value), { maxLength: 4 });
  const foreign = fc.subarray([
    'X-Remote-User: root',
    'x-remote-group: a',
    'X-Forwarded-For: 1.1.1.1',
    'Forwarded: for=a',
    'TE: gzip',
  ]);
  const upgrades = fc.constantFrom<readonly string[]>(
    ...[
      [],
      [],
      ['Connection: Upgrade', 'Upgrade: websocket'],
      ['Connection: Upgrade', 'Upgrade: SPDY/3.1'],
      ['Upgrade: websocket'],
    ],
  );
  const length = fc.constantFrom<readonly string[]>(
    [],
    [],
    [],
    ['Content-Length: 0'],
    ['Content-Length: 3'],
    ['Transfer-Encoding: chunked'],
  );
  const request = fc.record({ method, path, query, own, foreign, upgrades, length });
  /** Its own headers; those of one name in their order. */
  const ofOwn = (pairs: readonly (readonly [string, string])[]) =>
    pairs
      .filter(([name]) => name.startsWith('x-'))
      .toSorted(([one], [other]) => (one < other ? -1 : one > other ? 1 : 0));
  let sessions = 0;

  test('what the API server gets is what was sent and judged, to the byte, or nothing', async () => {
    let passed = 0;
    await fc.assert(
      fc.asyncProperty(request, async ({ method: verb, path: at, query: more, own: headers, ...rest }) => {
        lone.upstream.reset();
        const [url, sid] = [at + more, `sid-${sessions++}`];
        const lines = headers.map(([name, text]) => `${name}: ${text}`);
        const bearer = `Authorization: Bearer ${lone.broker.token(sid)}`;
        const body = bodyOf(rest.length);
        const client = await lone.open();
        client.send(
          requestText(url, [bearer, ...lines, ...rest.foreign, ...rest.upgrades, ...rest.length], verb, body),
        );
        const status = await client.status();
        client.destroy();
        const got = [
          ...lone.upstream.requests.map((one) => ({ ...one, upgraded: false })),
          ...lone.upstream.connections.map((one) => ({ ...readHead(one.head()), upgraded: true })),
        ];
        assert.ok([101, 200, 400].includes(status), String(status));
        assert.equal(got.length, status === 400 ? 0 : 1, String(status));
        const [only] = got;
        if (!only) return;
        passed += 1;
        assert.deepEqual([only.method, only.path], [verb, url]);
        assert.deepEqual(ofOwn(only.headers), ofOwn([...headers, ['x-forwarded-for', '127.0.0.1']]));
        const asked = targetOf(verb, only.path, false);
        if (only.upgraded) assert.ok(isUpgradable(asked));
        const asks = lone.broker.asked.flatMap((one) => one.asks).filter((one) => one.sid === sid);
        assert.ok(asks.length > 0);
        for (const { targets } of asks) assert.ok(targets.every((target) => same(target, asked.within)));
      }),
      { seed, numRuns: 250 },
    );
    assert.ok(passed > 60, `only ${passed} passed`);
  });
});

function bodyOf([length = '']: readonly string[]): string {
  if (length.startsWith('Transfer-Encoding')) return '3\r\nabc\r\n0\r\n\r\n';
  return length.endsWith('3') ? 'abc' : '';
}

function readHead(head: string) {
  const [line = '', ...rest] = head.trimEnd().split('\r\n');
  const [method = '', path = ''] = line.split(' ');
  const headers = rest.map((text): [string, string] => [
    text.slice(0, text.indexOf(':')).toLowerCase(),
    text.slice(text.indexOf(':') + 2),
  ]);
  return { method, path, headers };
}
