// T14: claims of other JSON types than expected, over real HTTP and SQLite: taken in their usual forms, or refused by name, never
// dropped so that a limit gets looser.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { INVISIBLE } from '../../broker/text/names.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { listening, logoutToken, person, pushSet, sendLogout, setOf } from '../support/signals.ts';
import { storeText } from '../support/store_database.ts';
import { sessionRow } from '../support/store_row.ts';

const HOUR = 3600;
const LIMITS = { max_age: '12h', inactivity_timeout: '30m', token_ttl: '5m' };
const tighter = (when: string) => ({ limits: LIMITS, rules: [{ name: 'tighter', when, limits: { max_age: '1h' } }] });

let plain: TestService;
let byMethod: TestService;
let byGroup: TestService;
before(async () => {
  plain = await startTestService({ policy: { limits: LIMITS } });
  await plain.reload({ policy: { limits: LIMITS }, ...listening(plain) });
  byMethod = await startTestService({ policy: tighter('"pwd" in user.amr') });
  byGroup = await startTestService({ policy: tighter('"contractors" in user.groups') });
});
after(() => Promise.all([plain, byMethod, byGroup].map((service) => service.stop())));

const somebody = () => {
  const id = randomUUID();
  return { sub: `sub-${id}`, email: `${id}@example.com`, sid: `idp-${id}` };
};

async function login(service: TestService, claims: object) {
  const who = somebody();
  // failed logins count for an address, and would be answered with a delay
  service.advance(1000);
  return { who, answer: await service.login(service.holder(), { ...who, ...claims }) };
}

async function taken(service: TestService, claims: object) {
  const { answer, who } = await login(service, claims);
  const { session } = answer.granted;
  return {
    ...session,
    max_age: session.limits.session.max_age,
    row: sessionRow(service.storeFile, session.sid),
    who,
  };
}

async function refusedAs(service: TestService, reason: string, claims: object): Promise<void> {
  const { answer } = await login(service, claims);
  assert.deepEqual([answer.status, answer.refused.reason], [400, reason], JSON.stringify(claims));
}

const INVISIBLES = [
  '\u202e',
  '\u2066',
  '\u2028',
  '\u2029',
  '\x1b',
  '\0',
  '\x7f',
  '\u0085',
  '\u200b',
  '\u00ad',
  '\ud800',
];

describe('T14 amr', () => {
  test('T14 one text is a list of one, null and none are none', async () => {
    for (const amr of [['pwd'], 'pwd', ['otp', 'pwd']]) assert.equal((await taken(byMethod, { amr })).max_age, HOUR);
    for (const amr of [undefined, null, '', []]) assert.equal((await taken(byMethod, { amr })).max_age, 12 * HOUR);
    assert.deepEqual(JSON.parse(String((await taken(plain, { amr: 'urn:x:mfa' })).row.amr)), ['urn:x:mfa']);
  });

  test('T14 of another form it is refused by name, also where no rule looks at it', async () => {
    const wrong = [7, true, {}, { pwd: 1 }, [7], ['pwd', null], ['pwd', ['otp']], [['pwd']], ['pwd', ''], 'pwd otp'];
    const odd = ['pwd,otp', '["pwd"]', 'pwd;otp', ' pwd', 'pwd\n', 'a'.repeat(257), Array(51).fill('pwd')];
    for (const amr of [...wrong, ...odd, ...INVISIBLES.map((character) => [`pwd${character}`])]) {
      await refusedAs(byMethod, 'amr', { amr });
      await refusedAs(plain, 'amr', { amr });
    }
  });
});

test('T14 an acr of another type is refused by its own name, null and none are none', async () => {
  assert.equal((await taken(plain, { acr: 'mfa' })).acr, 'mfa');
  for (const acr of [undefined, null, '']) assert.equal((await taken(plain, { acr })).acr, undefined);
  const wrong = [2, 0, true, false, ['mfa'], {}, { essential: true }, '  ', 'a'.repeat(257)];
  for (const acr of [...wrong, ...INVISIBLES.map((character) => `mfa${character}`)])
    await refusedAs(plain, 'acr', { acr });
});

