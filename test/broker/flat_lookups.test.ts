// How long a secret is looked up says nothing about it: by construction. A handle is found by its hash, in an index; tokens, MACs and nonces
// are compared whole, with each that there is, however much of them is right.

import assert from 'node:assert/strict';
import crypto, { createHash, createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import { after, before, describe, mock, test } from 'node:test';
import { DummyDriver, Kysely, SqliteAdapter, SqliteIntrospector, SqliteQueryCompiler } from 'kysely';
import { ownerOfBearer } from '../../broker/net/bearer.ts';
import { findByHandle, findBySid } from '../../broker/sessions/find.ts';
import type { Schema } from '../../broker/store/tables.ts';
import { createProofVerifier } from '../../broker/tokens/dpop.ts';
import { createTokenIds } from '../../broker/tokens/token_id.ts';
import { seconds } from '../../shared/time.ts';
import { Holder } from '../support/holder.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { isPostgres, openStoreDatabase } from '../support/store_database.ts';

const NOW = seconds(1_800_000_000);

/** Of a text in base64url: as long, right up to so many characters, and wrong after that. */
function rightUpTo(secret: string, length: number): string {
  const other = (character: string) => (character === 'A' ? 'Q' : 'A');
  return secret.slice(0, length) + [...secret.slice(length)].map(other).join('');
}

describe('whatever is right of it, a secret is compared whole, as often', () => {
  const compared: number[] = [];
  before(() => {
    const real = crypto.timingSafeEqual;
    mock.method(crypto, 'timingSafeEqual', (a: NodeJS.ArrayBufferView, b: NodeJS.ArrayBufferView) => {
      compared.push(a.byteLength);
      return real(a, b);
    });
    syncBuiltinESMExports();
  });
  after(() => {
    mock.restoreAll();
    syncBuiltinESMExports();
  });

  /** Lengths of what was compared. */
  function comparisons(work: () => unknown): readonly number[] {
    compared.length = 0;
    work();
    return [...compared];
  }

  test('the token of a webhook, a gateway or a transmitter, with each that was given out', () => {
    const tokens = Array.from({ length: 5 }, () => createSecretKey(randomBytes(32)));
    const textOf = (key: KeyObject | undefined) => key?.export().toString('base64url') ?? '';
    for (const [i, token] of tokens.entries()) {
      for (let right = 0; right <= 43; right += 1) {
        const presented = rightUpTo(textOf(token), right);
        const find = () => ownerOfBearer(tokens, (one) => one, `Bearer ${presented}`);
        assert.deepEqual(comparisons(find), [32, 32, 32, 32, 32], `token ${i}, right up to ${right}`);
        assert.equal(find(), presented === textOf(token) ? token : undefined);
      }
    }
  });

  test('the MAC of the id of a token, by each key', () => {
    const keys = [createSecretKey(randomBytes(32)), createSecretKey(randomBytes(32))] as const;
    const of = { sid: 'a-session', audience: 'dev' };
    for (let right = 0; right < 43; right += 1) {
      // Of an id that was found to be ours the answer is remembered: each is asked about once.
      const ids = createTokenIds(() => [...keys]);
      const [random, exp, mac = ''] = ids.make(of, NOW).split('.');
      const id = `${random}.${exp}.${rightUpTo(mac.slice(0, 42), right)}${mac.at(-1)}`;
      if (right >= 42) continue;
      assert.deepEqual(
        comparisons(() => assert.equal(ids.expOf(id, of), undefined)),
        [32, 32],
        `right up to ${right}`,
      );
      assert.deepEqual(
        comparisons(() => ids.expOf(`${random}.${exp}.${mac}`, { ...of, sid: 'another' })),
        [32, 32],
      );
    }
  });

  test('a nonce of ours in a proof', () => {
    const verifier = createProofVerifier(createSecretKey(randomBytes(32)), () => NOW);
    const holder = new Holder({ url: '', issuer: 'https://curfew.example.com' }, () => NOW);
    const [time = '', tag = ''] = verifier.nonce().split('.');
    for (let right = 0; right < 22; right += 1) {
      const nonce = `${time}.${rightUpTo(tag, right)}`;
      // Of 22 characters the last has bits to spare: it is of one spelling or no nonce at all.
      if (Buffer.from(nonce.split('.')[1] ?? '', 'base64url').toString('base64url') !== nonce.split('.')[1]) continue;
      const proof = holder.proof({ nonce });
      const verify = () =>
        assert.throws(() => verifier.verify(proof, { method: 'POST', url: 'https://curfew.example.com/token' }), {
          code: 'proof_nonce',
        });
      assert.deepEqual(comparisons(verify), [16], `right up to ${right}`);
    }
  });
});

describe('a handle is found by its hash', () => {
  let service: TestService;
  before(async () => {
    service = await startTestService();
  });
  after(() => service.stop());

  test('and nothing else of it is in a question to the store', async () => {
    const asked: { readonly sql: string; readonly parameters: readonly unknown[] }[] = [];
    const db = new Kysely<Schema>({
      dialect: {
        createAdapter: () => new SqliteAdapter(),
        createDriver: () => new DummyDriver(),
        createIntrospector: (database) => new SqliteIntrospector(database),
        createQueryCompiler: () => new SqliteQueryCompiler(),
      },
      log: ({ query }) => void asked.push(query),
    });
    const handle = randomBytes(32).toString('base64url');
    for (let right = 0; right <= handle.length; right += 1) {
      const presented = rightUpTo(handle, right);
      asked.length = 0;
      await findByHandle({ db } as Parameters<typeof findByHandle>[0], presented);
      assert.equal(asked.length, 1);
      const [{ sql = '', parameters = [] } = {}] = asked;
      assert.deepEqual(
        parameters.map((one) => Buffer.from(one as Uint8Array).toString('hex')),
        [createHash('sha256').update(presented).digest('hex')],
      );
      assert.match(sql, /where handle_hash = \?/);
    }
    await findBySid(db, 'a-session');
    assert.equal(asked.length, 2);
  });

  test('in an index, whether there is one or not', async () => {
    await service.login(service.holder());
    using database = openStoreDatabase(service.storeFile);
    for (const column of ['handle_hash', 'sid']) {
      if (isPostgres(service.storeFile)) {
        const found = database
          .prepare(
            `select count(*) as count from pg_indexes where tablename = 'session' and indexdef like '%UNIQUE%(${column})%'`,
          )
          .get();
        assert.equal(Number(found?.count), 1, column);
      } else {
        const plan = database.prepare(`explain query plan select * from session where ${column} = ?`).all();
        assert.match(
          JSON.stringify(plan),
          new RegExp(`SEARCH session USING (COVERING )?INDEX \\\\?\\w+ \\(${column}=\\?\\)`),
          column,
        );
      }
    }
  });

  test('what is answered about one that never was, that was changed or that is over is the same, to its key and to others', async () => {
    const holder = service.holder();
    const { granted } = await service.login(holder, { sub: 'flat', email: 'flat@example.com' });
    const handle = granted.refresh_token ?? '';
    const answers = new Set<string>();
    const ask = async (who: Holder, presented: string) => {
      const { status, body } = await who.renew(presented, 'dev');
      answers.add(JSON.stringify([status, body]));
    };
    for (const right of [0, 1, 22, 42]) {
      await ask(holder, rightUpTo(handle, right));
      await ask(service.holder(), rightUpTo(handle, right));
    }
    await ask(service.holder(), handle);
    assert.equal(answers.size, 1, [...answers].join('\n'));
  });
});
