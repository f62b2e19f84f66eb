// T12: an identity of any size. What is minted is understood by our own verification, introspection and TokenReview, and by the
// plugin; what is larger is refused by name before anything is minted.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { LARGEST_BYTES } from '../../cli/warm/entry.ts';
import { LONGEST_JWS } from '../../serving/jws/jws.ts';
import type { Holder } from '../support/holder.ts';
import { askAuthentication, askAuthorization, jtiOf } from '../support/review.ts';
import { identityProvider, startTestService, type TestService } from '../support/service.ts';

const WEBHOOK = { on_failure: 'deny', authentication: true };
const CLUSTERS = [
  {
    ...{ name: 'dev', server: 'https://127.0.0.1:1', audience: 'dev', allowed_groups: ['*'] },
    webhook: { token_file: 'dev-hook', ...WEBHOOK },
  },
  {
    ...{ name: 'prod-eu', server: 'https://127.0.0.1:2', audience: 'prod-eu', allowed_groups: ['*'] },
    webhook: { token_file: 'prod-eu-hook', ...WEBHOOK },
  },
];

/** Longer than a group's own name: tokens of the broker are then much larger than those of the identity provider. */
const PREFIX = 'prefix-of-this-identity-provider:';

let service: TestService;
before(async () => {
  service = await startTestService({ clusters: CLUSTERS });
  const idp = identityProvider(service.issuer.issuer, { groups_prefix: PREFIX });
  await service.restart({ identity_provider: idp });
});
after(() => service.stop());

interface Person {
  readonly sub: string;
  readonly email: string;
  readonly groups: readonly string[];
  readonly acr?: string;
}

let people = 0;
const login = (holder: Holder, person: Partial<Person>, audience?: string) => {
  people += 1;
  const number = `${people}`.padStart(4, '0');
  const who = { sub: `sub-${number}`, email: `${number}@example.com`, ...person };
  return service.login(holder, who, audience === undefined ? {} : { audience });
};

/** Everything that we say of a token that we minted. @returns its length */
async function understood(holder: Holder, token: string): Promise<number> {
  assert.ok(token.length <= LONGEST_JWS);
  const key = service.webhook_tokens.dev ?? '';
  const review = await askAuthentication(service.url, key, token);
  assert.equal(review.authenticated, true, `TokenReview of ${token.length} characters`);
  const introspected = (await holder.introspect(token)).body as { active: boolean };
  assert.equal(introspected.active, true, `introspection of ${token.length} characters`);
  const { username: user } = review.user as { username: string };
  const sid = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()).sid as string;
  assert.equal((await askAuthorization(service.url, key, { user, sid, jti: jtiOf(token) })).denied, false);
  return token.length;
}

/** @returns the length of what was minted, or `refused` */
async function outcome(person: Partial<Person>): Promise<number | 'refused'> {
  const holder = service.holder();
  const before = service.audit.length;
  const answer = await login(holder, person, 'dev');
  if (answer.status === 200) {
    // The plugin keeps what it was told in one file, of a bounded size.
    assert.ok(JSON.stringify(answer.granted).length * 1.2 < LARGEST_BYTES);
    return understood(holder, answer.granted.access_token);
  }
  assert.equal(answer.refused.reason, 'identity_too_large');
  const events = service.audit.slice(before).map(({ event }) => event);
  assert.ok(!events.includes('mint') && !events.includes('login'), 'no session either');
  return 'refused';
}

const groups = (count: number, length: number, letter = 'g') =>
  Array.from(
    { length: count },
    (_, i) => `${i}`.padStart(4, '0') + letter.repeat(Math.max(0, Math.floor((length - 4) / letter.length))),
  );

describe('an identity around the limit', () => {
  test('T12 is refused at one size and not before: one group longer by one character each', async () => {
    let [good, bad] = [1, 256];
    // The rest of the room is filled so that the limit lies between the two.
    const filler = async (count: number) => outcome({ groups: groups(count, 8) });
    let count = 250;
    for (; (await filler(count)) !== 'refused'; count += 5) assert.ok(count < 500);
    const most = count - 6;
    const sized = (length: number) => outcome({ groups: [...groups(most, 8), 'x'.repeat(length)] });
    assert.notEqual(await sized(good), 'refused');
    assert.equal(await sized(bad), 'refused');
    while (bad - good > 1) {
      const middle = Math.floor((good + bad) / 2);
      if ((await sized(middle)) === 'refused') bad = middle;
      else good = middle;
    }
    const largest = await sized(good);
    assert.ok(typeof largest === 'number' && largest > LONGEST_JWS - 8, `${largest} characters`);
  });

  test('T12 of any make-up is either minted and understood, or refused by name', async () => {
    const letter = fc.constantFrom('g', 'é', '漢', '🦊', '"', '\\', ' x', '/', '<');
    const seen = new Set<string>();
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: 500 }),
        fc.integer({ min: 4, max: 60 }),
        letter,
        fc.integer({ min: 1, max: 200 }),
        fc.option(fc.integer({ min: 1, max: 200 }), { nil: undefined }),
        async (count, length, of, sub, acr) => {
          // What the identity provider itself could put into a token that we read.
          const names = groups(count, length, of);
          fc.pre(Buffer.byteLength(JSON.stringify(names)) < 11_000);
          const who = { groups: names, sub: `${'s'.repeat(sub)}${people}`, ...(acr && { acr: 'a'.repeat(acr) }) };
          seen.add(typeof (await outcome(who)));
        },
      ),
      { numRuns: 60 },
    );
    assert.deepEqual([...seen].sort(), ['number', 'string']);
  });
});

describe('a larger one', () => {
  test('T12 is refused at a login for no cluster as well', async () => {
    const { refused } = await login(service.holder(), { groups: groups(330, 8) });
    assert.equal(refused.reason, 'identity_too_large');
  });

  test('T12 an ID token larger than is read is refused by that name, not as malformed', async () => {
    const { refused } = await login(service.holder(), { groups: groups(499, 40) });
    assert.equal(refused.reason, 'identity_too_large');
    assert.match(refused.error_description ?? '', /more than 16384/);
  });

  test('T12 a session whose person became too large is refused its next token, by name, and lives', async () => {
    const [holder, who] = [service.holder(), { groups: groups(200, 8), sub: 'grown', email: 'grown@example.com' }];
    const { granted } = await login(holder, who, 'dev');
    const handle = granted.refresh_token ?? '';
    service.advance(10);
    const more = service.claims(holder, { ...who, groups: groups(330, 8), auth_time: service.now - 10 });
    const grown = await holder.renew(handle, 'dev', { id_token: service.issuer.sign(more) });
    assert.equal(grown.refused.reason, 'identity_too_large');
    service.advance(10);
    const less = service.claims(holder, { ...who, groups: groups(10, 8), auth_time: service.now - 20 });
    const again = await holder.renew(handle, 'dev', { id_token: service.issuer.sign(less) });
    await understood(holder, again.granted.access_token);
  });
});
