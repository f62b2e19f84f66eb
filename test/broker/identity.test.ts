// From claims to Kubernetes' names: who is taken, and who is refused (T9b, T10).

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { isReserved } from '../../broker/config/names.ts';
import { admits } from '../../broker/policy/groups.ts';
import { identify } from '../../broker/upstream/identity.ts';
import { CurfewError } from '../../shared/errors.ts';

const SETTINGS = { username_claim: 'email', groups_claim: 'groups', username_prefix: 'u:', groups_prefix: 'g:' };
const ALICE = { email: 'alice@example.com', email_verified: true, groups: ['dev', 'sre'] };

function identityOf(claims: Record<string, unknown>, settings: Partial<typeof SETTINGS> = {}, groups_tighten = false) {
  const person = { iss: 'https://idp.example.com', sub: '1' };
  return identify({ ...person, claims: { ...person, ...claims } }, { ...SETTINGS, ...settings }, groups_tighten);
}

function refused(code: string, claims: Record<string, unknown>, settings: Partial<typeof SETTINGS> = {}, words = /./) {
  assert.throws(
    () => identityOf(claims, settings),
    (error) => error instanceof CurfewError && error.code === code && words.test(error.message),
    JSON.stringify(claims),
  );
}

const byName = { username_claim: 'name' };

describe('an identity', () => {
  test('has its names with prefixes, and keeps them as the IdP gives them', () => {
    assert.deepEqual(identityOf(ALICE), {
      iss: 'https://idp.example.com',
      sub: '1',
      username: 'u:alice@example.com',
      groups: ['g:dev', 'g:sre'],
      idp_username: 'alice@example.com',
      idp_groups: ['dev', 'sre'],
    });
  });

  test('has no groups without the claim, one for a single text, each once', () => {
    assert.deepEqual(identityOf({ ...ALICE, groups: undefined }).groups, []);
    assert.deepEqual(identityOf({ ...ALICE, groups: 'dev' }).groups, ['g:dev']);
    assert.deepEqual(identityOf({ ...ALICE, groups: ['dev', 'dev'] }).groups, ['g:dev']);
    assert.deepEqual(identityOf({ ...ALICE, groups: [] }).groups, []);
  });

  test('may have names in any script', () => {
    assert.equal(identityOf({ name: 'Zoë 山田' }, byName).username, 'u:Zoë 山田');
  });
});

test('T14 null and empty groups are none, unless the policy is tighter for some', () => {
  for (const groups of [undefined, null, '', [], ['']]) {
    assert.deepEqual(identityOf({ ...ALICE, groups }).groups, []);
    assert.throws(
      () => identityOf({ ...ALICE, groups }, {}, true),
      (error) => error instanceof CurfewError && error.code === 'groups',
    );
  }
  assert.deepEqual(identityOf({ ...ALICE, groups: ['', 'dev'] }).groups, ['g:dev']);
  assert.throws(() => identityOf({ ...ALICE, groups: ['', 'dev'] }, {}, true));
  assert.deepEqual(identityOf({ ...ALICE, groups: ['dev'] }, {}, true).groups, ['g:dev']);
});

describe('T9b', () => {
  test('an e-mail address that is not said to be verified is refused as username', () => {
    for (const email_verified of [undefined, false, 'true', 1, null]) {
      refused('username', { ...ALICE, email_verified }, {}, /email_verified/);
    }
    assert.equal(identityOf({ name: 'alice', email_verified: false }, byName).username, 'u:alice');
  });

  test('a group overage is refused by name', () => {
    const _claim_sources = { src1: { endpoint: 'https://evil.example/groups' } };
    refused('groups', { ...ALICE, groups: undefined, _claim_names: { groups: 'src1' }, _claim_sources }, {}, /overage/);
    refused('groups', { ...ALICE, _claim_names: { groups: 'src1' } }, {}, /overage/);
    refused('groups', { ...ALICE, _claim_names: 'groups' });
    assert.deepEqual(identityOf({ ...ALICE, _claim_names: { address: 'src1' } }).idp_groups, ['dev', 'sre']);
  });
});

const RESERVED = [
  ...['system:', 'system:masters', 'System:Masters', 'SYSTEM:x', ' system:x', 'system :x', 'ſystem:x'],
  ...[
    'ｓｙｓｔｅｍ：ｘ',
    'system：x',
    's\u200bystem:x',
    '\u202esystem:x',
    'sys\u00adtem:x',
    '\ufeffsystem:x',
    'ⓢystem:x',
  ],
];

