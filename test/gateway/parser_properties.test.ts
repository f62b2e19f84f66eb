// What holds of every feed, credential and key set that a gateway reads, whatever is in it and however it comes.

import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Feed } from '../../gateway/authority/feed.ts';
import { parseKeys } from '../../gateway/config/service_account_keys.ts';
import { credentialIn } from '../../gateway/credentials/credential.ts';
import { type FeedLine, feedLine } from '../../shared/gateway_wire.ts';
import { seconds } from '../../shared/time.ts';
import { until } from '../support/patience.ts';

const text = fc.string({ minLength: 1, maxLength: 20 });

/** What a feed of these pieces makes known, and from where it is asked for again. */
async function heard(
  pieces: readonly Buffer[],
): Promise<{ readonly lines: readonly (FeedLine | undefined)[]; readonly again: string | undefined }> {
  const lines: (FeedLine | undefined)[] = [];
  const paths: string[] = [];
  const open = async (path: string) => {
    paths.push(path);
    return Object.assign(Readable.from(paths.length === 1 ? pieces : []), {
      statusCode: paths.length === 1 ? 200 : 500,
    }) as unknown as IncomingMessage;
  };
  const log = { info: () => undefined, warn: () => undefined };
  const feed = new Feed({
    broker: { open },
    elapsed: () => 0,
    onBegin: () => undefined,
    onLine: (line) => void lines.push(line),
    log,
  });
  try {
    await until(() => paths.length > 1, 'it is not asked for again');
    return { lines, again: new URL(paths[1] ?? '', 'https://x').searchParams.get('after') ?? undefined };
  } finally {
    feed.stop();
  }
}

describe('the feed of ends', () => {
  const line: fc.Arbitrary<FeedLine> = fc.oneof(
    fc.record(
      {
        type: fc.constant('end' as const),
        place: text,
        sid: text,
        reason: fc.constant('logout' as const),
        since: fc.integer({ min: 0, max: 2_000_000_000 }).map(seconds),
      },
      { noNullPrototype: true },
    ),
    fc.record({ type: fc.constant('key_revoked' as const), place: text, kid: text }, { noNullPrototype: true }),
    fc.record({ type: fc.constant('heartbeat' as const), place: text }, { noNullPrototype: true }),
  );

  test('R2 is heard line by line as it was told, however it is cut into pieces, and taken up again behind its last whole line', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(line, { maxLength: 6 }),
        fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 5 }),
        fc.boolean(),
        async (told, cuts, breaks) => {
          const whole = Buffer.from(told.map(feedLine).join('') + (breaks ? '{"type":"end","place":"half' : ''));
          const pieces: Buffer[] = [];
          for (let at = 0, i = 0; at < whole.length; i += 1) {
            const length = cuts[i % cuts.length] ?? 1;
            pieces.push(whole.subarray(at, at + length));
            at += length;
          }
          const { lines, again } = await heard(pieces);
          assert.deepEqual(lines, told);
          assert.equal(again, told.at(-1)?.place);
        },
      ),
      { numRuns: 60 },
    );
  });
});

