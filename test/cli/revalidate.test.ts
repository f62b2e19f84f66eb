// The identity provider confirms the account again: from the plugin's bundle, with a real broker, before and after `revalidate` lapses.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { after, before, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseSecret, printSecret } from '../../cli/secrets/secret.ts';
import { generateKey } from '../../cli/wire/dpop.ts';
import { run } from '../../scripts/run.ts';
import { claimsOf } from '../support/holder.ts';
import { assertKept } from '../support/patience.ts';
import { credentialOf, type Desk, openDesk, refusalOf } from './desk.ts';
import { type Refreshing, startRefreshing } from './refreshing.ts';

/** What is minted lives for 2 s, so that each call is a renewal; the login itself is good for an hour. */
const policy = (revalidate?: string) => ({
  policy: {
    limits: { max_age: '1h', inactivity_timeout: '30m', token_ttl: '2s', ...(revalidate && { revalidate }) },
    segments: [],
  },
});

/** Each renewal is due: the token would live longer than the identity provider's word. */
const ALWAYS_DUE = {
  policy: { limits: { max_age: '1h', inactivity_timeout: '30m', token_ttl: '5m', revalidate: '4m' }, segments: [] },
};

let desk: Desk;
let idp: Refreshing;
const begin = async (settings: Readonly<Record<string, unknown>>) => {
  desk = await openDesk(settings);
  idp = await startRefreshing(desk.idp, 'alice');
};
const end = async () => {
  idp.stop();
  await desk.stop();
};
const login = async () => {
  const { code, stderr } = await desk.curfew(['login', '--broker', desk.url, '--ca-file', desk.ca_file]);
  assert.equal(code, 0, stderr);
};
const filesOf = (folder: string) => readdirSync(`${desk.dir}/${folder}`).map((name) => `${desk.dir}/${folder}/${name}`);
const secretFile = () => filesOf('config/secrets')[0] ?? '';
const keptToken = () => parseSecret(readFileSync(secretFile(), 'utf8'))?.refresh?.refresh_token;
const claims = async (cluster: string) => {
  const result = await desk.getToken(cluster, false);
  const { token } = credentialOf(result);
  assert.equal(result.stderr, '');
  return claimsOf(token);
};
const revalidations = () => desk.broker.audit().filter(({ event }) => event === 'revalidation').length;
const logins = () => desk.broker.audit().filter(({ event }) => event === 'login').length;

