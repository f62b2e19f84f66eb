// Whether a look-up says by its time how much of a secret is right: of two groups, nothing right and all but the end, in any order, the
// times are compared (Welch's t). A comparison that stops at the first difference is seen by the same measure, or nothing is said.

import assert from 'node:assert/strict';
import { createSecretKey, randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { ownerOfBearer } from '../../broker/net/bearer.ts';
import { hashOfHandle } from '../../broker/sessions/find.ts';
import { createTokenIds } from '../../broker/tokens/token_id.ts';
import { seconds } from '../../shared/time.ts';
import { chanceOf } from '../support/chance.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { isPostgres, openStoreDatabase, type StoreDatabase } from '../support/store_database.ts';

const SAMPLES = Number(process.env.FLAT_SAMPLES ?? 200_000);
/** Beyond that two groups differ; dudect's own bound is 4.5 for a single try. */
const BOUND = 8;
const TRIES = 5;
/** Characters at the end that are never right: so no guess comes twice, of which an answer may be remembered. */
const AT_CHANCE = 8;
const BLOCK = 1_000;
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

const chance = chanceOf('flat_lookups');
const text = (length: number) => Array.from({ length }, () => chance.pick([...ALPHABET])).join('');

/** As long as the secret, right up to there. */
function guess(secret: string, right: number): string {
  const rest = text(secret.length - right);
  const first = rest[0] === secret[right] ? (secret[right] === 'A' ? 'B' : 'A') : rest[0];
  // Made of bytes, so that both groups are held alike: a text that was put together is another thing to the engine.
  return Buffer.from(secret.slice(0, right) + (first ?? '') + rest.slice(1), 'latin1').toString('latin1');
}

interface Group {
  count: number;
  mean: number;
  squares: number;
}

/** Welch's t of the times of two groups, without the slowest tenth: there the machine was busy elsewhere. */
function difference(
  secret: string,
  look: (guessed: string) => unknown,
  count: number,
): { readonly t: number; readonly ns: number } {
  // As long, and as often the same: a processor is quicker with what it has seen.
  const decoy = guess(secret, 0);
  const times: [number[], number[]] = [[], []];
  for (let done = 0; done < count; done += BLOCK) {
    // Made beforehand: what it takes to make one must not be felt as it is looked up.
    const groups = Array.from({ length: BLOCK }, () => chance.below(2));
    const guesses = groups.map((group) => guess(group === 0 ? decoy : secret, secret.length - AT_CHANCE));
    for (let i = 0; i < BLOCK; i += 1) {
      const guessed = guesses[i] ?? '';
      const begin = process.hrtime.bigint();
      look(guessed);
      (times[groups[i] ?? 0] ?? []).push(Number(process.hrtime.bigint() - begin));
    }
  }
  const all = [...times[0], ...times[1]].sort((a, b) => a - b);
  const most = all[Math.floor(all.length * 0.9)] ?? Number.POSITIVE_INFINITY;
  const [none, nearly] = times.map((group) => {
    const stats: Group = { count: 0, mean: 0, squares: 0 };
    for (const time of group) {
      if (time > most) continue;
      stats.count += 1;
      const delta = time - stats.mean;
      stats.mean += delta / stats.count;
      stats.squares += delta * (time - stats.mean);
    }
    return stats;
  }) as [Group, Group];
  const error = Math.sqrt(
    none.squares / (none.count - 1) / none.count + nearly.squares / (nearly.count - 1) / nearly.count,
  );
  return { t: (nearly.mean - none.mean) / error, ns: nearly.mean - none.mean };
}

/** What is not to be had: ends at the first character that is wrong. */
function naive(secret: string): (guessed: string) => boolean {
  return (guessed) => {
    for (let i = 0; i < secret.length; i += 1) if (secret.charCodeAt(i) !== guessed.charCodeAt(i)) return false;
    return true;
  };
}

describe(`the time of a look-up (SEED=${chance.seed})`, () => {
  let service: TestService;
  let database: StoreDatabase;
  before(async () => {
    service = await startTestService();
    database = openStoreDatabase(service.storeFile);
  });
  after(async () => {
    database.close();
    await service.stop();
  });

  /** Neither group is slower, in most of some tries; and in each of these the naive way is seen to be. */
  function flat(what: string, secret: string, look: (guessed: string) => unknown, samples = SAMPLES): void {
    const seen: number[] = [];
    for (let i = 0; i < TRIES; i += 1) {
      const control = difference(secret, naive(secret), SAMPLES);
      const { t, ns } = difference(secret, look, samples);
      process.stdout.write(
        `# ${what}: t ${t.toFixed(2)}, ${ns.toFixed(2)} ns; naive: t ${control.t.toFixed(2)}, ${control.ns.toFixed(2)} ns\n`,
      );
      if (Math.abs(control.t) > BOUND) seen.push(t);
    }
    assert.ok(seen.length > 0, 'this machine is too busy to see anything');
    const apart = seen.filter((t) => Math.abs(t) > BOUND);
    assert.ok(apart.length * 2 < seen.length, `it tells how much is right: t ${apart.join(', ')}`);
  }

  test('of the token of a webhook or a gateway', () => {
    const owners = Array.from({ length: 20 }, () => createSecretKey(randomBytes(32)));
    const secret = owners[10]?.export().toString('base64url') ?? '';
    flat('bearer', secret, (guessed) => ownerOfBearer(owners, (one) => one, `Bearer ${guessed}`));
  });

  test('of the MAC of the id of a token', () => {
    const ids = createTokenIds(createSecretKey(randomBytes(32)));
    const of = { sid: 'a-session', audience: 'dev' };
    const exp = seconds(1_800_000_000);
    const [random, digits, mac = ''] = ids.make(of, exp).split('.');
    // Whole bytes, so that each guess is of one spelling.
    const last = mac.slice(-3);
    flat('token id', mac.slice(0, -3), (guessed) => ids.expOf(`${random}.${digits}.${guessed}${last}`, of));
  });

  test('of a handle, in the store', async (t) => {
    if (isPostgres(service.storeFile)) return t.diagnostic('the database is asked by another process: not measured');
    for (let i = 0; i < 50; i += 1)
      await service.login(service.holder(), { sub: `flat-${i}`, email: `flat-${i}@example.com` });
    const { granted } = await service.login(service.holder());
    const statement = database.prepare('select sid from session where handle_hash = ?');
    flat('handle', granted.refresh_token ?? '', (guessed) => statement.get(hashOfHandle(guessed)), SAMPLES / 4);
  });
});