test('T14 a sid or sub that is not a name is refused, not passed over', async () => {
  assert.equal((await taken(plain, { sid: null })).row.idp_sid, null);
  for (const value of [7, {}, ['s'], 'a'.repeat(257), ...INVISIBLES.map((character) => `s${character}`)]) {
    await refusedAs(plain, 'id_token_invalid', { sid: value });
    await refusedAs(plain, 'id_token_invalid', { sub: value });
  }
});

describe('T14 groups', () => {
  test('T14 null, none and empty ones are none where nothing is tighter for a group, one text is one group', async () => {
    for (const groups of [undefined, null, '', [], ['']]) {
      assert.deepEqual((await taken(plain, { groups })).groups, [], JSON.stringify(groups));
    }
    for (const groups of ['dev', ['dev', ''], ['', 'dev']]) {
      assert.deepEqual((await taken(plain, { groups })).groups, ['curfew:dev']);
    }
    assert.deepEqual((await taken(plain, { groups: 'Domain Users' })).groups, ['curfew:Domain Users']);
  });

  test('T14 where a rule is tighter for a group they are refused by name', async () => {
    for (const groups of [
      undefined,
      null,
      '',
      [],
      [''],
      ['dev', ''],
      'dev contractors',
      'dev,contractors',
      '["contractors"]',
    ]) {
      await refusedAs(byGroup, 'groups', { groups });
    }
    assert.equal((await taken(byGroup, { groups: 'contractors' })).max_age, HOUR);
    assert.equal((await taken(byGroup, { groups: ['dev', 'contractors'] })).max_age, HOUR);
    assert.equal((await taken(byGroup, { groups: ['dev'] })).max_age, 12 * HOUR);
  });

  test('T14 of another form, and where the IdP left them out, they are refused by name everywhere', async () => {
    const wrong = [7, true, {}, { dev: true }, [7], [null], [['dev']], ['dev', null], ['  ']];
    for (const groups of [...wrong, ...INVISIBLES.map((character) => [`dev${character}`])]) {
      await refusedAs(plain, 'groups', { groups });
      await refusedAs(byGroup, 'groups', { groups });
    }
    await refusedAs(plain, 'groups', { groups: undefined, hasgroups: true });
    await refusedAs(plain, 'groups', { groups: undefined, _claim_names: { groups: 'src1' } });
  });

  test('T14 none admit nobody: allowed_groups, and a cluster that is for some', async () => {
    const service = await startTestService({});
    try {
      for (const groups of [undefined, null, '', []]) {
        service.advance(1000);
        const answer = await service.login(service.holder(), { ...somebody(), groups }, { audience: 'prod-eu' });
        assert.equal(answer.refused.reason, 'invalid_target');
      }
    } finally {
      await service.stop();
    }
  });

  test('T14 a rule that comes later ends the session of somebody without groups at the next renewal', async () => {
    const service = await startTestService({ policy: { limits: LIMITS } });
    try {
      const holder = service.holder();
      const { granted } = await service.login(holder, { ...somebody(), groups: null }, { audience: 'dev' });
      await service.reload({ policy: tighter('user.groups.exists(g, g == "contractors")') });
      const { refused } = await holder.renew(granted.refresh_token ?? '', 'dev');
      assert.equal(refused.reason, 'not_admitted');
      assert.equal(sessionRow(service.storeFile, granted.session.sid).end_reason, 'policy');
    } finally {
      await service.stop();
    }
  });
});