describe('a renewal for which the identity provider has to confirm the account', () => {
  before(() => begin(ALWAYS_DUE));
  after(end);

  it('is made with its refresh token: groups follow, the login stays as old as it was', async () => {
    await login();
    assert.equal(keptToken(), idp.given[0]);
    // The word counts by the second, and must be newer.
    await sleep(1_100);
    desk.idp.setUser('alice', { groups: ['dev', 'oncall'] });
    const { groups, auth_time } = await claims('dev');
    assert.deepEqual(groups, ['curfew:dev', 'curfew:oncall']);
    assert.deepEqual(idp.refreshes, [true]);
    assert.equal(revalidations(), 1);
    const [{ session }] = JSON.parse((await desk.curfew(['status', '-o', 'json'])).stdout).brokers;
    assert.deepEqual([session.auth_time, session.groups], [auth_time, groups]);
    assert.equal(logins(), 1);
  });

  it('keeps what the identity provider gave in exchange, and the next process continues with that', async () => {
    assert.equal(keptToken(), idp.given[1]);
    await claims('prod');
    assert.deepEqual(idp.refreshes, [true, true]);
    assert.equal(keptToken(), idp.given[2]);
  });

  it('of many at once asks the identity provider once at most', async () => {
    await login();
    const before = idp.refreshes.length;
    const results = await Promise.all(Array.from({ length: 50 }, () => desk.getToken('dev', false)));
    const tokens = new Set(results.map((result) => credentialOf(result).token));
    assert.equal(tokens.size, 1);
    // Never more than once; on a busy machine it may not answer in time, and then the renewal goes on without.
    assert.ok(idp.refreshes.length <= before + 1, `${idp.refreshes.length - before} refreshes`);
  });

  it('shows the refresh token nowhere: one 0600 file, no log, no output, no argument, no environment', async () => {
    const outputs = [await desk.curfew(['status']), await desk.curfew(['status', '-o', 'json'])];
    const texts = [...outputs.map(({ stdout, stderr }) => stdout + stderr), desk.broker.output()];
    for (const file of [...filesOf('cache'), ...filesOf('config/sessions')]) texts.push(readFileSync(file, 'latin1'));
    for (const pid of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
      texts.push(...['cmdline', 'environ'].map((file) => readQuietly(`/proc/${pid}/${file}`)));
    }
    assert.ok(idp.given.length >= 4);
    for (const token of idp.given) for (const text of texts) assert.ok(!text.includes(token));
    assert.equal(statSync(secretFile()).mode & 0o777, 0o600);
    assert.equal(filesOf('config/secrets').length, 1);
  });

  it('whose ID token the broker does not take continues without, and does not ask again', async () => {
    await login();
    idp.claims = { auth_time: Math.floor(Date.now() / 1000) - 1_000 };
    await claims('dev');
    const asked = idp.refreshes.length;
    await claims('prod');
    idp.claims = {};
    assert.equal(idp.refreshes.length, asked);
    assert.equal(keptToken(), undefined);
  });

  it('to a refresh without ID token continues likewise', async () => {
    await login();
    idp.claims = null;
    await claims('dev');
    idp.claims = {};
    assert.equal(keptToken(), undefined);
  });

  it('whose ID token cannot be verified just now asks again the next time', async () => {
    await login();
    idp.claims = { iat: Math.floor(Date.now() / 1000) + 60 };
    await claims('dev');
    idp.claims = {};
    assert.notEqual(keptToken(), undefined);
    await claims('prod');
    assert.equal(idp.refreshes.at(-1), true);
  });

  it('whose ID token is by a key that is newer than what the broker knows continues without, and asks again', async () => {
    await login();
    await desk.idp.rotateKeys();
    const asked = idp.refreshes.length;
    await claims('dev');
    await claims('prod');
    assert.deepEqual(idp.refreshes.slice(asked), [true, true]);
    assert.equal(keptToken(), idp.given.at(-1));
    await desk.restartBroker(ALWAYS_DUE);
  });

  it('while the identity provider is away, hangs, or loses its answer continues without, and says nothing', async () => {
    await login();
    await desk.idp.pause();
    await claims('dev');
    await desk.idp.resume();
    idp.hangs = true;
    await claims('prod');
    idp.hangs = false;
    idp.loses_answer = true;
    const more = ['--max-age', '50m'];
    credentialOf(await desk.getToken('dev', false, { more }));
    idp.loses_answer = false;
    // The refresh token is used up, and nobody was told the next: the person is not asked before it lapses.
    assert.equal(keptToken(), idp.given.at(-2));
    credentialOf(await desk.getToken('prod', false, { more }));
    assert.equal(keptToken(), undefined);
  });

  it('a logout forgets the refresh token', async () => {
    await login();
    assert.notEqual(keptToken(), undefined);
    assert.equal((await desk.curfew(['logout', '--broker', desk.url, '--ca-file', desk.ca_file])).code, 0);
    assert.equal(keptToken(), undefined);
  });

  it('another identity provider is shown no refresh token', async () => {
    await login();
    const secret = parseSecret(readFileSync(secretFile(), 'utf8'));
    assert.ok(secret?.refresh);
    const foreign = { ...secret, refresh: { ...secret.refresh, issuer: 'https://other.example.com' } };
    writeFileSync(secretFile(), printSecret(foreign));
    const asked = idp.refreshes.length;
    await claims('dev');
    assert.equal(idp.refreshes.length, asked);
  });
});