describe('a credential', () => {
  const token = fc.string({ minLength: 1, maxLength: 40, unit: fc.constantFrom(...'abcXYZ019-._~+/') });
  const encoded = (value: string) =>
    `base64url.bearer.authorization.k8s.io.${Buffer.from(value).toString('base64url')}`;
  const plain = fc.constantFrom(
    ['accept', '*/*'],
    ['user-agent', 'kubectl'],
    ['sec-websocket-protocol', 'v5.channel.k8s.io'],
    ['cookie', 'a=b'],
  ) as fc.Arbitrary<readonly [string, string]>;
  const bearing = token.chain((value) =>
    fc
      .constantFrom<readonly [string, string]>(
        ['authorization', `Bearer ${value}`],
        ['authorization', `bearer   ${value} `],
        ['sec-websocket-protocol', encoded(value)],
        ['sec-websocket-protocol', `v5.channel.k8s.io, ${encoded(value)}`],
      )
      .map((header) => ({ header, value })),
  );

  test('G4 one is found in each of its spellings, wherever among the headers, and is gone from those that pass; two are refused, none is none', () => {
    fc.assert(
      fc.property(
        fc.array(plain, { maxLength: 5 }),
        fc.array(bearing, { maxLength: 2 }),
        fc.nat(),
        (others, bearers, at) => {
          const place = others.length === 0 ? 0 : at % (others.length + 1);
          const headers = others.toSpliced(place, 0, ...bearers.map(({ header }) => header));
          const found = credentialIn(headers);
          if (bearers.length === 2) return assert.ok('status' in found && found.status === 400);
          assert.ok('headers' in found, JSON.stringify(found));
          assert.equal(found.token, bearers[0]?.value);
          const passed = JSON.stringify(found.headers);
          assert.ok(!passed.includes('bearer.authorization') && !/authorization/i.test(passed));
          const kept = others.filter(([name]) => name !== 'sec-websocket-protocol');
          assert.deepEqual(
            found.headers.filter(([name]) => name !== 'sec-websocket-protocol'),
            kept,
          );
        },
      ),
      { numRuns: 500 },
    );
  });

  test('G4 whatever else stands there is refused, or is none', () => {
    const name = fc.constantFrom('authorization', 'sec-websocket-protocol', 'connection', 'x-remote-user');
    fc.assert(
      fc.property(
        fc.array(
          fc.tuple(
            name,
            fc.oneof(
              fc.string(),
              fc.string().map((value) => `Bearer ${value}`),
              fc.string().map((value) => `base64url.bearer.authorization.k8s.io.${value}`),
            ),
          ),
          { maxLength: 4 },
        ),
        (headers) => {
          const found = credentialIn(headers);
          if ('status' in found) return assert.ok([400, 401].includes(found.status));
          // What is taken is a token as RFC 6750 writes it, and is there.
          if (found.token === undefined) return assert.ok(!headers.some(([one]) => one === 'authorization'));
          assert.match(found.token, /^[A-Za-z0-9._~+/-]+=*$/);
          const spelled = Buffer.from(found.token).toString('base64url');
          assert.ok(headers.some(([, value]) => value.includes(found.token ?? '') || value.includes(spelled)));
        },
      ),
      { numRuns: 1_000 },
    );
  });
});

test('G4 of keys of ServiceAccounts the public ones are taken, each under its own name, whatever is beside them', () => {
  const pairs = [
    generateKeyPairSync('rsa', { modulusLength: 2048 }),
    generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  ];
  const jwk = fc.tuple(fc.nat(1), fc.boolean(), fc.option(text, { nil: undefined })).map(([i, is_private, kid]) => {
    const pair = pairs[i];
    const key = is_private ? pair?.privateKey : pair?.publicKey;
    return { ...key?.export({ format: 'jwk' }), kid, is_private };
  });
  const strange = fc.oneof(
    fc.jsonValue(),
    fc.record({ kty: fc.constantFrom('rsa', 'OKP', 'oct'), n: fc.string(), e: fc.string(), k: fc.string() }),
  );
  fc.assert(
    fc.property(fc.array(fc.oneof(jwk, strange), { maxLength: 6 }), (keys) => {
      const taken = parseKeys(JSON.stringify({ keys }));
      const good = keys.flatMap((key) =>
        key !== null && typeof key === 'object' && 'is_private' in key && key.is_private === false
          ? [key as { readonly kid?: string }]
          : [],
      );
      assert.deepEqual(
        taken.map(({ kid }) => kid),
        good.map(({ kid }) => kid),
      );
      assert.ok(taken.every(({ key }) => key.type === 'public'));
    }),
    { numRuns: 200 },
  );
  for (const other of ['', '[]', '{}', '{"keys":{}}', 'null', '{"keys":[null]}'])
    assert.deepEqual(parseKeys(other), []);
});