describe('T14 NumericDates with fractions', () => {
  test('T14 auth_time, iat and exp are rounded down, nbf up', async () => {
    for (const fraction of [0.5, 0.001, 0.999]) {
      const at = plain.now + 1000;
      const { auth_time } = await taken(plain, {
        auth_time: at - 60 + fraction,
        iat: at - 1 + fraction,
        nbf: at - fraction,
      });
      assert.equal(auth_time, at - 60);
    }
  });

  test('T14 a login is over at its limits as if it were the whole second before', async () => {
    const at = plain.now + 1000;
    const { end_at_most } = await taken(plain, { auth_time: at - 0.001 });
    assert.equal(end_at_most, at - 1 + 12 * HOUR);
    const next = plain.now + 1000;
    await refusedAs(plain, 'id_token_expired', { exp: next + 0.999 });
    const later = plain.now + 1000;
    await refusedAs(plain, 'clock', { nbf: later + 5.001 });
  });

  test('T14 null is none where none is allowed; texts, negatives and what is beyond numbers stay refused', async () => {
    await taken(plain, { nbf: null });
    for (const value of [null, '1800000000', -1, -0.5, [1], {}, true, 2 ** 53, 1e300]) {
      await refusedAs(plain, 'auth_time', { auth_time: value });
      await refusedAs(plain, 'id_token_invalid', { iat: value });
      await refusedAs(plain, 'id_token_invalid', { exp: value });
      if (value !== null) await refusedAs(plain, 'id_token_invalid', { nbf: value });
    }
  });

  test('T14 L1 a logout token acts on the side that still acts', async () => {
    for (const times of [
      (now: number) => ({ iat: now - 0.5 }),
      (now: number) => ({ iat: now + 5.999 }),
      (now: number) => ({ exp: now + 0.001 }),
      (now: number) => ({ exp: undefined, iat: now - 119.5 }),
      () => ({ exp: null }),
    ]) {
      const { row, who } = await taken(plain, {});
      const { status } = await sendLogout(plain, logoutToken(plain, { sub: who.sub, ...times(plain.now) }));
      assert.equal(status, 200);
      assert.equal(sessionRow(plain.storeFile, String(row.sid)).end_reason, 'idp_logout');
    }
    const { who } = await taken(plain, {});
    for (const times of [{ iat: plain.now + 6.001 }, { exp: plain.now - 0.001 }, { iat: -1 }, { exp: '9e9' }]) {
      assert.equal((await sendLogout(plain, logoutToken(plain, { sub: who.sub, ...times }))).status, 400);
    }
  });

  test('T14 L2 a SET with a fractional iat acts', async () => {
    for (const ahead of [0.5, -30 * 86_400 + 0.5]) {
      const { row, who } = await taken(plain, {});
      const claims = { iat: plain.now + ahead };
      const set = setOf(plain, 'session-revoked', person(plain, who.sub), { claims });
      assert.equal((await pushSet(plain, set)).status, 202);
      assert.equal(sessionRow(plain.storeFile, String(row.sid)).end_reason, 'session_revoked');
    }
  });
});

test('T14 what is not a name in a logout token or a SET is refused by name, and none of it reaches the audit log', async () => {
  for (const character of INVISIBLES) {
    const bad = `x${character}y`;
    for (const claims of [{ sub: bad }, { sid: bad }, { sub: 's', jti: bad }, { sub: 's', sid: bad }]) {
      const { status, body } = await sendLogout(plain, logoutToken(plain, claims));
      assert.deepEqual([status, body.reason], [400, 'logout_token_invalid']);
    }
    const about = person(plain, 'somebody');
    for (const set of [
      setOf(plain, 'session-revoked', about, { claims: { jti: bad } }),
      setOf(plain, 'session-revoked', { ...about, sub: bad }),
      setOf(plain, 'session-revoked', { format: 'email', email: `${bad}@example.com` }),
      setOf(plain, 'session-revoked', { format: 'opaque', id: bad }),
      setOf(plain, 'session-revoked', { format: bad }),
      setOf(plain, `https://example.com/${bad}`, about),
    ]) {
      const { status, body } = await pushSet(plain, set);
      assert.equal(status, 400);
      assert.doesNotMatch(String(body.description), INVISIBLE);
    }
  }
  for (const line of plain.log) assert.doesNotMatch(line.trimEnd(), INVISIBLE);
  // what the database holds, as bytes: all of the rows' texts
  const bytes = Buffer.from(storeText(plain.storeFile), 'latin1');
  for (const character of ['\u202e', '\u2028']) assert.ok(!bytes.includes(character), JSON.stringify(character));
});