describe('when the word of the identity provider lapses', () => {
  before(() => begin(policy('20s')));
  after(end);
  beforeEach(async () => {
    Object.assign(idp, { disabled: null, gives_none: false, claims: {} });
    await desk.restartBroker(policy('20s'));
    await login();
  });
  const lapse = async () => {
    await sleep(3_100);
    await desk.restartBroker(policy('3s'));
  };

  it('a renewal long before asks nobody but the broker', async () => {
    const asked = idp.refreshes.length;
    await claims('dev');
    await claims('dev');
    assert.equal(idp.refreshes.length, asked);
  });

  it('the broker says so, and the renewal continues with a newer one', async () => {
    await lapse();
    const asked = idp.refreshes.length;
    await claims('dev');
    assert.equal(idp.refreshes.length, asked + 1);
    assert.equal(revalidations(), 1);
  });

  it('with the identity provider away: 69, not remembered, and it continues when that is back', async () => {
    await desk.idp.pause();
    await claims('dev');
    await lapse();
    const result = await desk.getToken('dev', false);
    assert.equal(result.code, 69);
    const { error, before } = refusalOf(result);
    assert.match(error, /^the identity provider at 127\.0\.0\.1:\d+ is out of reach: connection refused$/);
    assert.deepEqual(before, []);
    await desk.idp.resume();
    await claims('dev');
  });

  it('with a key that is newer than what the broker knows: 75, try again, not remembered, and the session continues then', async () => {
    await desk.restartBroker(policy('3s'));
    await login();
    await sleep(3_100);
    await desk.idp.rotateKeys();
    const sessions = () => filesOf('config/sessions').map((file) => readFileSync(file, 'utf8'));
    const before = sessions();
    for (let times = 0; times < 2; times++) {
      const asked = idp.refreshes.length;
      const result = await desk.getToken('dev', false);
      assert.equal(result.code, 75, result.stderr);
      assert.deepEqual(refusalOf(result), {
        error: 'the ID token names a key that the identity provider did not publish a moment ago',
        hint: 'the identity provider has new keys: try again in half a minute',
        before: [],
      });
      assert.deepEqual(idp.refreshes.slice(asked), [true]);
      assert.equal(keptToken(), idp.given.at(-1));
      // What is not said twice to one kubectl would be no refusal above.
      await sleep(2_100);
    }
    assert.deepEqual(sessions(), before);
    assert.deepEqual(await desk.entries(), []);
    // But for the one that the login above replaced.
    const ended = () => desk.broker.audit().filter(({ event, reason }) => event === 'end' && reason !== 'replaced');
    assert.deepEqual(ended(), []);
    // It knows no keys at a start, and reads them for the first that it is shown.
    await desk.restartBroker(policy('3s'));
    await claims('dev');
    assert.deepEqual([revalidations(), logins(), ended()], [1, 0, []]);
  });

  it('a disabled account stops there: 77, one error, one hint, offline from then on, until a login', async () => {
    await lapse();
    idp.disabled = 'account disabled\u001b[2J by a person';
    const result = await desk.getToken('dev', false);
    assert.equal(result.code, 77);
    assert.deepEqual(refusalOf(result), {
      error:
        'the identity provider no longer confirms the login: it says: invalid_grant (account disabled [2J by a person)',
      hint: `run: kubectl curfew login --broker ${desk.url}`,
      before: [],
    });
    assert.equal(keptToken(), undefined);
    const asked = idp.refreshes.length;
    assert.equal((await desk.getToken('dev', false)).code, 77);
    await desk.stopBroker();
    assert.equal(refusalOf(await desk.getToken('dev', false)).error, refusalOf(result).error);
    await desk.restartBroker(policy('3s'));
    const asked_of_broker = desk.broker.audit().filter(({ event }) => event !== 'policy');
    assert.deepEqual([idp.refreshes.length, asked_of_broker], [asked, []]);

    idp.disabled = null;
    const again = await desk.getToken('dev', true);
    credentialOf(again);
    assert.match(again.stderr, /^curfew: the identity provider no longer confirms the login: .*: logging in$/m);
    await claims('dev');
  });

  it('an account that was disabled before is served until then, and no longer', async () => {
    await desk.restartBroker(ALWAYS_DUE);
    await login();
    idp.disabled = 'account disabled';
    await claims('dev');
    assert.equal(keptToken(), undefined);
    await lapse();
    const result = await desk.getToken('prod', false);
    assert.equal(result.code, 77);
    assert.match(refusalOf(result).error, /no longer confirms the login: it says: invalid_grant \(account disabled\)$/);
  });

  it('an ID token that the broker refuses is why, in the refusal', async () => {
    await lapse();
    idp.claims = { auth_time: Math.floor(Date.now() / 1000) - 1_000 };
    const result = await desk.getToken('dev', false);
    assert.equal(result.code, 77);
    assert.match(
      refusalOf(result).error,
      /^the identity provider no longer confirms the login: its newer ID token was refused: .*another login/,
    );
  });

  it('without a refresh token only a login helps, which single sign-on may bring', async () => {
    idp.gives_none = true;
    await login();
    assert.equal(keptToken(), undefined);
    await lapse();
    const result = await desk.getToken('dev', false);
    assert.equal(result.code, 77);
    assert.match(
      refusalOf(result).error,
      /^the identity provider has to confirm the account again: last \d+s ago, limit 3s$/,
    );
    await desk.stopBroker();
    assert.equal((await desk.getToken('dev', false)).code, 77);
    await desk.restartBroker(policy('3s'));
    const at_idp = desk.idp.logins;
    credentialOf(await desk.getToken('dev', true));
    assert.equal(desk.idp.logins, at_idp);
  });
});