describe('T10', () => {
  test('a username or group that begins with system: in any spelling is refused', () => {
    for (const name of RESERVED) {
      assert.ok(isReserved(name), JSON.stringify(name));
      refused('username', { name }, byName);
      refused('groups', { ...ALICE, groups: ['dev', name] });
    }
    for (const name of ['systems:a', 'system', 'a system:b', 'my-system:x']) assert.ok(!isReserved(name), name);
  });

  test('a prefix cannot make a name reserved, nor hide that it is', () => {
    refused('username', { name: 'tem:masters' }, { ...byName, username_prefix: 'sys' });
    refused('groups', { ...ALICE, groups: [':masters'] }, { groups_prefix: 'system' });
    refused('username', { name: 'system:admin' }, { ...byName, username_prefix: 'curfew:' });
  });

  test('a username that is absent, empty, not text, too long or not in NFC is refused', () => {
    for (const name of [undefined, null, '', '  ', 7, ['alice'], { a: 1 }, true, 'a'.repeat(257), 'Zoe\u0308']) {
      refused('username', { name }, byName);
    }
    assert.equal(identityOf({ name: 'a'.repeat(256) }, byName).idp_username.length, 256);
  });

  test('a claim that an object merely inherits is absent', () => {
    for (const claim of ['constructor', 'toString', '__proto__']) refused('username', ALICE, { username_claim: claim });
    assert.deepEqual(identityOf(ALICE, { groups_claim: 'constructor' }).groups, []);
  });

  test('control, invisible and direction-changing characters are refused in usernames and groups', () => {
    for (const character of [
      '\0',
      '\n',
      '\r',
      '\t',
      '\x7f',
      '\u0085',
      '\u200b',
      '\u200f',
      '\u202e',
      '\u2028',
      '\ufeff',
      '\ud800',
      '\u3164',
      '\ue000',
    ]) {
      refused('username', { name: `ali${character}ce` }, byName);
      refused('groups', { ...ALICE, groups: [`d${character}ev`] });
    }
  });

  test('groups of a wrong form are refused', () => {
    for (const groups of [7, { a: 1 }, true, ['  '], [7], [null], [['dev']], ['a'.repeat(257)], '  ']) {
      refused('groups', { ...ALICE, groups });
    }
    const many = Array.from({ length: 501 }, (_, i) => `g${i}`);
    refused('groups', { ...ALICE, groups: many }, {}, /501/);
    assert.equal(identityOf({ ...ALICE, groups: many.slice(1) }).groups.length, 500);
  });

  test('a refusal does not repeat the value', () => {
    for (const claims of [{ name: 'system:secret' }, { name: 'sec\0ret' }]) {
      assert.throws(
        () => identityOf(claims, byName),
        (error) => error instanceof Error && !error.message.includes('ret'),
      );
    }
  });
});

test('allowed_groups admit whoever is in one of them, and everyone with *', () => {
  assert.ok(admits(['*'], []));
  assert.ok(admits(['sre', 'dev'], ['dev']));
  assert.ok(!admits(['sre'], ['dev']));
  assert.ok(!admits(['sre'], []));
  assert.ok(!admits([], ['dev']));
  assert.ok(!admits(['sre'], ['*']), 'a group called * is nothing special at the IdP');
});

describe('whatever the claims say', () => {
  const anything = fc.record(
    {
      email: fc.oneof(fc.string({ unit: 'binary' }), fc.jsonValue()),
      email_verified: fc.oneof(fc.constant(true), fc.jsonValue()),
      groups: fc.oneof(fc.array(fc.string({ unit: 'binary' })), fc.jsonValue()),
      _claim_names: fc.jsonValue(),
    },
    { requiredKeys: [] },
  );

  test('an identity is whole and never reserved, or the login is refused as one', () => {
    fc.assert(
      fc.property(anything, fc.constantFrom('', 'curfew:', 'sys', 'system'), (claims, prefix) => {
        try {
          const identity = identityOf(claims, { username_prefix: prefix, groups_prefix: prefix });
          assert.equal(identity.username, prefix + identity.idp_username);
          assert.ok(identity.idp_username.length > 0);
          for (const name of [identity.username, ...identity.groups]) {
            assert.ok(!/^\s*system:/i.test(name) && !/\p{C}/u.test(name.replaceAll(/\p{Cn}/gu, '')));
          }
        } catch (error) {
          assert.ok(
            error instanceof CurfewError && (error.code === 'username' || error.code === 'groups'),
            String(error),
          );
        }
      }),
      { numRuns: 500 },
    );
  });

  test('a reserved name stays reserved however many invisible characters stand in it', () => {
    const invisible = fc.constantFrom(
      '\u200b',
      '\u200c',
      '\u200d',
      '\u2060',
      '\u00ad',
      '\ufeff',
      '\u202e',
      ' ',
      '\u00a0',
      '\0',
    );
    fc.assert(
      fc.property(fc.array(invisible, { maxLength: 8 }), fc.boolean(), (inserted, upper) => {
        const letters = [...(upper ? 'SYSTEM:a' : 'system:a')];
        assert.ok(isReserved(letters.map((letter, i) => (inserted[i] ?? '') + letter).join('')));
      }),
    );
  });
});