describe('a refresh token', () => {
  it('is thrown away where no limit has revalidate', async () => {
    await begin(policy());
    try {
      await login();
      assert.equal(idp.given.length, 1);
      assert.equal(keptToken(), undefined);
      await claims('dev');
      assert.deepEqual(idp.refreshes, []);
    } finally {
      await end();
    }
  });

  it('is part of the secret, of which one from before has none', () => {
    const secret = { dpop_private_jwk: generateKey(), handle: 'h' };
    assert.deepEqual(parseSecret(printSecret(secret)), secret);
    const refresh = { issuer: 'https://idp.example.com', refresh_token: 'r' };
    assert.deepEqual(parseSecret(printSecret({ ...secret, refresh })), { ...secret, refresh });
    for (const broken of [null, 'r', {}, { issuer: 'x' }, { issuer: 1, refresh_token: 'r' }]) {
      assert.deepEqual(parseSecret(JSON.stringify({ ...secret, refresh: broken })), secret);
    }
  });
});

function readQuietly(file: string): string {
  try {
    return readFileSync(file, 'latin1');
  } catch {
    return '';
  }
}

describe('a refresh token that nobody uses any more (RFC 7009)', () => {
  before(() => begin(ALWAYS_DUE));
  beforeEach(() => {
    idp.revocation_hangs = false;
    desk.idp.setClaims(null);
    desk.idp.endSessions(null);
  });
  after(end);

  const flags = () => ['--broker', desk.url, '--ca-file', desk.ca_file];
  const revokedSince = (count: number) => idp.revoked.slice(count);
  const asRevoked = (token: string | undefined) => `refresh_token curfew ${token}`;

  it('is revoked by the logout', async () => {
    await login();
    const [token, count] = [keptToken(), idp.revoked.length];
    assert.equal((await desk.curfew(['logout', ...flags()])).code, 0);
    assert.deepEqual(revokedSince(count), [asRevoked(token)]);
    assert.equal(keptToken(), undefined);
    assert.equal((await desk.curfew(['logout', ...flags()])).code, 0);
    assert.equal(idp.revoked.length, count + 1, 'once');
  });

  it('is revoked by the login that replaces it', async () => {
    await login();
    const [token, count] = [keptToken(), idp.revoked.length];
    await login();
    assert.notEqual(keptToken(), token);
    assert.deepEqual(revokedSince(count), [asRevoked(token)]);
  });

  it('is kept from revocation where the new one is of the same session there: both would go', async () => {
    desk.idp.setClaims((given) => ({ ...given, sid: 'one' }));
    await login();
    const count = idp.revoked.length;
    await login();
    assert.deepEqual(revokedSince(count), []);
    desk.idp.setClaims((given) => ({ ...given, sid: 'two' }));
    const token = keptToken();
    await login();
    assert.deepEqual(revokedSince(count), [asRevoked(token)]);
  });

  it('is revoked when the plugin learns of the end, and by an end of the own session', async () => {
    await login();
    const [config, copy] = [`${desk.dir}/config`, `${desk.dir}/kept`];
    await run('cp', ['-a', config, copy]);
    assert.equal((await desk.curfew(['logout', ...flags()])).code, 0);
    rmSync(config, { recursive: true });
    renameSync(copy, config);
    const count = idp.revoked.length;
    assert.equal((await desk.getToken('dev', false)).code, 77);
    // It was due: the newest came with the question.
    assert.deepEqual(revokedSince(count), [asRevoked(idp.given.at(-1))]);
    await login();
    const [next, before] = [keptToken(), idp.revoked.length];
    const listed = await desk.curfew(['sessions', 'list', '-o', 'json', ...flags()]);
    const sid = JSON.parse(listed.stdout).sessions[0].sid;
    assert.equal((await desk.curfew(['sessions', 'end', sid, ...flags()])).code, 0);
    assert.deepEqual(revokedSince(before), [asRevoked(next)]);
  });

  it('fails and delays no logout and no login beyond 3 s, whatever the identity provider does', async () => {
    await login();
    idp.revocation_hangs = true;
    await login();
    const { code, ms } = await desk.curfew(['logout', ...flags()]);
    assert.equal(code, 0);
    assertKept(ms, 3_000);
  });
});

describe('a refresh token that is not kept, as nothing revalidates', () => {
  const offline = { scopes: ['openid', 'email', 'groups', 'offline_access'] };
  for (const [what, identityProvider, revoked] of [
    ['of an offline session is revoked at once', offline, 1],
    ['of the session itself is left alone: the identity provider would tell of no logout any more', {}, 0],
  ] as const)
    it(what, async () => {
      desk = await openDesk(policy(), { identityProvider, idp: { refreshTokens: true } });
      idp = await startRefreshing(desk.idp, 'alice');
      try {
        await login();
        assert.equal(idp.revoked.length, revoked);
        assert.equal(keptToken(), undefined);
      } finally {
        await end();
      }
    });
});
